package erasure

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/redpanda-data/benthos/v4/public/service"

	"github.com/shop-connect/shop-connect/internal/store"
)

type tlsConfig = tls.Config

type processor struct {
	cfg config

	mu      sync.Mutex
	store   *store.Store
	objects *minio.Client
}

var _ service.Processor = (*processor)(nil)

// open connects when there is something to do; processors have no Connect.
func (p *processor) open(ctx context.Context) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.objects == nil {
		client, err := p.cfg.objects.Client()
		if err != nil {
			return err
		}
		p.objects = client
	}
	if p.store == nil {
		opened, err := store.Open(ctx, p.cfg.dsn)
		if err != nil {
			return err
		}
		p.store = opened
	}
	return nil
}

// Close lets go of the database.
func (p *processor) Close(context.Context) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.store.Close()
	p.store = nil
	return nil
}

// Process erases the customer.
func (p *processor) Process(ctx context.Context, msg *service.Message) (service.MessageBatch, error) {
	if err := p.open(ctx); err != nil {
		return nil, err
	}
	run, _ := msg.MetaGet(store.MetaRunID)
	e := &erasure{
		cfg: p.cfg, store: p.store, objects: p.objects, run: run, clean: map[string]string{}, slices: map[store.Slice]bool{},
		report: newReport(p.cfg.customer),
	}
	defer e.close()
	if err := e.all(ctx); err != nil {
		return nil, err
	}
	body, err := json.Marshal(e.report)
	if err != nil {
		return nil, fmt.Errorf("reporting an erasure: %w", err)
	}
	msg.SetBytes(body)
	return service.MessageBatch{msg}, nil
}

// erasure is the work on one message.
type erasure struct {
	cfg     config
	store   *store.Store
	objects *minio.Client
	run     string
	began   time.Time

	state  store.Erasure
	person *person
	kafka  *kafka
	// clean is in which state an object was found to hold nothing of the person.
	clean map[string]string
	// slices are those of which an object was rewritten.
	slices map[store.Slice]bool
	report *report
}

func (e *erasure) close() {
	if e.kafka != nil {
		e.kafka.close()
	}
}

// all goes through the layers in the order in which rows do: what a layer may still send on is waited for
// before the next one is searched. Each step may be repeated, and a crash anywhere leaves work to the next
// run and nothing else.
func (e *erasure) all(ctx context.Context) (err error) {
	// the number may be one that other producers gave: the API has asked whether the shop knows it
	if e.state, err = e.store.BeginErasure(ctx, e.cfg.customer, true); err != nil {
		return err
	}
	if e.run != "" {
		if err := e.store.SetErasureRun(ctx, e.cfg.customer, e.run); err != nil {
			return err
		}
	}
	e.person = newPerson(&e.state, e.cfg.contracts)
	if e.began, err = e.store.Now(ctx); err != nil {
		return err
	}
	if e.kafka, err = openKafka(&e.cfg); err != nil {
		return err
	}
	for _, step := range []struct {
		does string
		do   func(context.Context) error
	}{
		{"waiting for the outbox", e.awaitOutbox},
		{"reading topic customers", e.learnFromKafka},
		{"waiting for what is on its way to RAW and to quarantine", e.awaitStreams},
		{"waiting for batch runs that began before", e.awaitRuns},
		{"erasing from Kafka", e.eraseFromKafka},
		{"erasing from RAW, STAGE and quarantine", e.eraseFromLake},
		{"erasing from ClickHouse", e.eraseFromClickHouse},
		{"erasing from Iceberg", e.eraseFromIceberg},
		{"erasing from PostgreSQL", e.eraseFromPostgres},
	} {
		if err := e.tell(ctx, step.does); err != nil {
			return err
		}
		if err := step.do(ctx); err != nil {
			return fmt.Errorf("%s: %w", step.does, err)
		}
		if err := e.keepClues(ctx); err != nil {
			return err
		}
	}
	return e.end(ctx)
}

// errCancelled ends the work of a run that has ended.
var errCancelled = errors.New("the run was cancelled; the person is gone from the shop's records, and from what the report says: start the erasure again to go on")

// tell says where the work is and what it has done, and ends that of a run which somebody cancelled.
func (e *erasure) tell(ctx context.Context, text string) error {
	if e.run == "" {
		return nil
	}
	if err := e.store.SetRunReport(ctx, e.run, e.report); err != nil {
		return err
	}
	goOn, err := e.store.Report(ctx, e.run, text)
	if err == nil && !goOn {
		err = errCancelled
	}
	return err
}

// keepClues notes what was found out, so that a run which goes on after a crash knows it.
func (e *erasure) keepClues(ctx context.Context) error {
	if !e.person.learnt {
		return nil
	}
	e.person.learnt = false
	return e.store.SetClues(ctx, e.cfg.customer, e.person.clues)
}

// end enters what was done; every row that came in is there still.
func (e *erasure) end(ctx context.Context) error {
	if e.run == "" {
		return nil
	}
	counts := e.report.counts()
	if err := e.store.AddToRun(ctx, e.run, counts); err != nil {
		return err
	}
	return e.tell(ctx, e.report.String())
}

// pollInterval is how often something is asked for that another process brings about.
const pollInterval = 250 * time.Millisecond

// await asks again and again until it is done, up to the time that is allowed for it, and shows meanwhile what
// is missing.
func (e *erasure) await(ctx context.Context, done func(context.Context) (missing string, err error)) error {
	began, shown := time.Now(), time.Time{}
	for {
		missing, err := done(ctx)
		if err != nil || missing == "" {
			return err
		}
		waited := time.Since(began)
		if waited > e.cfg.wait {
			return fmt.Errorf("not within %s: %s", e.cfg.wait, missing)
		}
		if time.Since(shown) > time.Second {
			shown = time.Now()
			if err := e.tell(ctx, fmt.Sprintf("waiting for %s: %s", waited.Round(time.Second), missing)); err != nil {
				return err
			}
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(pollInterval):
		}
	}
}

// awaitOutbox returns once the deletion is in Kafka: what a relay had read of the person before is there too,
// since events of a key are published in their order.
func (e *erasure) awaitOutbox(ctx context.Context) error {
	return e.await(ctx, func(ctx context.Context) (string, error) {
		waiting, err := e.store.OutboxHolds(ctx, e.cfg.customer)
		if !waiting || err != nil {
			return "", err
		}
		return "the deletion is in the outbox and not in Kafka yet; is the stream outbox_kafka at work?", nil
	})
}

// streamName is what runs of this kind are called.
const streamName = "erase_customer"

// awaitRuns returns once every batch run has ended that may have read the person before: an export, a copy
// into STAGE, a replay.
func (e *erasure) awaitRuns(ctx context.Context) error {
	return e.await(ctx, func(ctx context.Context) (string, error) {
		runs, err := e.store.RunsBefore(ctx, e.began, streamName)
		if err != nil || len(runs) == 0 {
			return "", err
		}
		for _, run := range runs {
			if err := e.store.EndAbandoned(ctx, run.Name); err != nil {
				return "", err
			}
		}
		return fmt.Sprintf("run %s of %s, which began before, is at work; it may be cancelled", runs[0].ID, runs[0].Name), nil
	})
}
