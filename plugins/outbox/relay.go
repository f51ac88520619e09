package outbox

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/redpanda-data/benthos/v4/public/service"

	"github.com/shop-connect/shop-connect/internal/store"
)

const (
	// turnInterval is how often a stream that waits asks whether it is its turn.
	turnInterval = 250 * time.Millisecond

	// After a rejection the next attempt waits, longer each time.
	firstPause = 100 * time.Millisecond
	maxPause   = 5 * time.Second

	// maxSuspects is how many events in a row may be refused before it must be Kafka that is at fault.
	maxSuspects = 100
)

// relay hands out one batch at a time: a second one under way could overtake the first. Who has the
// token, from next to resolve, knows that no other is under way.
type relay struct {
	config
	log   *service.Logger
	token chan struct{}

	mu     sync.Mutex
	closed bool
	outbox *store.Outbox // nil while it is not our turn
	pause  time.Duration
	doubts doubts
	// name tells our turns from those of others.
	name string
	// unsettled says that Kafka may yet get something that we sent.
	unsettled bool
	// quietUntil is when Kafka has all that a holder before us sent.
	quietUntil time.Time
}

func newRelay(c config, log *service.Logger) *relay {
	return &relay{config: c, log: log, token: make(chan struct{}, 1), name: uuid.NewString()}
}

// errQuiet is returned while others may have something under way.
var errQuiet = errors.New("another relay may have events under way")

// next returns events to publish; resolve must follow, unless there is an error.
func (r *relay) next(ctx context.Context, st *store.Store) ([]store.Event, error) {
	select {
	case r.token <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	events, err := r.await(ctx, st)
	if err != nil {
		r.letGo(false)
		<-r.token
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		r.log.Warnf("reading the outbox again from the start: %v", err)
		return nil, service.ErrNotConnected
	}
	return events, nil
}

func (r *relay) await(ctx context.Context, st *store.Store) ([]store.Event, error) {
	r.mu.Lock()
	pause := r.pause
	r.mu.Unlock()
	if err := sleep(ctx, pause); err != nil {
		return nil, err
	}
	for {
		wait := r.pollInterval
		events, err := r.read(ctx, st)
		switch {
		case errors.Is(err, store.ErrBusy), errors.Is(err, errQuiet):
			wait = turnInterval
		case err != nil || len(events) > 0:
			return events, err
		}
		if err := sleep(ctx, wait); err != nil {
			return nil, err
		}
	}
}

func (r *relay) read(ctx context.Context, st *store.Store) ([]store.Event, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return nil, service.ErrNotConnected
	}
	if r.outbox == nil {
		held, err := st.LockOutbox(ctx, r.name)
		if err != nil {
			return nil, err
		}
		r.outbox, r.doubts = held, doubts{}
		if held.Abandoned {
			r.log.Infof("waiting %s before events are published: the relay before ended amid a batch, which may still come to Kafka", r.handoverWait)
			r.quietUntil = time.Now().Add(r.handoverWait)
		}
	}
	if time.Now().Before(r.quietUntil) {
		return nil, errQuiet // I3: an older event must not come behind a newer one of its key
	}
	events, err := r.doubts.read(ctx, r.outbox, r.batchSize)
	r.unsettled = r.unsettled || len(events) > 0
	return events, err
}

// resolve takes the answer to a batch. I2: an event leaves the outbox only once the output has it. Of a
// batch that was rejected in part all is delivered again, in order: what was newer must stay last.
func (r *relay) resolve(ctx context.Context, events []store.Event, rejected error) error {
	err := r.settle(ctx, events, rejected)
	if err != nil {
		r.letGo(false) // the connection may be gone, and the turn with it
	}
	<-r.token
	return err
}

func (r *relay) settle(ctx context.Context, events []store.Event, rejected error) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.outbox == nil {
		return nil // closed meanwhile: whoever has the turn delivers them again
	}
	if rejected == nil {
		r.pause, r.unsettled = 0, false
		r.doubts.taken()
		return r.outbox.Published(ctx, events)
	}
	r.pause = min(max(2*r.pause, firstPause), maxPause)
	refused := r.doubts.rejected(events, r.attempts)
	if refused == nil {
		return nil
	}
	r.log.Errorf("event %d for topic %q, key %q is set aside in table outbox, because Kafka takes others but not it: %v",
		refused.Seq, refused.Topic, refused.Key, rejected)
	return r.outbox.SetAside(ctx, *refused, rejected.Error())
}

// letGo ends the turn.
func (r *relay) letGo(closed bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.closed = r.closed || closed
	switch {
	case r.outbox == nil:
		return
	case r.unsettled:
		r.outbox.Release()
	default:
		r.outbox.End()
	}
	r.outbox = nil
}

func sleep(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
