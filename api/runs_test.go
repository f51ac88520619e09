package api_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/shop-connect/shop-connect/api"
	"github.com/shop-connect/shop-connect/internal/auth"
	"github.com/shop-connect/shop-connect/internal/store"
)

func TestRunIsShownWithItsCounts(t *testing.T) {
	const known, absent, broken = "0190f3c2-7b1a-7c3d-8e4f-000000000001", "0190f3c2-7b1a-7c3d-8e4f-000000000002", "0190f3c2-7b1a-7c3d-8e4f-000000000003"
	s := newServer(t, func(c *api.Config) {
		c.Runs = func(_ context.Context, id string) (store.Run, error) {
			switch id {
			case known:
				return store.Run{ID: id, Status: store.Succeeded, Counts: store.Counts{RowsIn: 3, RowsOut: 2, RowsRefused: 1}}, nil
			case absent:
				return store.Run{}, store.ErrNotFound
			}
			return store.Run{}, errors.New("dial 10.0.0.7: refused")
		}
	})
	issuer, err := auth.NewIssuer(auth.IssuerConfig{Secret: secret, TTL: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	token, err := issuer.Issue("ann", []string{auth.ScopeRead})
	if err != nil {
		t.Fatal(err)
	}
	get := func(id string) (int, string) {
		w := do(s, "GET", "/api/v1/runs/"+id, "", http.Header{"Authorization": {"Bearer " + token}})
		if w.Code != 200 {
			text := w.Body.String()
			wantProblem(t, w, w.Code)
			return w.Code, text
		}
		return w.Code, w.Body.String()
	}
	status, text := get(known)
	var run store.Run
	if err := json.Unmarshal([]byte(text), &run); err != nil || status != 200 || run.ID != known || run.RowsIn != 3 || run.RowsRefused != 1 {
		t.Errorf("answer is %d %s", status, text)
	}
	for id, want := range map[string]int{absent: 404, broken: 503, "1": 422, "x'--": 422} {
		if status, text := get(id); status != want || strings.Contains(text, "10.0.0.7") {
			t.Errorf("%s: answer is %d %s, want %d", id, status, text, want)
		}
	}
	wantProblem(t, do(s, "GET", "/api/v1/runs/"+known, "", nil), http.StatusUnauthorized)
}
