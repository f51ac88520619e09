package batchrun

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/redpanda-data/benthos/v4/public/service"

	"github.com/shop-connect/shop-connect/internal/store"
)

// closeTimeout bounds what is done after the end: a ledger entry, the end of the wrapped input.
const closeTimeout = 10 * time.Second

// input is the component; a run begins with its Connect.
type input struct {
	cfg     config
	child   *service.OwnedInput
	reports *reports
	log     *service.Logger

	// Connect's own state; Connect is not called concurrently.
	store    *store.Store
	entered  bool
	failures int

	mu  sync.Mutex
	run *run
}

var _ service.BatchInput = (*input)(nil)

// Connect enters the run in the ledger and starts it.
func (i *input) Connect(ctx context.Context) error {
	err := i.begin(ctx)
	if err == nil || errors.Is(err, service.ErrEndOfInput) {
		return err
	}
	if i.failures++; i.failures < i.cfg.attempts {
		return err
	}
	// without a ledger there is nothing to enter the failure in; the log is all there is
	i.log.Errorf("run of %s gives up after %d attempts: %v", i.cfg.name, i.failures, err)
	return service.ErrEndOfInput
}

func (i *input) begin(ctx context.Context) error {
	if i.store == nil {
		opened, err := store.Open(ctx, i.cfg.dsn)
		if err != nil {
			return err
		}
		i.store = opened
	}
	if !i.entered {
		if i.cfg.id == "" {
			id, err := uuid.NewV7()
			if err != nil {
				return fmt.Errorf("making a run id: %w", err)
			}
			i.cfg.id = id.String()
		}
		if err := i.store.CreateRun(ctx, i.cfg.id, i.cfg.name, i.cfg.parameters); err != nil {
			return err
		}
		i.entered = true
	}
	lock, err := i.takeTurn(ctx)
	switch {
	case errors.Is(err, store.ErrBusy):
		return i.refuse(ctx, store.Failed, store.RefusedAsBusy(i.cfg.name, fmt.Sprintf("wait for it, or set `%s: %s`", fieldOnBusy, onBusyQueue)))
	case errors.Is(err, errCancelled):
		return i.refuse(ctx, store.Cancelled, "cancelled on request, before it began")
	case err != nil:
		return err
	}
	if err := i.store.StartRun(ctx, i.cfg.id, i.cfg.name); err != nil {
		lock.Release()
		return err
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	i.run = startRun(i.cfg, i.store, lock, i.child, i.reports, i.log)
	return nil
}

// takeTurn makes this run the only one of its name, now or, where it queues, once the others have ended.
func (i *input) takeTurn(ctx context.Context) (*store.Lock, error) {
	if !i.cfg.queue {
		return i.store.LockRun(ctx, i.cfg.name, false)
	}
	waiting, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	go i.followCancel(waiting, stop)
	lock, err := i.store.LockRun(waiting, i.cfg.name, true)
	if err != nil && errors.Is(context.Cause(waiting), errCancelled) {
		return nil, errCancelled
	}
	return lock, err
}

// followCancel ends the wait of a run that somebody cancels.
func (i *input) followCancel(ctx context.Context, stop context.CancelCauseFunc) {
	ticker := time.NewTicker(watchInterval)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		goOn, err := i.store.Report(ctx, i.cfg.id, "waits for another run of "+i.cfg.name+" to end")
		if err == nil && !goOn {
			stop(errCancelled)
			return
		}
	}
}

// refuse ends a run that has not begun.
func (i *input) refuse(ctx context.Context, status store.Status, reason string) error {
	if err := i.store.FinishRun(ctx, i.cfg.id, status, 0, reason); err != nil {
		return err
	}
	i.log.Errorf("run %s of %s has not begun: %s", i.cfg.id, i.cfg.name, reason)
	return service.ErrEndOfInput
}

// ReadBatch returns what is to be delivered next: what was rejected, else what the input gives.
func (i *input) ReadBatch(ctx context.Context) (service.MessageBatch, service.AckFunc, error) {
	i.mu.Lock()
	r := i.run
	i.mu.Unlock()
	if r == nil {
		return nil, nil, service.ErrNotConnected
	}
	d, err := r.next(ctx)
	if err != nil {
		return nil, nil, err
	}
	batch := d.batch.Copy()
	for _, msg := range batch {
		msg.MetaSetMut(store.MetaRunID, i.cfg.id)
	}
	return batch, func(ctx context.Context, err error) error { return r.resolve(ctx, d, err) }, nil
}

// Close ends what has not ended. Closed before its end, a run is cancelled.
func (i *input) Close(ctx context.Context) error {
	i.mu.Lock()
	defer i.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, closeTimeout)
	defer cancel()
	var err error
	if i.run != nil {
		i.run.end(store.Cancelled, errors.New("its stream was removed before the input had ended"))
		i.run.wait()
		// an input that was never read from has started nothing, and would never report its end
		err = i.child.Close(ctx)
		i.run = nil
	} else if i.entered {
		err = i.store.FinishRun(ctx, i.cfg.id, store.Cancelled, 0, "its stream was removed before it began")
	}
	i.store.Close()
	i.store, i.entered = nil, false
	if err != nil {
		return fmt.Errorf("closing run %s: %w", i.cfg.id, err)
	}
	return nil
}
