package load

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"
)

// api is a shop that answers by the rules of the contract, after whatever a test puts before it.
type api struct {
	*httptest.Server

	mu        sync.Mutex
	tokens    int
	products  int
	purchases map[string]int
	// before may answer a bulk request itself; n counts the requests from 1.
	before func(n int, w http.ResponseWriter) (answered bool)
	calls  int
	// acceptAll forgets the contract.
	acceptAll bool
}

func newAPI(t *testing.T) *api {
	a := &api{purchases: map[string]int{}}
	mux := http.NewServeMux()
	mux.HandleFunc("POST "+pathToken, a.token)
	mux.HandleFunc("POST "+pathProducts, a.bulk)
	mux.HandleFunc("POST "+pathPurchases, a.bulk)
	a.Server = httptest.NewServer(mux)
	t.Cleanup(a.Close)
	return a
}

func (a *api) token(w http.ResponseWriter, r *http.Request) {
	var login struct{ Username, Password string }
	if json.NewDecoder(r.Body).Decode(&login) != nil || login.Password != "admin" {
		w.Header().Set("WWW-Authenticate", "Bearer")
		http.Error(w, `{"title":"Unauthorized","detail":"wrong user or password"}`, http.StatusUnauthorized)
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.tokens++
	_, _ = fmt.Fprintf(w, `{"access_token":"token-%d","token_type":"bearer","expires_in":1800}`, a.tokens)
}

func (a *api) bulk(w http.ResponseWriter, r *http.Request) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.calls++
	if a.before != nil && a.before(a.calls, w) {
		return
	}
	if r.Header.Get("Authorization") != fmt.Sprintf("Bearer token-%d", a.tokens) {
		http.Error(w, `{"title":"Unauthorized"}`, http.StatusUnauthorized)
		return
	}
	var body struct{ Products, Purchases []json.RawMessage }
	if err := json.NewDecoder(r.Body).Decode(&body); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	a.products += len(body.Products)
	good, errs := len(body.Products), []string{}
	for i, row := range body.Purchases {
		p, ok := accepted(row)
		if !ok && !a.acceptAll {
			errs = append(errs, fmt.Sprintf(`{"index":%d,"reasons":[{"field":"x","message":"bad"}]}`, i))
			continue
		}
		good++
		a.purchases[p.id]++
	}
	list := "null"
	if len(errs) > 0 {
		list = "[" + strings.Join(errs, ",") + "]"
	}
	_, _ = fmt.Fprintf(w, `{"success_count":%d,"error_count":%d,"errors":%s}`, good, len(errs), list)
}

// newTestClient notes the pauses instead of taking them.
func newTestClient(t *testing.T, a *api) (*Client, *[]time.Duration) {
	c := NewClient(ClientConfig{URL: a.URL, User: "admin", Password: "admin", Connections: 2})
	t.Cleanup(c.Close)
	var mu sync.Mutex
	pauses := &[]time.Duration{}
	c.sleep = func(_ context.Context, d time.Duration) error {
		mu.Lock()
		defer mu.Unlock()
		*pauses = append(*pauses, d)
		return nil
	}
	return c, pauses
}

func TestRunSendsEverythingAndAgreesWithTheServer(t *testing.T) {
	a := newAPI(t)
	client, _ := newTestClient(t, a)
	g := newTestGenerator(t, 10_500, nil)
	report, err := Run(t.Context(), client, g, 3, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	if err := report.Check(); err != nil {
		t.Error(err)
	}
	truth := g.Truth()
	if truth.Sent != 10_500 || int64(len(a.purchases)) != truth.Distinct || a.products != productCount {
		t.Errorf("the server has %d purchases and %d products, the truth is %v", len(a.purchases), a.products, truth)
	}
	if a.tokens != 1 {
		t.Errorf("%d tokens were fetched for one load", a.tokens)
	}
}

func TestClientObeysRetryAfterAndSendsTheSameBodyAgain(t *testing.T) {
	for _, status := range []int{http.StatusTooManyRequests, http.StatusServiceUnavailable} {
		a := newAPI(t)
		a.before = func(n int, w http.ResponseWriter) bool {
			if n > 2 {
				return false
			}
			w.Header().Set("Retry-After", "7")
			w.WriteHeader(status)
			return true
		}
		client, pauses := newTestClient(t, a)
		answer, err := client.PostPurchases(t.Context(), oneBody(t))
		if err != nil || answer.Accepted != 1 {
			t.Errorf("after two answers of %d: %+v, %v", status, answer, err)
		}
		if len(*pauses) != 2 || (*pauses)[0] != 7*time.Second {
			t.Errorf("pauses after %d with Retry-After: 7 were %v", status, *pauses)
		}
	}
}

func oneBody(t *testing.T) []byte {
	t.Helper()
	b := &body{}
	if err := b.fill(newTestGenerator(t, 1, func(c *GeneratorConfig) { c.Bad = 0 })); err != nil {
		t.Fatal(err)
	}
	return b.data
}

func TestClientSurvivesBrokenConnections(t *testing.T) {
	a := newAPI(t)
	a.before = func(n int, w http.ResponseWriter) bool {
		if n > 3 {
			return false
		}
		conn, _, err := w.(http.Hijacker).Hijack()
		if err == nil {
			_ = conn.Close()
		}
		return true
	}
	client, pauses := newTestClient(t, a)
	if answer, err := client.PostPurchases(t.Context(), oneBody(t)); err != nil || answer.Accepted != 1 {
		t.Errorf("after three broken connections: %+v, %v", answer, err)
	}
	if len(*pauses) == 0 {
		t.Error("the client hammered a server that breaks connections")
	}
}

func TestClientGivesUpAfterBoundedAttemptsAndSaysWhatToDo(t *testing.T) {
	a := newAPI(t)
	a.before = func(_ int, w http.ResponseWriter) bool {
		http.Error(w, `{"title":"Internal error","detail":"disk on fire"}`, http.StatusInternalServerError)
		return true
	}
	client, pauses := newTestClient(t, a)
	_, err := client.PostPurchases(t.Context(), oneBody(t))
	if err == nil || !strings.Contains(err.Error(), "disk on fire") || !strings.Contains(err.Error(), "12 attempts") {
		t.Errorf("a server that always fails gave %v", err)
	}
	if a.calls != maxAttempts || len(*pauses) != maxAttempts-1 {
		t.Errorf("%d requests and %d pauses", a.calls, len(*pauses))
	}
	a.Close()
	_, err = client.PostPurchases(t.Context(), oneBody(t))
	if err == nil || !strings.Contains(err.Error(), "shop-connect up") {
		t.Errorf("a server that is away gave %v", err)
	}
}

func TestClientDoesNotRepeatWhatTheServerRefused(t *testing.T) {
	a := newAPI(t)
	client, pauses := newTestClient(t, a)
	_, err := client.PostPurchases(t.Context(), []byte(`{"purchases":[`))
	if err == nil || a.calls != 1 || len(*pauses) != 0 {
		t.Errorf("a malformed body was sent %d times: %v", a.calls, err)
	}
}

func TestClientRenewsAnExpiredToken(t *testing.T) {
	a := newAPI(t)
	client, _ := newTestClient(t, a)
	if _, err := client.PostPurchases(t.Context(), oneBody(t)); err != nil {
		t.Fatal(err)
	}
	a.mu.Lock()
	a.tokens++ // the server forgets the token it gave
	a.mu.Unlock()
	if _, err := client.PostPurchases(t.Context(), oneBody(t)); err != nil {
		t.Errorf("after the token expired: %v", err)
	}
}

func TestClientNamesTheFlagsWhenCredentialsAreWrong(t *testing.T) {
	a := newAPI(t)
	for name, config := range map[string]ClientConfig{
		"password": {URL: a.URL, User: "admin", Password: "wrong"},
		"token":    {URL: a.URL, Token: "stale"},
	} {
		client := NewClient(config)
		t.Cleanup(client.Close)
		_, err := client.PostPurchases(t.Context(), oneBody(t))
		if err == nil || !strings.Contains(err.Error(), "--password") {
			t.Errorf("a wrong %s gave %v", name, err)
		}
	}
}

func TestRunSaysWhenTheServerCountsDifferently(t *testing.T) {
	a := newAPI(t)
	a.before = func(n int, w http.ResponseWriter) bool {
		if n != 5 {
			return false
		}
		_, _ = io.WriteString(w, `{"success_count":999,"error_count":1,"errors":[{"index":3,"reason":"mood"}]}`)
		return true
	}
	client, _ := newTestClient(t, a)
	report, err := Run(t.Context(), client, newTestGenerator(t, 5_000, func(c *GeneratorConfig) { c.Bad = 0 }), 1, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	err = report.Check()
	if !errors.Is(err, ErrMismatch) || !strings.Contains(err.Error(), "mood") {
		t.Errorf("the difference was reported as %v", err)
	}
}

func TestProgressIsAPlainLineASecondWhereThereIsNoTerminal(t *testing.T) {
	a := newAPI(t)
	client, _ := newTestClient(t, a)
	var out bytes.Buffer
	if _, err := Run(t.Context(), client, newTestGenerator(t, 2_000, nil), 1, &out); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(out.String(), "posting purchases  2,000 of 2,000  100%") || strings.Contains(out.String(), "\r") {
		t.Errorf("progress was %q", out.String())
	}
}
