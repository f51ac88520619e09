package chaos

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/RoaringBitmap/roaring/v2/roaring64"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/shop-connect/shop-connect/internal/quarantine"
	"github.com/shop-connect/shop-connect/internal/reconcile"
)

// tally is what Kafka holds, read record by record: the order in which events came, which no client knows, and
// so what every layer behind Kafka must hold.
type tally struct {
	brokers []string
	// next is the first offset that is not read yet.
	next map[string]map[int32]int64

	// live are the purchases that are left when each event has replaced the earlier ones of its id.
	live map[string]reconcile.Sale
	// good and bad are the places of sound and of broken records.
	good, bad reconcile.Places
	// edge are the places of rows that the API refused.
	edge reconcile.Places
	// strange are records that nobody has sent.
	strange []string
	records int64
}

func newTally(brokers string) *tally {
	return &tally{
		brokers: strings.Split(brokers, ","), next: map[string]map[int32]int64{}, live: map[string]reconcile.Sale{},
		good: reconcile.Places{}, bad: reconcile.Places{}, edge: reconcile.Places{},
	}
}

// read takes in what has come since the last time.
func (t *tally) read(ctx context.Context, b *book) error {
	client, err := kgo.NewClient(kgo.SeedBrokers(t.brokers...))
	if err != nil {
		return err
	}
	defer client.Close()
	ends, err := kadm.NewClient(client).ListEndOffsets(ctx, topicPurchases, rejectedTopic())
	if err == nil {
		err = ends.Error()
	}
	if err != nil {
		return fmt.Errorf("asking Kafka for its ends: %w", err)
	}
	left := 0
	from := map[string]map[int32]kgo.Offset{}
	ends.Each(func(o kadm.ListedOffset) {
		if t.next[o.Topic] == nil {
			t.next[o.Topic] = map[int32]int64{}
		}
		if next := t.next[o.Topic][o.Partition]; next < o.Offset {
			if from[o.Topic] == nil {
				from[o.Topic] = map[int32]kgo.Offset{}
			}
			from[o.Topic][o.Partition] = kgo.NewOffset().At(next)
			left++
		}
	})
	if left == 0 {
		return nil
	}
	client.AddConsumePartitions(from)
	for left > 0 {
		fetches := client.PollFetches(ctx)
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("reading what Kafka holds: %w", err)
		}
		for _, fault := range fetches.Errors() {
			return fmt.Errorf("reading %s, partition %d: %w", fault.Topic, fault.Partition, fault.Err)
		}
		fetches.EachRecord(func(r *kgo.Record) {
			t.take(r, b)
			t.next[r.Topic][r.Partition] = r.Offset + 1
			if end, _ := ends.Lookup(r.Topic, r.Partition); r.Offset+1 == end.Offset {
				left--
			}
		})
	}
	return nil
}

func (t *tally) take(r *kgo.Record, b *book) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if r.Topic != topicPurchases {
		t.takeRefused(r, b)
		return
	}
	t.records++
	if e, ok := parseEvent(r.Value); ok {
		if f := b.events[e]; f != nil {
			f.seen++
			mark(t.good, r)
			if e.deleted {
				delete(t.live, e.id)
			} else {
				t.live[e.id] = e.sale
			}
			return
		}
	}
	if f := b.broken[string(r.Value)]; f != nil {
		f.seen++
		mark(t.bad, r)
		return
	}
	t.wonder(r)
}

func (t *tally) takeRefused(r *kgo.Record, b *book) {
	for _, h := range r.Headers {
		if h.Key == quarantine.MetaBy && string(h.Value) != quarantine.LayerAPI {
			return // a sink's: the place of such a row is that of its record
		}
	}
	f := b.refused[string(r.Value)]
	if f == nil {
		t.wonder(r)
		return
	}
	f.seen++
	mark(t.edge, r)
}

func (t *tally) wonder(r *kgo.Record) {
	if len(t.strange) < 20 {
		t.strange = append(t.strange, fmt.Sprintf("%s-%d-%d of %s: %s", r.Topic, r.Partition, r.Offset,
			r.Timestamp.UTC().Format(time.TimeOnly), trimLine(string(r.Value))))
	}
}

func mark(places reconcile.Places, r *kgo.Record) {
	space := fmt.Sprintf("%s-%d", r.Topic, r.Partition)
	if places[space] == nil {
		places[space] = roaring64.New()
	}
	places[space].Add(uint64(r.Offset))
}
