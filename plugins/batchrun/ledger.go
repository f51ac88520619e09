package batchrun

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/shop-connect/shop-connect/internal/store"
)

const (
	watchInterval = time.Second
	// connectPatience is how long an input may be without a connection before it has given anything.
	connectPatience = 30 * time.Second
	ledgerTimeout   = 10 * time.Second
)

// watch keeps the ledger up to date and ends a run that gets nowhere.
func (r *run) watch() {
	ticker := time.NewTicker(min(watchInterval, r.cfg.noProgress/4))
	defer ticker.Stop()
	defer r.lock.Release() // here, because this is who uses its connection
	for {
		select {
		case <-r.ctx.Done():
			return
		case <-ticker.C:
		}
		err := r.check()
		switch {
		case errors.Is(err, errCancelled):
			r.end(store.Cancelled, err)
			return
		case err != nil:
			r.end(store.Failed, err)
			return
		}
	}
}

// errCancelled is why a run ends that somebody cancelled.
var errCancelled = errors.New("cancelled on request")

// ledgerState is what changes in the ledger while a run gets on, whoever enters it.
type ledgerState struct {
	counts   store.Counts
	progress string
}

func (r *run) check() error {
	ctx, cancel := context.WithTimeout(r.ctx, ledgerTimeout)
	defer cancel()
	err := r.lock.Held(ctx)
	if err == nil {
		err = r.flush(ctx)
	}
	var entry store.Run
	if err == nil {
		entry, err = r.store.Run(ctx, r.cfg.id)
	}
	if r.ctx.Err() != nil {
		return nil
	}
	if err != nil {
		return err
	}
	if entry.CancelRequested {
		return errCancelled
	}
	if now := (ledgerState{entry.Counts, entry.Progress}); now != r.seen {
		r.seen = now
		r.progressed()
	}
	return r.idle(entry.Progress)
}

// idle returns why a run fails that gets nowhere.
func (r *run) idle(progress string) error {
	r.mu.Lock()
	idle, read := time.Since(r.moved), r.read
	r.mu.Unlock()
	patience := r.cfg.noProgress
	cause := connectionError(r.child)
	if cause != nil && !read {
		patience = min(patience, connectPatience)
	}
	switch {
	case idle <= patience:
		return nil
	case cause != nil:
		return fmt.Errorf("connecting the input, for %s: %w", patience, cause)
	case progress != "":
		return fmt.Errorf("nothing moved for %s: %s", patience, progress)
	}
	return fmt.Errorf("nothing was read, acknowledged or rejected for %s; the log of the stream may say why", patience)
}

// flush enters what was counted and reported here since the last time.
func (r *run) flush(ctx context.Context) error {
	r.flushing.Lock()
	defer r.flushing.Unlock()
	progress, counts := r.reports.read()
	if r.cfg.byMessage {
		r.mu.Lock()
		counts = counts.Plus(store.Counts{RowsIn: r.in, RowsOut: r.out, Bytes: r.bytes})
		r.mu.Unlock()
	}
	if added := counts.Minus(r.entered); added != (store.Counts{}) {
		if err := r.store.AddToRun(ctx, r.cfg.id, added); err != nil {
			return err
		}
		r.entered = counts
	}
	if progress != r.noted {
		if _, err := r.store.Report(ctx, r.cfg.id, progress); err != nil {
			return err
		}
		r.noted = progress
	}
	return nil
}

// completeIfDone ends the run where the input has ended and every message is acknowledged.
func (r *run) completeIfDone() {
	r.mu.Lock()
	done := r.drained && len(r.pending) == 0 && !r.ended
	r.mu.Unlock()
	if !done {
		return
	}
	if err := r.reconcile(); err != nil {
		r.end(store.Failed, err)
		return
	}
	r.end(store.Succeeded, nil)
}

// reconcile is I4 of a run: a run whose rows do not add up has not succeeded.
func (r *run) reconcile() error {
	ctx, cancel := context.WithTimeout(context.Background(), ledgerTimeout)
	defer cancel()
	if err := r.flush(ctx); err != nil {
		return err
	}
	entry, err := r.store.Run(ctx, r.cfg.id)
	if err != nil {
		return err
	}
	if !entry.Reconciles() {
		return fmt.Errorf("rows do not add up: %d in, but %d out + %d refused + %d skipped",
			entry.RowsIn, entry.RowsOut, entry.RowsRefused, entry.RowsSkipped)
	}
	r.mu.Lock()
	acked := r.out // messages are objects here
	r.mu.Unlock()
	if counted := entry.Objects + entry.ObjectsUnchanged; !r.cfg.byMessage && counted < acked {
		return fmt.Errorf("%d of %d messages were acknowledged without being counted: put the output into `reject_errored`, so that a processor's error rejects its message", acked-counted, acked)
	}
	return nil
}

// end ends the run, once; the first reason counts. Nothing here waits for messages under way: whatever
// holds them may be the very reason.
func (r *run) end(status store.Status, reason error) {
	r.mu.Lock()
	if r.ended {
		r.mu.Unlock()
		return
	}
	r.ended = true
	unanswered := r.pending
	r.pending, r.again = nil, nil
	attempts := r.worst
	r.mu.Unlock()

	ctx, cancel := context.WithTimeout(context.Background(), ledgerTimeout)
	defer cancel()
	text := ""
	if reason != nil {
		text = reason.Error()
	}
	err := errors.Join(r.flush(ctx), r.store.FinishRun(ctx, r.cfg.id, status, int64(attempts), text))
	if reason != nil || err != nil {
		r.log.Errorf("run %s of %s %s: %v", r.cfg.id, r.cfg.name, status, errors.Join(reason, err))
	}
	r.stop()
	for d := range unanswered {
		_ = d.ack(ctx, reason) // the input may deliver it to a later run
	}
}
