package runs

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
)

const (
	// deleteTimeout bounds the removal of a stream that does not let go; without it a call can hang.
	deleteTimeout = "30s"
	// maxQueue is how many runs of a name there may be at once, those that wait included.
	maxQueue = 8
	// endGrace is how long a stream may take to end after its run, or to enter its run after its post.
	endGrace = 5 * time.Second
)

// streamState is what the streams REST API says of a stream.
type streamState int

const (
	absent streamState = iota
	active
	ended
)

// place is the id of a stream. Ids are fixed: Connect keeps something of every new one for ever. A name
// whose runs queue has a place for each of them.
func place(name string, n int) string {
	if n == 0 {
		return name
	}
	return name + "-" + strconv.Itoa(n+1)
}

// post puts the stream in a free place, or in that of one that has ended, and returns its id.
func (c *Client) post(ctx context.Context, name string, s stream) (string, error) {
	places := 1
	if s.queues {
		places = maxQueue
	}
	for begin := time.Now(); ; {
		for n := range places {
			streamID := place(name, n)
			if posted, err := c.take(ctx, streamID, s); posted || err != nil {
				return streamID, err
			}
		}
		busy, err := c.busy(ctx, s.name)
		switch {
		case err != nil:
			return "", err
		case busy && s.queues:
			return "", fmt.Errorf("%w, and %d wait for it already", ErrBusy, maxQueue-1)
		case busy:
			return "", fmt.Errorf("%w: wait for it, cancel it, or write `on_busy: queue` into its YAML", ErrBusy)
		case time.Since(begin) > endGrace:
			err = c.remove(ctx, name)
		default:
			err = pause(ctx, pollInterval)
		}
		if err != nil {
			return "", err
		}
	}
}

// take posts the stream under an id, unless a stream of this id is at work.
func (c *Client) take(ctx context.Context, streamID string, s stream) (posted bool, err error) {
	state, err := c.state(ctx, streamID)
	if err != nil || state == active {
		return false, err
	}
	if state == ended {
		if err := c.remove(ctx, streamID); err != nil {
			return false, err
		}
	}
	status, answer, err := c.call(ctx, http.MethodPost, "/streams/"+streamID, s.yaml)
	if err != nil || status == http.StatusOK {
		return err == nil, err
	}
	if bytes.Contains(answer, []byte("already exists")) {
		return false, nil // somebody else was faster
	}
	return false, refusal(status, answer)
}

// busy reports whether the ledger has a run of a name that has not ended.
func (c *Client) busy(ctx context.Context, name string) (bool, error) {
	if err := c.Store.EndAbandoned(ctx, name); err != nil {
		return false, err
	}
	n, err := c.Store.Unfinished(ctx, name)
	return n > 0, err
}

func (c *Client) state(ctx context.Context, streamID string) (streamState, error) {
	status, answer, err := c.call(ctx, http.MethodGet, "/streams/"+streamID, "")
	if err != nil {
		return absent, err
	}
	if status == http.StatusNotFound {
		return absent, nil
	}
	var s struct {
		Active bool `json:"active"`
	}
	if err := json.Unmarshal(answer, &s); err != nil || status != http.StatusOK {
		return absent, refusal(status, answer)
	}
	if s.Active {
		return active, nil
	}
	return ended, nil
}

// RefusedError says why a stream cannot be what its YAML, with the parameters in it, says.
type RefusedError struct{ text string }

func (e *RefusedError) Error() string { return e.text }

// refusal turns an answer of the streams API into words.
func refusal(status int, answer []byte) error {
	var lints struct {
		Errors []string `json:"lint_errors"`
	}
	if json.Unmarshal(answer, &lints) == nil && len(lints.Errors) > 0 {
		return &RefusedError{"its YAML has faults: " + strings.Join(lints.Errors, "; ")}
	}
	// Connect answers with this status where a component cannot be made of its fields, and so says which
	if status == http.StatusBadRequest || status == http.StatusBadGateway && bytes.HasPrefix(answer, []byte("Error: failed to init")) {
		return &RefusedError{"the streams API refuses it: " + string(bytes.TrimSpace(answer))}
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

// AwayError says that the streams REST API cannot be reached.
type AwayError struct{ cause error }

func (e *AwayError) Error() string {
	return fmt.Sprintf("calling the streams API: %v; is `shop-connect up` or `streams` running?", e.cause)
}

func (e *AwayError) Unwrap() error { return e.cause }

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
		return 0, nil, &AwayError{err}
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	if err != nil {
		return 0, nil, fmt.Errorf("reading the answer of the streams API: %w", err)
	}
	return response.StatusCode, answer, nil
}
