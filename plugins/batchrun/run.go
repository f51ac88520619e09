package batchrun

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/redpanda-data/benthos/v4/public/service"

	"github.com/shop-connect/shop-connect/internal/record"
	"github.com/shop-connect/shop-connect/internal/store"
)

// A message that was rejected is delivered again after a while, longer each time: what made it fail
// may need a moment.
const (
	firstPause = 100 * time.Millisecond
	maxPause   = 5 * time.Second
)

// delivery is a batch of the input until all of it is acknowledged.
type delivery struct {
	batch    service.MessageBatch
	index    *service.Indexer
	ack      service.AckFunc
	attempts int
}

// run is one run under way.
type run struct {
	cfg   config
	store *store.Store
	child *service.OwnedInput
	log   *service.Logger

	ctx      context.Context // ends with the run
	stop     context.CancelFunc
	workers  sync.WaitGroup
	incoming chan *delivery
	wake     chan struct{}

	mu      sync.Mutex
	ended   bool
	drained bool // the input has ended
	again   []*delivery
	pending map[*delivery]struct{}
	moved   time.Time // when something was last read, acknowledged or rejected
	read    bool      // the input has given something
	in, out int64     // rows read and acknowledged
	bytes   int64     // of the messages read
	worst   int       // attempts

	lock     *store.Lock // belongs to watch
	seen     ledgerState // belongs to watch: what the ledger said last
	reports  *reports
	flushing sync.Mutex
	entered  store.Counts // guarded by flushing: what the ledger has of what was counted here
	noted    string       // guarded by flushing: what the ledger has of the reports
}

func startRun(cfg config, st *store.Store, lock *store.Lock, child *service.OwnedInput, reports *reports, log *service.Logger) *run {
	r := &run{
		cfg: cfg, store: st, child: child, log: log, lock: lock, reports: reports,
		incoming: make(chan *delivery), wake: make(chan struct{}, 1),
		pending: map[*delivery]struct{}{}, moved: time.Now(),
	}
	r.ctx, r.stop = context.WithCancel(context.Background())
	reports.begin(r.progressed)
	r.workers.Go(r.pull)
	r.workers.Go(r.watch)
	return r
}

// wait returns once nothing of an ended run is at work any more.
func (r *run) wait() { r.workers.Wait() }

// pull reads the input to its end.
func (r *run) pull() {
	for {
		batch, ack, err := r.child.ReadBatch(r.ctx)
		if errors.Is(err, service.ErrEndOfInput) {
			r.mu.Lock()
			r.drained = true
			r.mu.Unlock()
			r.completeIfDone()
			return
		}
		if err != nil {
			return // the run has ended
		}
		d := &delivery{batch: batch, index: batch.Index(), ack: ack}
		r.mu.Lock()
		if r.ended {
			r.mu.Unlock()
			_ = ack(context.Background(), context.Canceled)
			return
		}
		r.pending[d] = struct{}{}
		r.moved, r.read = time.Now(), true
		r.in += int64(record.Count(batch))
		r.bytes += size(batch)
		r.mu.Unlock()
		select {
		case r.incoming <- d:
		case <-r.ctx.Done():
			return
		}
	}
}

// progressed says that the run gets on, though no message did.
func (r *run) progressed() {
	r.mu.Lock()
	r.moved = time.Now()
	r.mu.Unlock()
}

func size(batch service.MessageBatch) (bytes int64) {
	for row, err := range record.Rows(batch) {
		if err == nil {
			bytes += int64(len(row.Value))
		}
	}
	return bytes
}

// next returns the next delivery, or ErrEndOfInput once the run has ended.
func (r *run) next(ctx context.Context) (*delivery, error) {
	for {
		if d := r.takeAgain(); d != nil {
			return d, nil
		}
		select {
		case <-r.ctx.Done():
			return nil, service.ErrEndOfInput
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-r.wake:
		case d := <-r.incoming:
			r.count(d)
			return d, nil
		}
	}
}

func (r *run) takeAgain() *delivery {
	r.mu.Lock()
	if len(r.again) == 0 || r.ended {
		r.mu.Unlock()
		return nil
	}
	d := r.again[0]
	r.again = r.again[1:]
	r.mu.Unlock()
	r.count(d)
	return d
}

func (r *run) count(d *delivery) {
	r.mu.Lock()
	defer r.mu.Unlock()
	d.attempts++
	r.worst = max(r.worst, d.attempts)
}

// resolve takes the answer to a delivery.
func (r *run) resolve(ctx context.Context, d *delivery, err error) error {
	r.mu.Lock()
	if r.ended {
		r.mu.Unlock()
		return nil // its end has answered the input already
	}
	r.moved = time.Now()
	if err == nil {
		r.mu.Unlock()
		return r.accept(ctx, d)
	}
	rejected := failedPart(d, err)
	r.out += int64(record.Count(d.batch) - record.Count(rejected))
	if len(rejected) < len(d.batch) {
		d.batch, d.index = rejected, rejected.Index()
	}
	attempts := d.attempts
	r.mu.Unlock()
	if attempts >= r.cfg.attempts {
		r.end(store.Failed, fmt.Errorf("%d of its messages rejected at attempt %d of %d: %w", len(rejected), attempts, r.cfg.attempts, err))
		return nil
	}
	time.AfterFunc(min(firstPause<<(attempts-1), maxPause), func() { r.deliverAgain(d) })
	return nil
}

// accept lets the input forget a delivery that is done with.
func (r *run) accept(ctx context.Context, d *delivery) error {
	if err := d.ack(ctx, nil); err != nil {
		r.end(store.Failed, fmt.Errorf("acknowledging to the input: %w", err))
		return nil
	}
	r.mu.Lock()
	delete(r.pending, d)
	r.out += int64(record.Count(d.batch))
	r.mu.Unlock()
	r.completeIfDone()
	return nil
}

func (r *run) deliverAgain(d *delivery) {
	r.mu.Lock()
	r.again = append(r.again, d)
	r.mu.Unlock()
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// failedPart returns the messages of a delivery that an error rejects: all, unless it says which.
func failedPart(d *delivery, err error) service.MessageBatch {
	var some *service.BatchError
	if !errors.As(err, &some) || some.IndexedErrors() == 0 {
		return d.batch
	}
	failed := make([]bool, len(d.batch))
	found := false
	some.WalkMessagesIndexedBy(d.index, func(i int, _ *service.Message, err error) bool {
		if err != nil && i >= 0 && i < len(failed) {
			failed[i], found = true, true
		}
		return true
	})
	if !found {
		return d.batch
	}
	var part service.MessageBatch
	for i, msg := range d.batch {
		if failed[i] {
			part = append(part, msg)
		}
	}
	return part
}
