// Package replay brings rows back from quarantine: it repairs them with a mapping, holds them against their
// contract once more and sends the good ones to their entity's Kafka topic, from where they take the way of
// any other row. What became of a row is in the ledger, so that no row is brought back twice.
package replay

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/shop-connect/shop-connect/internal/contract"
	"github.com/shop-connect/shop-connect/internal/quarantine/catalog"
	"github.com/shop-connect/shop-connect/internal/store"
)

// RunName is the name of replays and discards in the ledger of runs. They have one name so that one of them
// is at work at a time.
const RunName = "quarantine"

// The actions, as a run's parameters name them.
const (
	actionReplay  = "replay"
	actionDiscard = "discard"
)

// ErrBusy is returned while another replay or discard is at work.
var ErrBusy = errors.New("another replay or discard is at work; wait for its end, then start this one again")

// errCancelled ends a run whose end was asked for in the ledger.
var errCancelled = errors.New("cancelled; what was done stays done, and a new start does the rest")

const (
	// batchRows are judged, sent and entered in the ledger at a time.
	batchRows = 2000
	// maxAnnotated bounds the memory that new reasons of one object take; further rows keep their old ones.
	maxAnnotated = 1 << 18
	// attempts bounds how often an object is begun again because the stream overwrote it meanwhile.
	attempts = 3

	endTimeout = 10 * time.Second
)

// Engine replays and discards. It is safe for concurrent use; one run at a time is let in.
type Engine struct {
	Catalog   *catalog.Catalog
	Store     *store.Store
	Kafka     *kgo.Client
	Contracts map[string]*contract.Contract
	// Timezone is that of times which name none.
	Timezone *time.Location
	// RawBucket is where objects that were refused whole go back to.
	RawBucket string
}

// Request says which rows are meant and what is to become of them.
type Request struct {
	catalog.Filter
	// Mapping repairs rows; nil takes them as they are.
	Mapping *Mapping
	// MappingText is what the ledger shows.
	MappingText string
	// Why says in the ledger why rows are discarded.
	Why string
	// Objects means objects that were refused whole, and not rows.
	Objects bool
	// DryRun changes nothing.
	DryRun bool
	// By is who asks.
	By string
	// Progress is told how many rows were looked at, if it is there; Total how many there are.
	Progress func(rows int64)
	Total    func(rows int64)
}

func (r *Request) parameters(action string) map[string]string {
	params := map[string]string{"action": action}
	for key, value := range map[string]string{
		"entity": r.Entity, "layer": r.Layer, "day": r.Day, "reason": r.Reason, "source": r.Source,
		"mapping": r.MappingText, "why": r.Why, "by": r.By,
	} {
		if value != "" {
			params[key] = value
		}
	}
	if r.Objects {
		params["objects"] = "true"
	}
	return params
}

// Replay brings rows back, or puts objects back to RAW.
func (e *Engine) Replay(ctx context.Context, r Request) (Report, error) {
	return e.run(ctx, r, actionReplay, store.Replayed)
}

// Discard gives rows or objects up. They stay in the bucket and are no longer open.
func (e *Engine) Discard(ctx context.Context, r Request) (Report, error) {
	return e.run(ctx, r, actionDiscard, store.Discarded)
}

// Enter starts a replay or discard that nobody waits for: it returns once the run is in the ledger.
func (e *Engine) Enter(ctx context.Context, r Request, discard bool) (run string, work func(context.Context) (Report, error), err error) {
	action, fate := actionReplay, store.Replayed
	if discard {
		action, fate = actionDiscard, store.Discarded
	}
	w, err := e.enter(ctx, r, action, fate)
	if err != nil {
		return "", nil, err
	}
	return w.run, w.toEnd, nil
}

func (e *Engine) run(ctx context.Context, r Request, action string, fate store.Fate) (Report, error) {
	if r.DryRun {
		w := &work{Engine: e, request: r, fate: fate, refusals: refusals{}, sent: store.Places{}, refused: store.Places{}}
		w.report.DryRun = true
		err := w.all(ctx)
		w.report.Refused = w.refusals.sorted()
		return w.report, err
	}
	w, err := e.enter(ctx, r, action, fate)
	if err != nil {
		return Report{}, err
	}
	return w.toEnd(ctx)
}

// enter makes a run of the request the only one at work.
func (e *Engine) enter(ctx context.Context, r Request, action string, fate store.Fate) (*work, error) {
	id, err := uuid.NewV7()
	if err != nil {
		return nil, fmt.Errorf("making a run id: %w", err)
	}
	lock, err := e.Store.LockRun(ctx, RunName, false)
	if errors.Is(err, store.ErrBusy) {
		return nil, ErrBusy
	}
	if err != nil {
		return nil, err
	}
	w := &work{Engine: e, request: r, fate: fate, run: id.String(), lock: lock, refusals: refusals{}, sent: store.Places{}, refused: store.Places{}}
	w.report.RunID = w.run
	if err = e.Store.CreateRun(ctx, w.run, RunName, r.parameters(action)); err == nil {
		err = e.Store.StartRun(ctx, w.run, RunName)
	}
	if err != nil {
		lock.Release()
		return nil, err
	}
	return w, nil
}

// toEnd does the work of a run and closes its books, whatever happens.
func (w *work) toEnd(ctx context.Context) (Report, error) {
	defer w.lock.Release()
	err := w.all(ctx)
	w.report.Refused = w.refusals.sorted()
	if err == nil && !w.report.Reconciles() {
		err = fmt.Errorf("counting run %s: rows in are not rows out, refused and skipped together", w.run) // I4
	}
	status, reason := store.Succeeded, ""
	switch {
	case ctx.Err() != nil || errors.Is(err, errCancelled):
		status, reason = store.Cancelled, errCancelled.Error()
	case err != nil:
		status, reason = store.Failed, err.Error()
	}
	ending, cancel := context.WithTimeout(context.WithoutCancel(ctx), endTimeout)
	defer cancel()
	return w.report, errors.Join(err, w.Store.FinishRun(ending, w.run, status, 1, reason))
}
