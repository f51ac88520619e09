package outbox

import (
	"context"

	"github.com/shop-connect/shop-connect/internal/store"
)

// doubts tells an event that Kafka will never have from a Kafka that is away. The events of a batch that
// was rejected are delivered one by one; one that is rejected alone, again and again, is passed over for
// others. If one of those is taken, Kafka is there, and the event is tried a last time.
type doubts struct {
	until    int64 // events up to this number are delivered alone
	alone    int64 // the event that was rejected alone last, and how often
	times    int
	suspects []store.Event
	trial    bool // Kafka has just taken another event
}

// read returns what is to be delivered next.
func (d *doubts) read(ctx context.Context, outbox *store.Outbox, limit int) ([]store.Event, error) {
	if d.trial {
		return d.suspects[:1:1], nil
	}
	if d.until == 0 {
		return outbox.Next(ctx, limit, nil)
	}
	events, err := outbox.Next(ctx, 1, d.suspects)
	if err != nil {
		return nil, err
	}
	if len(d.suspects) > 0 {
		if len(events) == 0 {
			d.suspects, d.times = nil, 0 // nobody else is there to tell
		}
		return events, nil
	}
	if len(events) == 0 || events[0].Seq > d.until {
		*d = doubts{}
		return outbox.Next(ctx, limit, nil)
	}
	return events, nil
}

// taken says that the output has what was read last.
func (d *doubts) taken() {
	if d.trial {
		d.suspects = d.suspects[1:]
	}
	d.trial = len(d.suspects) > 0
}

// rejected says that the output has not; it returns the event that is to be set aside, if there is one.
func (d *doubts) rejected(events []store.Event, attempts int) *store.Event {
	last := events[len(events)-1]
	d.until = max(d.until, last.Seq)
	if len(events) > 1 {
		return nil
	}
	if d.trial {
		d.suspects = d.suspects[1:]
		d.trial = len(d.suspects) > 0
		return &last
	}
	if d.alone != last.Seq {
		d.alone, d.times = last.Seq, 0
	}
	if d.times++; d.times >= attempts || len(d.suspects) > 0 {
		d.suspects = append(d.suspects, last)
	}
	if len(d.suspects) > maxSuspects {
		d.suspects, d.times = nil, 0
	}
	return nil
}
