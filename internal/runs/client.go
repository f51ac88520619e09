// Package runs starts batch streams and follows their runs. A run is a stream of streams/ posted to the
// streams REST API under its file's name; its end is what the ledger says, never what the API guesses.
package runs

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
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
	// deleteTimeout bounds the removal of a stream that does not let go; without it a call can hang.
	deleteTimeout = "30s"
	// startTimeout is how long a posted stream may take to enter itself in the ledger.
	startTimeout = 60 * time.Second
	// orphanInterval is how often it is checked that the process of a run is still there.
	orphanInterval = 2 * time.Second
)

// ErrBusy is returned where a run of the same name is at work, and its YAML does not say to queue.
var ErrBusy = errors.New("a run of this name is at work")

// Client starts and follows runs.
type Client struct {
	// StreamsURL, User and Password are those of the streams REST API.
	StreamsURL, User, Password string
	// Store holds the ledger.
	Store *store.Store
	// HTTP makes the calls; nil means http.DefaultClient.
	HTTP *http.Client
}

// Start posts a batch stream with parameters and returns once its run is in the ledger.
func (c *Client) Start(ctx context.Context, path string, params map[string]string) (store.Run, error) {
	id, err := uuid.NewV7()
	if err != nil {
		return store.Run{}, fmt.Errorf("making a run id: %w", err)
	}
	params = maps.Clone(params)
	if params == nil {
		params = map[string]string{}
	}
	params[paramRunID] = id.String()
	s, err := load(path, params)
	if err != nil {
		return store.Run{}, err
	}
	streamID := strings.TrimSuffix(filepath.Base(path), extension)
	if err := c.post(ctx, streamID, s); err != nil {
		return store.Run{}, fmt.Errorf("starting %s: %w", streamID, err)
	}
	return c.awaitEntry(ctx, streamID, id.String())
}

// post puts the stream in the place of one that has ended. Ids are reused: Connect keeps something of
// every new one for ever.
func (c *Client) post(ctx context.Context, streamID string, s stream) error {
	for {
		status, answer, err := c.call(ctx, http.MethodPost, "/streams/"+streamID, s.yaml)
		if err != nil || status == http.StatusOK {
			return err
		}
		if !bytes.Contains(answer, []byte("already exists")) {
			return refusal(status, answer)
		}
		busy, err := c.busy(ctx, s.name)
		if err != nil {
			return err
		}
		if busy && !s.queues {
			return fmt.Errorf("%w: wait for it, cancel it, or write `on_busy: queue` into its YAML", ErrBusy)
		}
		if !busy {
			err = c.remove(ctx, streamID)
		} else {
			err = pause(ctx, pollInterval)
		}
		if err != nil {
			return err
		}
	}
}

// busy reports whether the ledger has a run of a name that has not ended.
func (c *Client) busy(ctx context.Context, name string) (bool, error) {
	if err := c.Store.EndAbandoned(ctx, name); err != nil {
		return false, err
	}
	newest, err := c.Store.Runs(ctx, name, 1)
	return err == nil && len(newest) == 1 && !newest[0].Status.Final(), err
}

// refusal turns an answer of the streams API into words.
func refusal(status int, answer []byte) error {
	var lints struct {
		Errors []string `json:"lint_errors"`
	}
	if json.Unmarshal(answer, &lints) == nil && len(lints.Errors) > 0 {
		return fmt.Errorf("its YAML has faults: %s", strings.Join(lints.Errors, "; "))
	}
	if status == http.StatusUnauthorized {
		return errors.New("the streams API refuses user and password: check STREAMS_USER and STREAMS_PASSWORD")
	}
	return fmt.Errorf("the streams API answers %d: %s", status, bytes.TrimSpace(answer))
}

func (c *Client) remove(ctx context.Context, streamID string) error {
	status, answer, err := c.call(ctx, http.MethodDelete, "/streams/"+streamID+"?timeout="+deleteTimeout, "")
	if err != nil || status == http.StatusOK || status == http.StatusNotFound {
		return err
	}
	return refusal(status, answer)
}

func (c *Client) call(ctx context.Context, method, path, body string) (int, []byte, error) {
	request, err := http.NewRequestWithContext(ctx, method, strings.TrimSuffix(c.StreamsURL, "/")+path, strings.NewReader(body))
	if err != nil {
		return 0, nil, fmt.Errorf("calling the streams API: %w", err)
	}
	request.SetBasicAuth(c.User, c.Password)
	client := c.HTTP
	if client == nil {
		client = http.DefaultClient
	}
	response, err := client.Do(request)
	if err != nil {
		return 0, nil, fmt.Errorf("calling the streams API: %w; is `shop-connect up` or `streams` running?", err)
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	if err != nil {
		return 0, nil, fmt.Errorf("reading the answer of the streams API: %w", err)
	}
	return response.StatusCode, answer, nil
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
		if ended, err := c.ended(ctx, streamID); err != nil {
			return store.Run{}, err
		} else if ended {
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

func (c *Client) ended(ctx context.Context, streamID string) (bool, error) {
	status, answer, err := c.call(ctx, http.MethodGet, "/streams/"+streamID, "")
	if err != nil {
		return false, err
	}
	var s struct {
		Active bool `json:"active"`
	}
	if status == http.StatusNotFound {
		return true, nil
	}
	if err := json.Unmarshal(answer, &s); err != nil || status != http.StatusOK {
		return false, refusal(status, answer)
	}
	return !s.Active, nil
}

// Follow returns a run once it has ended, and calls progress with what it is at meanwhile.
func (c *Client) Follow(ctx context.Context, id string, progress func(store.Run)) (store.Run, error) {
	looked := time.Now()
	for {
		run, err := c.Store.Run(ctx, id)
		if err != nil || run.Status.Final() {
			return run, err
		}
		if progress != nil {
			progress(run)
		}
		if time.Since(looked) > orphanInterval {
			looked = time.Now()
			if err := c.Store.EndAbandoned(ctx, run.Name); err != nil {
				return run, err
			}
		}
		if err := pause(ctx, pollInterval); err != nil {
			return run, err
		}
	}
}

// Cancel removes the stream of a batch file; its run ends as cancelled.
func (c *Client) Cancel(ctx context.Context, path string) error {
	streamID := strings.TrimSuffix(filepath.Base(path), extension)
	if err := c.remove(ctx, streamID); err != nil {
		return fmt.Errorf("cancelling %s: %w", streamID, err)
	}
	return nil
}

func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}
