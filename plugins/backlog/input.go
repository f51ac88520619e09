// Package backlog is the inputs `kafka_backlog` and `outbox_backlog`: each brings to its end, as a batch
// run, what a continuous stream brings on all the time.
//
// Where the stream is at work it is waited for; where it is not, the input does the stream's work itself,
// in the stream's own name (its consumer group, its lock). So nothing is done twice, whoever is running.
package backlog

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/redpanda-data/benthos/v4/public/service"

	"github.com/shop-connect/shop-connect/internal/store"
	"github.com/shop-connect/shop-connect/plugins/batchrun"
)

const (
	fieldInterval = "check_interval"
	fieldInput    = "input"
)

func intervalField() *service.ConfigField {
	return service.NewDurationField(fieldInterval).Description("How often it is checked how far the stream is.").Default("500ms").Advanced()
}

// target is what is to be reached.
type target interface {
	// open connects, and fixes the target the first time.
	open(ctx context.Context) error
	// look says how far it is.
	look(ctx context.Context) (state, error)
	// given is told of what is passed on here.
	given(batch service.MessageBatch)
	close()
}

// state is how far a target is.
type state struct {
	// left is how many rows are still to go.
	left int64
	// free says that no stream is at work on them.
	free bool
	// text says so in words.
	text string
	// others is what others brought, once nothing is left.
	others store.Counts
}

// input reads its child where it must, until its target is reached.
type input struct {
	target   target
	child    *service.OwnedInput
	report   *batchrun.Report
	interval time.Duration

	looked  time.Time
	reading bool // nobody else was at work once
	ended   bool // the child has nothing more to say

	mu     sync.Mutex
	opened bool
	read   bool // the child was read from
}

var _ service.BatchInput = (*input)(nil)

func newInput(conf *service.ParsedConfig, mgr *service.Resources, t target) (*input, error) {
	i := &input{target: t}
	var faults []error
	var within bool
	if i.report, within = batchrun.ReportOf(mgr); !within {
		faults = append(faults, errors.New("must be the input of a `batch_run`, which knows what to do with its end"))
	}
	var err error
	if i.interval, err = conf.FieldDuration(fieldInterval); err != nil || i.interval <= 0 {
		faults = append(faults, fmt.Errorf("field %q: must be a duration of more than 0", fieldInterval), err)
	}
	if i.child, err = conf.FieldInput(fieldInput); err != nil {
		faults = append(faults, fmt.Errorf("field %q: %w", fieldInput, err))
	}
	return i, errors.Join(faults...)
}

// Connect fixes what is to be reached.
func (i *input) Connect(ctx context.Context) error {
	if err := i.target.open(ctx); err != nil {
		return err
	}
	i.mu.Lock()
	i.opened = true
	i.mu.Unlock()
	return nil
}

// ReadBatch gives what has to be done here, and ends once everything is done, here or elsewhere.
func (i *input) ReadBatch(ctx context.Context) (service.MessageBatch, service.AckFunc, error) {
	i.mu.Lock()
	opened := i.opened
	i.mu.Unlock()
	if !opened {
		return nil, nil, service.ErrNotConnected
	}
	for {
		if time.Since(i.looked) >= i.interval {
			if done, err := i.look(ctx); err != nil {
				return nil, nil, err
			} else if done {
				return nil, nil, service.ErrEndOfInput
			}
		}
		batch, ack, err := i.next(ctx)
		switch {
		case ctx.Err() != nil:
			return nil, nil, ctx.Err()
		case errors.Is(err, context.DeadlineExceeded):
			continue
		case errors.Is(err, service.ErrEndOfInput):
			// the end of the child is not that of the target, which others may still reach
			i.reading, i.ended = false, true
			continue
		case err != nil:
			return nil, nil, err
		}
		i.target.given(batch)
		return batch, ack, nil
	}
}

func (i *input) look(ctx context.Context) (done bool, err error) {
	s, err := i.target.look(ctx)
	if err != nil {
		i.report.Say(err.Error())
		return false, err
	}
	i.looked = time.Now()
	i.reading = (i.reading || s.free) && !i.ended
	i.report.Say(s.text)
	if s.left > 0 {
		return false, nil
	}
	i.report.Count(s.others)
	return true, nil
}

// next waits for a batch of the child until it is time to look again.
func (i *input) next(ctx context.Context) (service.MessageBatch, service.AckFunc, error) {
	ctx, cancel := context.WithDeadline(ctx, i.looked.Add(i.interval))
	defer cancel()
	if !i.reading {
		<-ctx.Done()
		return nil, nil, ctx.Err()
	}
	i.mu.Lock()
	i.read = true
	i.mu.Unlock()
	return i.child.ReadBatch(ctx)
}

// Close ends the child, which hands over to the stream at once.
func (i *input) Close(ctx context.Context) error {
	i.mu.Lock()
	read := i.read
	i.opened, i.read = false, false
	i.mu.Unlock()
	i.target.close()
	if !read {
		return nil // it has started nothing, and would never report its end
	}
	return i.child.Close(ctx)
}
