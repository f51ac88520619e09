package api_test

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/shop-connect/shop-connect/api"
	"github.com/shop-connect/shop-connect/internal/auth"
	"github.com/shop-connect/shop-connect/internal/store"
	"github.com/shop-connect/shop-connect/internal/testservers"
)

// counter is an endpoint that does something each time it is asked.
type counter struct {
	server *api.Server
	done   atomic.Int32
	status atomic.Int32
	hold   chan struct{} // if not nil, it answers once this is closed
	begun  chan struct{}
}

func newCounter(t *testing.T) *counter {
	t.Helper()
	kept, err := store.Open(t.Context(), testservers.Postgres(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(kept.Close)
	c := &counter{begun: make(chan struct{}, 16)}
	c.status.Store(http.StatusCreated)
	c.server = newServer(t, func(config *api.Config) { config.Idempotency = kept })
	if _, err := c.server.Mount(api.Route{Method: "POST", Path: "/things", Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, ok := c.server.Authorize(w, r, []string{auth.ScopeWrite}); !ok {
			return
		}
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		n := c.done.Add(1)
		c.begun <- struct{}{}
		if c.hold != nil {
			<-c.hold
		}
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Location", fmt.Sprintf("/things/%d", n))
		w.WriteHeader(int(c.status.Load()))
		_, _ = fmt.Fprintf(w, `{"number":%d,"sent":%q}`, n, body)
	})}); err != nil {
		t.Fatal(err)
	}
	return c
}

func (c *counter) header(t *testing.T, subject, key string) http.Header {
	h := tokenOf(t, subject, auth.ScopeWrite)
	h.Set("Idempotency-Key", key)
	return h
}

func TestRequestWithTheSameKeyIsDoneOnceAndAnsweredAlike(t *testing.T) {
	c := newCounter(t)
	first := do(c.server, "POST", "/things", "one", c.header(t, "ann", "k-1"))
	again := do(c.server, "POST", "/things/", "one", c.header(t, "ann", "k-1"))
	if first.Code != 201 || again.Code != 201 || first.Body.String() != again.Body.String() || c.done.Load() != 1 {
		t.Fatalf("answers are %d %s and %d %s, done %d times", first.Code, first.Body, again.Code, again.Body, c.done.Load())
	}
	if first.Header().Get("Idempotent-Replayed") != "" || again.Header().Get("Idempotent-Replayed") != "true" ||
		again.Header().Get("Location") != "/things/1" || again.Header().Get("Content-Type") != "application/json" {
		t.Errorf("headers are %v and %v", first.Header(), again.Header())
	}
	wantProblem(t, do(c.server, "POST", "/things", "two", c.header(t, "ann", "k-1")), http.StatusUnprocessableEntity)
	for i, header := range []http.Header{c.header(t, "ann", "k-2"), c.header(t, "bob", "k-1"), tokenOf(t, "ann", auth.ScopeWrite)} {
		if w := do(c.server, "POST", "/things", "one", header); w.Code != 201 || c.done.Load() != int32(i)+2 {
			t.Errorf("another key, client or none: answer is %d, done %d times", w.Code, c.done.Load())
		}
	}
}

func TestRequestWithoutAGoodTokenTakesNoKey(t *testing.T) {
	c := newCounter(t)
	wantProblem(t, do(c.server, "POST", "/things", "one", http.Header{"Idempotency-Key": {"k"}, "Authorization": {"Bearer x"}}), http.StatusUnauthorized)
	forbidden := tokenOf(t, "ann", auth.ScopeRead)
	forbidden.Set("Idempotency-Key", "k")
	wantProblem(t, do(c.server, "POST", "/things", "one", forbidden), http.StatusForbidden)
	if w := do(c.server, "POST", "/things", "other", c.header(t, "ann", "k")); w.Code != 201 {
		t.Errorf("answer is %d %s", w.Code, w.Body)
	}
}

func TestKeyOfARequestInHandIsAnswered409(t *testing.T) {
	c := newCounter(t)
	c.hold = make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		if w := do(c.server, "POST", "/things", "one", c.header(t, "ann", "k")); w.Code != 201 {
			t.Errorf("the first is answered %d", w.Code)
		}
	})
	<-c.begun
	w := do(c.server, "POST", "/things", "one", c.header(t, "ann", "k"))
	if wantProblem(t, w, http.StatusConflict); w.Header().Get("Retry-After") == "" {
		t.Error("no Retry-After")
	}
	close(c.hold)
	wg.Wait()
	if w := do(c.server, "POST", "/things", "one", c.header(t, "ann", "k")); w.Code != 201 || c.done.Load() != 1 {
		t.Errorf("answer is %d, done %d times", w.Code, c.done.Load())
	}
}

func TestManyAtOnceWithOneKeyAreDoneOnce(t *testing.T) {
	c := newCounter(t)
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			if w := do(c.server, "POST", "/things", "one", c.header(t, "ann", "k")); w.Code != 201 && w.Code != 409 {
				t.Errorf("answer is %d %s", w.Code, w.Body)
			}
		})
	}
	wg.Wait()
	if c.done.Load() != 1 {
		t.Errorf("done %d times", c.done.Load())
	}
}

func TestRequestThatFailedCanBeTriedAgainWithItsKey(t *testing.T) {
	c := newCounter(t)
	c.status.Store(http.StatusServiceUnavailable)
	if w := do(c.server, "POST", "/things", "one", c.header(t, "ann", "k")); w.Code != 503 {
		t.Fatal(w.Code)
	}
	c.status.Store(http.StatusCreated)
	if w := do(c.server, "POST", "/things", "one", c.header(t, "ann", "k")); w.Code != 201 || c.done.Load() != 2 {
		t.Errorf("answer is %d, done %d times", w.Code, c.done.Load())
	}
}

func TestKeysAndBodiesThatCannotBeKeptAreRefused(t *testing.T) {
	c := newCounter(t)
	for _, key := range []string{"", "a b", "ü", strings.Repeat("x", 129)} {
		wantProblem(t, do(c.server, "POST", "/things", "one", c.header(t, "ann", key)), http.StatusBadRequest)
	}
	wantProblem(t, do(c.server, "POST", "/things", strings.Repeat("x", 1<<20+1), c.header(t, "ann", "k")), http.StatusRequestEntityTooLarge)
	if c.done.Load() != 0 {
		t.Errorf("done %d times", c.done.Load())
	}
}
