// Package outbox is the input `outbox`: it gives the events of committed changes to a stream that writes
// them to Kafka, and takes them out of PostgreSQL once Kafka has them.
//
// A handler that wrote to both itself would lose an event, or invent one, whenever it died in between.
// Here the change and its event are one transaction, and a crash can only make an event arrive twice.
package outbox

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/redpanda-data/benthos/v4/public/service"

	"github.com/shop-connect/shop-connect/internal/store"
)

const (
	fieldPostgres     = "postgres_dsn"
	fieldPollInterval = "poll_interval"
	fieldBatchSize    = "batch_size"
	fieldAttempts     = "attempts"
	fieldHandoverWait = "handover_wait"
)

// The metadata of every message: where the event goes, and the id of what it is about.
const (
	MetaTopic = "topic"
	MetaKey   = "key"
)

// Spec documents the component.
func Spec() *service.ConfigSpec {
	return service.NewConfigSpec().
		Categories("Services").
		Summary("Reads the events of committed changes from the outbox in PostgreSQL, and takes them out once the output has them.").
		Description(`Every message has the metadata `+"`"+MetaTopic+"` and `"+MetaKey+"`"+`, and the event's headers, such as the reasons of a refused row. The events of one key come in the order in which their changes were committed. One batch is on its way at a time, and of all streams on all machines that share a database, one reads; the others take over when it ends.

An event may come again, after a crash or when the output failed: the output must not mind. An event that the output refuses while it takes others is kept in the table `+"`outbox`"+` with the reason in column `+"`refused`"+`, and an error is logged; set the column to NULL to send it again.`).
		Fields(
			service.NewStringField(fieldPostgres).Description("Connection string of the PostgreSQL database that holds the outbox.").Secret().
				Example("${POSTGRES_DSN}"),
			service.NewDurationField(fieldPollInterval).Description("How long an empty outbox is left alone.").Default("25ms").Advanced(),
			service.NewIntField(fieldBatchSize).Description("How many events a batch has at most.").Default(1000).Advanced(),
			service.NewIntField(fieldAttempts).Description("How often an event is refused alone before others are tried, and it is set aside if they are taken.").
				Default(3).Advanced(),
			service.NewDurationField(fieldHandoverWait).
				Description("How long to wait before publishing where another stream ended amid a batch, for instance because it was killed: until then what it sent is in Kafka, or lost. At least the `record_delivery_timeout` of the output. Where nothing was under way there is no waiting.").
				Default("10s").Advanced(),
		)
}

func init() {
	service.MustRegisterBatchInput("outbox", Spec(), func(conf *service.ParsedConfig, mgr *service.Resources) (service.BatchInput, error) {
		return newInput(conf, mgr)
	})
}

type config struct {
	dsn          string
	pollInterval time.Duration
	batchSize    int
	attempts     int
	handoverWait time.Duration
}

func parse(conf *service.ParsedConfig) (c config, err error) {
	var faults []error
	note := func(field string, err error) {
		if err != nil {
			faults = append(faults, fmt.Errorf("field %q: %w", field, err))
		}
	}
	positive := func(field string) int {
		v, err := conf.FieldInt(field)
		note(field, err)
		if err == nil && v < 1 {
			note(field, fmt.Errorf("must be 1 or more, is %d", v))
		}
		return v
	}
	c.dsn, err = conf.FieldString(fieldPostgres)
	note(fieldPostgres, err)
	note(fieldPostgres, store.CheckDSN(c.dsn))
	duration := func(field string) time.Duration {
		v, err := conf.FieldDuration(field)
		note(field, err)
		if err == nil && v <= 0 {
			note(field, errors.New("must be more than 0"))
		}
		return v
	}
	c.pollInterval, c.handoverWait = duration(fieldPollInterval), duration(fieldHandoverWait)
	c.batchSize, c.attempts = positive(fieldBatchSize), positive(fieldAttempts)
	return c, errors.Join(faults...)
}

// input is the component.
type input struct {
	config
	relay *relay

	mu    sync.Mutex
	store *store.Store
}

var _ service.BatchInput = (*input)(nil)

func newInput(conf *service.ParsedConfig, mgr *service.Resources) (*input, error) {
	c, err := parse(conf)
	if err != nil {
		return nil, err
	}
	return &input{config: c, relay: newRelay(c, mgr.Logger())}, nil
}

// Connect reaches PostgreSQL. It does not wait for its turn: a replica that does is ready all the same.
func (i *input) Connect(ctx context.Context) error {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.store != nil {
		return i.store.Ping(ctx)
	}
	opened, err := store.Open(ctx, i.dsn)
	if err != nil {
		return err
	}
	i.store = opened
	return nil
}

// ReadBatch waits for its turn, and for events.
func (i *input) ReadBatch(ctx context.Context) (service.MessageBatch, service.AckFunc, error) {
	i.mu.Lock()
	st := i.store
	i.mu.Unlock()
	if st == nil {
		return nil, nil, service.ErrNotConnected
	}
	events, err := i.relay.next(ctx, st)
	if err != nil {
		return nil, nil, err
	}
	batch := make(service.MessageBatch, len(events))
	for n, e := range events {
		batch[n] = service.NewMessage(e.Payload)
		batch[n].MetaSetMut(MetaTopic, e.Topic)
		batch[n].MetaSetMut(MetaKey, e.Key)
		for name, value := range e.Headers {
			batch[n].MetaSetMut(name, value)
		}
	}
	return batch, func(ctx context.Context, err error) error { return i.relay.resolve(ctx, events, err) }, nil
}

// Close lets another stream take over.
func (i *input) Close(context.Context) error {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.relay.letGo(true)
	i.store.Close()
	i.store = nil
	return nil
}
