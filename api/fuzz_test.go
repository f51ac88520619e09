package api_test

import (
	"context"
	"encoding/json"
	"net/http"
	"regexp"
	"sync"
	"testing"
	"time"

	"github.com/shop-connect/shop-connect/api"
	"github.com/shop-connect/shop-connect/internal/auth"
	"github.com/shop-connect/shop-connect/internal/contract"
	"github.com/shop-connect/shop-connect/internal/store"
)

// answersInMemory remembers answers as the store does.
type answersInMemory struct {
	mu   sync.Mutex
	kept map[store.IdempotencyKey]*store.KeptAnswer
}

var _ api.Idempotency = (*answersInMemory)(nil)

func (a *answersInMemory) BeginRequest(_ context.Context, k store.IdempotencyKey, fingerprint []byte) (store.KeptAnswer, bool, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if kept := a.kept[k]; kept != nil {
		return *kept, false, nil
	}
	a.kept[k] = &store.KeptAnswer{Fingerprint: fingerprint}
	return store.KeptAnswer{}, true, nil
}

func (a *answersInMemory) KeepAnswer(_ context.Context, k store.IdempotencyKey, answer store.KeptAnswer) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	answer.Fingerprint = a.kept[k].Fingerprint
	a.kept[k] = &answer
	return nil
}

func (a *answersInMemory) GiveUpRequest(_ context.Context, k store.IdempotencyKey) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.kept, k)
	return nil
}

// FuzzIdempotencyKey holds the header to what the document promises of any key and body: a key that is
// malformed, or was used for another request, stops the request; with any other it is done once, and answered alike.
func FuzzIdempotencyKey(f *testing.F) {
	wellFormed := regexp.MustCompile(`^[0-9A-Za-z_.-]{1,128}$`)
	for _, key := range []string{"", "k-1", "0190f3c2-7b1a-7c3d-8e4f-000000000001", "a b", "ä", "a\x00", "a,b", `"a"`, "\n"} {
		f.Add(key, "one", "two")
	}
	answers := &answersInMemory{}
	done := 0
	s := newServer(f, func(c *api.Config) { c.Idempotency = answers })
	if _, err := s.Mount(api.Route{Method: "POST", Path: "/things", Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		done++
		w.WriteHeader(http.StatusCreated)
		_ = json.NewEncoder(w).Encode(done)
	})}); err != nil {
		f.Fatal(err)
	}
	issuer, err := auth.NewIssuer(auth.IssuerConfig{Secret: secret, TTL: time.Hour})
	if err != nil {
		f.Fatal(err)
	}
	token, err := issuer.Issue("ann", []string{auth.ScopeWrite})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, key, body, other string) {
		done, answers.kept = 0, map[store.IdempotencyKey]*store.KeptAnswer{}
		header := func() http.Header {
			return http.Header{"Authorization": {"Bearer " + token}, "Idempotency-Key": {key}}
		}
		first := do(s, "POST", "/things", body, header())
		if !wellFormed.MatchString(key) {
			if wantProblem(t, first, http.StatusBadRequest); done > 0 {
				t.Fatalf("with the key %q it was done", key)
			}
			return
		}
		again := do(s, "POST", "/things", body, header())
		if first.Code != http.StatusCreated || again.Code != first.Code || again.Body.String() != first.Body.String() || done != 1 {
			t.Fatalf("with the key %q it was done %d times: %d %q, then %d %q", key, done, first.Code, first.Body, again.Code, again.Body)
		}
		if other != body {
			if wantProblem(t, do(s, "POST", "/things", other, header()), http.StatusUnprocessableEntity); done != 1 {
				t.Fatalf("with the key %q another request was done", key)
			}
		}
	})
}

// FuzzRowSchema holds the OpenAPI document to any contract that can be read: it says what a row may be, in JSON.
func FuzzRowSchema(f *testing.F) {
	for _, field := range []string{
		`{name: a, type: string, min_length: 1, max_length: 2, pattern: '^[a-z]+$', enum: [a, b]}`, `{name: a, type: int64, above: 0}`, `{name: a, type: bool}`,
		`{name: a, type: timestamp, not_before: 2000-01-01, max_ahead: 24h}`, `{name: a, type: decimal(18,4), min: -99999999999999.9999, below: 1}`, `{name: a, type: date}`,
	} {
		f.Add([]byte("entity: a\nversion: 1\nkey: a\nfields:\n  - " + field + "\n"))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		c, err := contract.Parse(text)
		if err != nil {
			return
		}
		encoded, err := json.Marshal(api.RowSchema(c))
		if err != nil {
			t.Fatalf("%q has no schema: %v", text, err)
		}
		var schema struct {
			Type       string                     `json:"type"`
			Properties map[string]json.RawMessage `json:"properties"`
		}
		if err := json.Unmarshal(encoded, &schema); err != nil || schema.Type != "object" || len(schema.Properties) != len(c.Fields) {
			t.Fatalf("%q has the schema %s (%v)", text, encoded, err)
		}
	})
}
