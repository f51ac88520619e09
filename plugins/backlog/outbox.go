package backlog

import (
	"context"
	"errors"
	"fmt"

	"github.com/redpanda-data/benthos/v4/public/service"

	"github.com/shop-connect/shop-connect/internal/progress"
	"github.com/shop-connect/shop-connect/internal/store"
)

const fieldPostgres = "postgres_dsn"

func init() {
	service.MustRegisterBatchInput("outbox_backlog", OutboxSpec(), func(conf *service.ParsedConfig, mgr *service.Resources) (service.BatchInput, error) {
		dsn, err := conf.FieldString(fieldPostgres)
		if err == nil {
			if fault := store.CheckDSN(dsn); fault != nil {
				err = fmt.Errorf("field %q: %w", fieldPostgres, fault)
			}
		}
		i, inputErr := newInput(conf, mgr, &outboxTarget{dsn: dsn})
		if err := errors.Join(err, inputErr); err != nil {
			return nil, err
		}
		return i, nil
	})
}

// OutboxSpec documents the input outbox_backlog.
func OutboxSpec() *service.ConfigSpec {
	return service.NewConfigSpec().
		Categories("Services").
		Summary("Ends once every event that is in the outbox at its start is in Kafka.").
		Description(`
Give it the input `+"`outbox`"+` and an output as stream `+"`outbox_kafka`"+` has them. Where that stream is at work, here or on another machine, it holds the outbox's lock, and this input waits for it; where no stream is, this input publishes the events itself. Events that others published count as rows of the run, and those that Kafka refused as refused.

It must be within a `+"`batch_run`"+`, whose `+"`no_progress_timeout`"+` bounds the wait.`).
		Fields(
			service.NewStringField(fieldPostgres).Description("Connection string of the PostgreSQL database that holds the outbox.").Secret().Example("${POSTGRES_DSN}"),
			intervalField(),
			service.NewInputField(fieldInput).Description("The input `outbox`."),
		)
}

// outboxTarget is the outbox up to the last event that was in it.
type outboxTarget struct {
	dsn   string
	store *store.Store

	fixed            bool
	last             int64
	waiting, refused int64 // at the start
	here             int64 // events that were passed on here
}

func (t *outboxTarget) open(ctx context.Context) error {
	if t.store == nil {
		opened, err := store.Open(ctx, t.dsn)
		if err != nil {
			return err
		}
		t.store = opened
	}
	if t.fixed {
		return nil
	}
	var err error
	if t.last, err = t.store.OutboxEnd(ctx); err != nil {
		return err
	}
	if t.waiting, t.refused, err = t.store.OutboxLeft(ctx, t.last); err != nil {
		return err
	}
	t.fixed = true
	return nil
}

func (t *outboxTarget) look(ctx context.Context) (state, error) {
	waiting, refused, err := t.store.OutboxLeft(ctx, t.last)
	if err != nil {
		return state{}, err
	}
	// the child asks for the lock by itself: whether a stream has it makes no difference here
	s := state{left: waiting, free: true, text: "every event of the outbox is in Kafka"}
	if waiting > 0 {
		s.text = fmt.Sprintf("%s events of the outbox, up to number %d, are not in Kafka yet", progress.Thousands(waiting), t.last)
		return s, nil
	}
	s.others.RowsRefused = max(0, refused-t.refused)
	s.others.RowsOut = max(0, t.waiting-t.here-s.others.RowsRefused)
	s.others.RowsIn = s.others.RowsOut + s.others.RowsRefused
	return s, nil
}

func (t *outboxTarget) given(batch service.MessageBatch) { t.here += int64(len(batch)) }

func (t *outboxTarget) close() {
	t.store.Close()
	t.store = nil
}
