package api_test

import (
	"context"
	"errors"
	"testing"

	"github.com/shop-connect/shop-connect/api"
	"github.com/shop-connect/shop-connect/internal/auth"
	"github.com/shop-connect/shop-connect/internal/runs"
	"github.com/shop-connect/shop-connect/internal/store"
)

// erasures is a scheduler with one run at a time.
type erasures struct {
	batches
	started []runs.Request
	status  store.Status
	away    bool
}

func (e *erasures) Start(ctx context.Context, r runs.Request) (store.Run, error) {
	if e.away {
		return store.Run{}, &runs.AwayError{}
	}
	e.started = append(e.started, r)
	return e.Run(ctx, known)
}

func (e *erasures) Run(_ context.Context, id string) (store.Run, error) {
	if id != known {
		return store.Run{}, errors.New("there is no other run")
	}
	return store.Run{ID: known, Name: "erase_customer", Status: e.status}, nil
}

func TestAnErasedCustomerIsGoneAtOnceAndARunDoesTheRest(t *testing.T) {
	s := newShop(t)
	scheduler := &erasures{status: store.Running}
	s.Server = newServer(t, func(c *api.Config) { c.Shop, c.Runs = &s.config, scheduler })
	s.want(201, "POST", "/customers", ann)
	s.allow(auth.ScopeRead)
	s.refused(403, "DELETE", "/customers/1?erase=true", "")
	s.allow(auth.ScopeRead, auth.ScopeWrite)
	s.refused(404, "DELETE", "/customers/9?erase=true", "")
	s.refused(422, "DELETE", "/customers/0?erase=true", "")
	s.refused(422, "DELETE", "/customers/1?erase=perhaps", "")
	s.want(200, "GET", "/customers/1", "")

	scheduler.away = true
	s.refused(503, "DELETE", "/customers/1?erase=true", "")
	s.refused(404, "GET", "/customers/1", "") // what was asked for is noted
	scheduler.away = false

	erase := func(runs int) {
		t.Helper()
		w := s.do("DELETE", "/customers/1?erase=true", "")
		if w.Code != 202 || w.Header().Get("Location") != "/api/v1/runs/"+known || len(scheduler.started) != runs {
			t.Fatalf("answer is %d %s, at %q, after %d runs", w.Code, w.Body, w.Header().Get("Location"), len(scheduler.started))
		}
	}
	erase(1)
	if r := scheduler.started[0]; r.Name != "erase_customer" || r.Params["customer_id"] != "1" {
		t.Errorf("started %+v", r)
	}
	erase(1) // it is at work
	scheduler.status = store.Failed
	erase(2) // it goes on
	s.refused(404, "DELETE", "/customers/1", "")

	// the events that were on their way are gone, but for the deletion
	var events int
	var payload string
	err := s.store.Pool().QueryRow(t.Context(), `SELECT count(*), max(convert_from(payload, 'UTF8')) FROM outbox WHERE topic = 'customers' AND strpos(convert_from(payload, 'UTF8'), 'Ann') > 0`).Scan(&events, &payload)
	if err == nil && events > 0 {
		t.Errorf("the outbox holds %s", payload)
	}

	s.want(201, "POST", "/customers", ann)
	w := s.do("DELETE", "/customers/2", "")
	if w.Code != 204 || w.Body.Len() > 0 {
		t.Errorf("a plain deletion is answered with %d %q", w.Code, w.Body)
	}
	if w := s.do("DELETE", "/customers/2?erase=true", ""); w.Code != 202 {
		t.Errorf("who was deleted before is erased with %d %s", w.Code, w.Body)
	}
}

func TestWithoutBatchStreamsNobodyIsErased(t *testing.T) {
	s := newShop(t)
	s.want(201, "POST", "/customers", ann)
	s.refused(404, "DELETE", "/customers/1?erase=true", "")
	s.want(200, "GET", "/customers/1", "")
}
