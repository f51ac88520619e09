// Package runs starts batch streams and follows their runs. A run is a stream of streams/ posted to the
// streams REST API under its file's name; its end is what the ledger says, never what the API guesses.
package runs

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"path/filepath"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/shop-connect/shop-connect/internal/store"
)

const (
	pollInterval = 100 * time.Millisecond
	// startTimeout is how long a posted stream may take to enter itself in the ledger.
	startTimeout = 60 * time.Second
	// ledgerTimeout is how long the ledger may take to answer before anything is started.
	ledgerTimeout = 5 * time.Second
	// orphanInterval is how often it is checked that the process of a run is still there.
	orphanInterval = 2 * time.Second
)

var (
	// ErrBusy is returned where a run of the same name is at work, and its YAML does not say to queue.
	ErrBusy = errors.New("a run of this name is at work")
	// ErrTaken is returned for the id of another run.
	ErrTaken = errors.New("the run id is that of another run: leave it out, or make a new one")
)

// Client starts and follows runs.
type Client struct {
	// StreamsURL, User and Password are those of the streams REST API.
	StreamsURL, User, Password string
	// Dir is the folder of the batch streams.
	Dir string
	// Store holds the ledger.
	Store *store.Store
	// HTTP makes the calls; nil means http.DefaultClient.
	HTTP *http.Client
}

// Request asks for a run.
type Request struct {
	// Name is that of a batch stream.
	Name string
	// Params are its parameters; those left out have their defaults.
	Params map[string]string
	// ID is a UUID that the caller has made, so that a request that is sent twice starts one run; or empty.
	ID string
}

// Start posts a batch stream with parameters and returns once its run is in the ledger. A request whose
// id is that of a run which was asked for in the same words returns that run.
func (c *Client) Start(ctx context.Context, r Request) (store.Run, error) {
	path, err := Find(c.Dir, r.Name)
	if err != nil {
		return store.Run{}, err
	}
	if _, given := r.Params[paramRunID]; given {
		return store.Run{}, ParamFaults{{paramRunID, "is no parameter: it is given beside them"}}
	}
	if r.ID == "" {
		id, err := uuid.NewV7()
		if err != nil {
			return store.Run{}, fmt.Errorf("making a run id: %w", err)
		}
		r.ID = id.String()
	} else if run, err := c.known(ctx, r); err == nil || !errors.Is(err, store.ErrNotFound) {
		return run, err
	}
	params := maps.Clone(r.Params)
	if params == nil {
		params = map[string]string{}
	}
	params[paramRunID] = r.ID
	s, err := load(path, params)
	if err != nil {
		return store.Run{}, err
	}
	// a run that the ledger cannot take is not started
	if err := c.askLedger(ctx); err != nil {
		return store.Run{}, fmt.Errorf("starting %s: %w", r.Name, err)
	}
	streamID, err := c.post(ctx, strings.TrimSuffix(filepath.Base(path), extension), s)
	if errors.Is(err, ErrBusy) {
		// the same request, sent at the same time, may be the run that is in the way
		if run, err := c.known(ctx, r); err == nil {
			return run, nil
		}
	}
	if err != nil {
		return store.Run{}, fmt.Errorf("starting %s: %w", r.Name, err)
	}
	return c.awaitEntry(ctx, streamID, r.ID)
}

func (c *Client) askLedger(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, ledgerTimeout)
	defer cancel()
	return c.Store.Ping(ctx)
}

// known returns the run of an id, if it is what a request asks for.
func (c *Client) known(ctx context.Context, r Request) (store.Run, error) {
	ctx, cancel := context.WithTimeout(ctx, ledgerTimeout)
	defer cancel()
	run, err := c.Store.Run(ctx, r.ID)
	if err != nil {
		return store.Run{}, err
	}
	same := run.Name == r.Name
	for name, value := range r.Params {
		same = same && run.Parameters[name] == value
	}
	if !same {
		return store.Run{}, ErrTaken
	}
	return run, nil
}

// awaitEntry waits until the stream has entered its run in the ledger.
func (c *Client) awaitEntry(ctx context.Context, streamID, id string) (store.Run, error) {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	for {
		run, err := c.Store.Run(ctx, id)
		if err == nil || !errors.Is(err, store.ErrNotFound) {
			return run, err
		}
		if state, err := c.state(ctx, streamID); err != nil {
			return store.Run{}, err
		} else if state != active {
			// it may have entered itself, and ended, between the two looks
			if run, err := c.Store.Run(ctx, id); err == nil {
				return run, nil
			}
			return store.Run{}, fmt.Errorf("starting %s: the stream ended without entering a run; the log of the streams says why", streamID)
		}
		if err := pause(ctx, pollInterval); err != nil {
			return store.Run{}, fmt.Errorf("starting %s: no entry in the ledger after %s; the log of the streams says why: %w", streamID, startTimeout, err)
		}
	}
}

// Run returns a run as it stands. One whose process was killed is closed first.
func (c *Client) Run(ctx context.Context, id string) (store.Run, error) {
	run, err := c.Store.Run(ctx, id)
	if err != nil || run.Status.Final() {
		return run, err
	}
	if err := c.Store.EndAbandoned(ctx, run.Name); err != nil {
		return run, err
	}
	return c.Store.Run(ctx, id)
}

// Runs returns the newest runs, at most limit.
func (c *Client) Runs(ctx context.Context, f store.RunFilter, limit int) ([]store.Run, error) {
	return c.Store.Runs(ctx, f, limit)
}

// Follow returns a run once it has ended, and calls progress with what it is at meanwhile.
func (c *Client) Follow(ctx context.Context, id string, progress func(store.Run)) (store.Run, error) {
	looked := time.Now()
	for {
		look := c.Store.Run
		if time.Since(looked) > orphanInterval {
			looked, look = time.Now(), c.Run
		}
		run, err := look(ctx, id)
		if err != nil || run.Status.Final() {
			return run, err
		}
		if progress != nil {
			progress(run)
		}
		if err := pause(ctx, pollInterval); err != nil {
			return run, err
		}
	}
}

// Cancel asks for the end of a run and returns it as it stands. Whoever is at work on it, wherever it was
// started from, ends it within seconds.
func (c *Client) Cancel(ctx context.Context, id string) (store.Run, error) {
	if err := c.Store.RequestCancel(ctx, id); err != nil {
		return store.Run{}, err
	}
	return c.Run(ctx, id)
}

func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}
