package kafkarows

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"time"

	"github.com/redpanda-data/benthos/v4/public/service"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/shop-connect/shop-connect/internal/record"
)

// place is a partition of a topic.
type place struct {
	topic     string
	partition int32
}

// chunk is rows of one fetch that wait.
type chunk struct {
	records []*kgo.Record
	bytes   int
	arrived time.Time
}

// partition is one that this member owns, or that has rows on their way.
type partition struct {
	place
	// assignment counts how often the partition came here: what is acknowledged of an earlier one says
	// nothing about the offsets of this one.
	assignment int
	owned      bool
	// leaving says that the partition is being given away: no more of its rows go out.
	leaving bool
	// busy says that rows are on their way. The next ones wait for them, whatever happens to the group.
	busy    bool
	waiting []chunk
	bytes   int
	// next is the offset behind the last row that came in, -1 before the first.
	next int64
	// topicID is that of the topic, as the last fetch said.
	topicID [16]byte
}

func (p *partition) idle() bool { return p.owned && !p.leaving && !p.busy && len(p.waiting) > 0 }

// buffer holds rows between Kafka and the stream.
type buffer struct {
	limits limits
	// mark notes the last row of those that may be committed.
	mark func(last *kgo.Record)
	// acknowledged counts rows.
	acknowledged func(rows int)

	mu         sync.Mutex
	partitions map[place]*partition
	// held is the bytes that wait or are on their way.
	held int

	// changed has an element when a batch may have become ready, freed when rows have left.
	changed, freed chan struct{}
}

func newBuffer(l limits, mark func(*kgo.Record), acknowledged func(int)) *buffer {
	return &buffer{
		limits: l, mark: mark, acknowledged: acknowledged, partitions: map[place]*partition{},
		changed: make(chan struct{}, 1), freed: make(chan struct{}, 1),
	}
}

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// assigned takes partitions over. One whose earlier rows are still on their way stays busy until they are
// acknowledged, so that none overtakes another.
func (b *buffer) assigned(places []place) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, at := range places {
		p := b.partitions[at]
		if p == nil {
			p = &partition{place: at}
			b.partitions[at] = p
		}
		p.assignment++
		p.owned, p.leaving, p.next = true, false, -1
	}
}

// leave holds back what waits of partitions that are given away, and returns once nothing of them is on its
// way any more, or ctx ends.
func (b *buffer) leave(ctx context.Context, places []place) {
	b.mu.Lock()
	for _, at := range places {
		if p := b.partitions[at]; p != nil {
			p.leaving = true
		}
	}
	b.mu.Unlock()
	for b.anyBusy(places) {
		select {
		case <-ctx.Done():
			return
		case <-time.After(10 * time.Millisecond):
		}
	}
}

func (b *buffer) anyBusy(places []place) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.ContainsFunc(places, func(at place) bool { return b.partitions[at] != nil && b.partitions[at].busy })
}

// dropped forgets partitions that are no longer ours. I2: once it has returned nothing of them is marked,
// for the offsets are another member's.
func (b *buffer) dropped(places []place) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, at := range places {
		p := b.partitions[at]
		if p == nil {
			continue
		}
		b.held -= p.bytes
		p.owned, p.waiting, p.bytes = false, nil, 0
		if !p.busy {
			delete(b.partitions, at)
		}
	}
	signal(b.freed)
}

// add takes rows of one fetch of a partition in. It returns the offset that should have come, where an
// earlier one did.
func (b *buffer) add(at place, topicID [16]byte, records []*kgo.Record, now time.Time) (expected int64, backwards bool) {
	bytes := 0
	for _, r := range records {
		bytes += size(r)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	p := b.partitions[at]
	if p == nil || !p.owned {
		return 0, false
	}
	if records[0].Offset < p.next {
		return p.next, true
	}
	p.next, p.topicID = records[len(records)-1].Offset+1, topicID
	p.waiting = append(p.waiting, chunk{records, bytes, now})
	p.bytes += bytes
	b.held += bytes
	signal(b.changed)
	return 0, false
}

func size(r *kgo.Record) int {
	n := len(r.Key) + len(r.Value)
	for _, h := range r.Headers {
		n += len(h.Key) + len(h.Value)
	}
	return n
}

// position is the offset behind the last row that came in of a partition, -1 where none did.
func (b *buffer) position(at place) int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	if p := b.partitions[at]; p != nil {
		return p.next
	}
	return -1
}

// room waits until there is room for a fetch.
func (b *buffer) room(ctx context.Context) error {
	for {
		b.mu.Lock()
		full := b.held >= b.limits.buffer
		b.mu.Unlock()
		if !full {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-b.freed:
		}
	}
}

// share is what a batch has of one partition.
type share struct {
	partition  *partition
	assignment int
	topicID    [16]byte
	records    []*kgo.Record
	bytes      int
}

// take waits for a batch.
func (b *buffer) take(ctx context.Context) ([]share, error) {
	for {
		shares, wait := b.tryTake(time.Now())
		if len(shares) > 0 {
			return shares, nil
		}
		var due <-chan time.Time
		if wait > 0 {
			due = time.After(wait)
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-b.changed:
		case <-due:
		}
	}
}

// tryTake returns a batch if one is due, else how long until one will be, 0 for unknown.
func (b *buffer) tryTake(now time.Time) ([]share, time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	var idle []*partition
	rows, bytes := 0, 0
	for _, p := range b.partitions {
		if !p.idle() {
			continue
		}
		idle = append(idle, p)
		bytes += p.bytes
		for _, c := range p.waiting {
			rows += len(c.records)
		}
	}
	if len(idle) == 0 {
		return nil, 0
	}
	// the longest waiting ones first: with more than a batch holds, each has its turn
	slices.SortFunc(idle, func(a, b *partition) int {
		return cmp.Or(a.waiting[0].arrived.Compare(b.waiting[0].arrived), cmp.Compare(a.partition, b.partition), cmp.Compare(a.topic, b.topic))
	})
	full := b.held >= b.limits.buffer
	wait := b.limits.period - now.Sub(idle[0].waiting[0].arrived)
	if rows < b.limits.rows && bytes < b.limits.bytes && wait > 0 && !full {
		return nil, wait
	}
	rows, bytes = b.limits.rows, b.limits.bytes
	var shares []share
	for _, p := range idle {
		if rows <= 0 || bytes <= 0 {
			break
		}
		s := p.take(rows, bytes, len(shares) == 0)
		if len(s.records) == 0 {
			continue
		}
		rows, bytes = rows-len(s.records), bytes-s.bytes
		shares = append(shares, s)
	}
	return shares, 0
}

// take cuts rows off the front of what waits: what fits, and where atLeastOne says so one row that does not.
func (p *partition) take(rows, bytes int, atLeastOne bool) share {
	s := share{partition: p, assignment: p.assignment, topicID: p.topicID}
	for len(p.waiting) > 0 && rows > len(s.records) {
		first := &p.waiting[0]
		n, cut := len(first.records), first.bytes
		if n > rows-len(s.records) || cut > bytes-s.bytes {
			n, cut = 0, 0
			for _, r := range first.records[:min(len(first.records), rows-len(s.records))] {
				if cut += size(r); s.bytes+cut > bytes && (!atLeastOne || len(s.records) > 0 || n > 0) {
					cut -= size(r)
					break
				}
				n++
			}
		}
		if n == 0 {
			break
		}
		if len(s.records) == 0 {
			s.records = first.records[:n:n] // the usual batch is of one fetch, as it came
		} else {
			s.records = append(s.records, first.records[:n]...)
		}
		s.bytes += cut
		if n < len(first.records) {
			first.records, first.bytes = first.records[n:], first.bytes-cut
			break
		}
		p.waiting = p.waiting[1:]
	}
	p.bytes -= s.bytes
	p.busy = len(s.records) > 0
	return s
}

// batchOf makes messages of shares: one for each partition.
func batchOf(shares []share) service.MessageBatch {
	batch := make(service.MessageBatch, len(shares))
	for i := range shares {
		batch[i] = (&record.Block{Records: shares[i].records, TopicID: shares[i].topicID}).Message()
	}
	return batch
}

// done takes the acknowledgement of a batch.
func (b *buffer) done(shares []share) {
	rows := 0
	b.mu.Lock()
	for _, s := range shares {
		p := s.partition
		rows += len(s.records)
		b.held -= s.bytes
		p.busy = false
		switch {
		case p.owned && p.assignment == s.assignment:
			// I2: after the acknowledgement, and under the lock, so that no partition is given away meanwhile.
			b.mark(s.records[len(s.records)-1])
		case !p.owned:
			delete(b.partitions, p.place)
		}
	}
	b.mu.Unlock()
	b.acknowledged(rows)
	signal(b.freed)
	signal(b.changed)
}
