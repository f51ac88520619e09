package api_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/shop-connect/shop-connect/api"
	"github.com/shop-connect/shop-connect/internal/auth"
)

func TestPendingShowsWhatWaitsBeforeEachLayer(t *testing.T) {
	fault := error(nil)
	issuer, err := auth.NewIssuer(auth.IssuerConfig{Secret: secret, TTL: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	s := newServer(t, func(c *api.Config) {
		c.Pending = func(context.Context) (api.Pending, error) {
			return api.Pending{OutboxEvents: 1, KafkaRecords: 20, RawObjects: 3}, fault
		}
	})
	ask := func(scope string) *httptest.ResponseRecorder {
		t.Helper()
		token, err := issuer.Issue("ann", []string{scope})
		if err != nil {
			t.Fatal(err)
		}
		return do(s, http.MethodGet, "/api/v1/pending", "", http.Header{"Authorization": {"Bearer " + token}})
	}
	w := ask(auth.ScopeRead)
	var got api.Pending
	if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil || w.Code != 200 || got != (api.Pending{OutboxEvents: 1, KafkaRecords: 20, RawObjects: 3}) {
		t.Errorf("answer is %d %s", w.Code, w.Body)
	}
	if w := ask(auth.ScopeWrite); w.Code != 403 {
		t.Errorf("without the scope the answer is %d %s", w.Code, w.Body)
	}
	fault = errors.New("dial 10.0.0.7: refused")
	if w := ask(auth.ScopeRead); w.Code != 503 || strings.Contains(w.Body.String(), "10.0.0.7") {
		t.Errorf("answer is %d %s", w.Code, w.Body)
	}
}
