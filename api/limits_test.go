package api_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/shop-connect/shop-connect/api"
	"github.com/shop-connect/shop-connect/internal/auth"
)

func TestClientBeyondItsLimitIsAnswered429(t *testing.T) {
	s := newServer(t, func(c *api.Config) { c.RateLimit = api.RateLimit{PerSecond: 0.1, Burst: 3} })
	mountSecured(t, s, "/things")
	ann, bob := tokenOf(t, "ann", auth.ScopeWrite), tokenOf(t, "bob", auth.ScopeWrite)
	for left := range 3 {
		w := do(s, "POST", "/things", "", ann)
		if w.Code != 200 || w.Header().Get("RateLimit-Policy") != `"default";q=3;w=30` {
			t.Fatalf("answer is %d, policy %q", w.Code, w.Header().Get("RateLimit-Policy"))
		}
		if got := w.Header().Get("RateLimit"); !strings.HasPrefix(got, `"default";r=`+string('0'+rune(2-left))+";t=") {
			t.Errorf("request %d: RateLimit is %q", left, got)
		}
	}
	w := do(s, "POST", "/things", "", ann)
	wantProblem(t, w, http.StatusTooManyRequests)
	if w.Header().Get("Retry-After") != "10" || w.Header().Get("RateLimit") != `"default";r=0;t=10` {
		t.Errorf("Retry-After is %q, RateLimit is %q", w.Header().Get("Retry-After"), w.Header().Get("RateLimit"))
	}
	if w := do(s, "POST", "/things", "", bob); w.Code != 200 {
		t.Errorf("another client is answered %d", w.Code)
	}
	if w := do(s, "GET", "/health", "", ann); w.Code != 200 {
		t.Errorf("the check of health is answered %d", w.Code)
	}
}

func TestClientsWithoutAGoodTokenAreLimitedByNetwork(t *testing.T) {
	s := newServer(t, func(c *api.Config) { c.RateLimit = api.RateLimit{PerSecond: 0.1, Burst: 2} })
	ask := func(address string, header http.Header) int {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.RemoteAddr, r.Header = address, header
		w := httptest.NewRecorder()
		s.ServeHTTP(w, r)
		return w.Code
	}
	// a made-up token or header does not make another client
	for i, tc := range []struct {
		address, name, value string
		status               int
	}{
		{"192.0.2.7:1", "Authorization", "Bearer made-up", 200},
		{"192.0.2.7:2", "X-Forwarded-For", "198.51.100.1", 200},
		{"192.0.2.7:3", "Authorization", "Bearer another", 429},
		{"192.0.2.8:1", "X", "", 200},
		{"[2001:db8::1]:1", "X", "", 200},
		{"[2001:db8::2]:1", "X", "", 200},
		{"[2001:db8::3]:1", "X", "", 429},
		{"[2001:db8:0:1::1]:1", "X", "", 200},
	} {
		if got := ask(tc.address, http.Header{tc.name: {tc.value}}); got != tc.status {
			t.Errorf("request %d, of %s: answer is %d, want %d", i, tc.address, got, tc.status)
		}
	}
}

func TestLimitCountsRequestsThatComeAtOnce(t *testing.T) {
	s := newServer(t, func(c *api.Config) { c.RateLimit = api.RateLimit{PerSecond: 0.001, Burst: 10} })
	var mu sync.Mutex
	byStatus := map[int]int{}
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() {
			code := do(s, "GET", "/", "", nil).Code
			mu.Lock()
			defer mu.Unlock()
			byStatus[code]++
		})
	}
	wg.Wait()
	if byStatus[200] != 10 || byStatus[429] != 40 {
		t.Errorf("answers are %v", byStatus)
	}
}

func TestRequestsBeyondTheConcurrentOnesAreAnswered503(t *testing.T) {
	s := newServer(t, func(c *api.Config) { c.MaxConcurrentRequests = 2 })
	begun, release := make(chan struct{}, 2), make(chan struct{})
	if _, err := s.Mount(api.Route{Method: "GET", Path: "/slow", Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		begun <- struct{}{}
		<-release
		_, _ = io.WriteString(w, "done")
	})}); err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() {
			if w := do(s, "GET", "/slow", "", nil); w.Code != 200 {
				t.Errorf("a request in hand is answered %d", w.Code)
			}
		})
		<-begun
	}
	w := do(s, "GET", "/", "", nil)
	wantProblem(t, w, http.StatusServiceUnavailable)
	if w.Header().Get("Retry-After") == "" {
		t.Error("503 without Retry-After")
	}
	if w := do(s, "GET", "/health", "", nil); w.Code != 200 {
		t.Errorf("the check of health is answered %d", w.Code)
	}
	close(release)
	wg.Wait()
	if w := do(s, "GET", "/", "", nil); w.Code != 200 {
		t.Errorf("after the load the answer is %d", w.Code)
	}
}

func TestLimitsThatCannotBeAreRefused(t *testing.T) {
	verifier, err := auth.NewVerifier(auth.VerifierConfig{Secret: secret})
	if err != nil {
		t.Fatal(err)
	}
	_, err = api.New(api.Config{
		Verifier: verifier, MaxConcurrentRequests: -1, MaxDatabaseRequests: -1, RateLimit: api.RateLimit{PerSecond: 5},
		AllowedOrigins: []string{"https://shop.example", "shop.example", "https://shop.example/"},
	})
	for _, want := range []string{"max_concurrent_requests", "max_database_requests", "rate_limit.burst", `"shop.example"`} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s is not in: %v", want, err)
		}
	}
}

func TestLimitsAreInTheOpenAPIDocument(t *testing.T) {
	for _, limit := range []api.RateLimit{{}, {PerSecond: 10, Burst: 10}} {
		s := newServer(t, func(c *api.Config) { c.RateLimit = limit })
		var doc struct {
			Paths map[string]map[string]struct{ Responses map[string]any }
		}
		if err := json.Unmarshal(do(s, "GET", "/openapi.json", "", nil).Body.Bytes(), &doc); err != nil {
			t.Fatal(err)
		}
		root := doc.Paths["/"]["get"].Responses
		if root["503"] == nil || (root["429"] != nil) != (limit.PerSecond > 0) {
			t.Errorf("limit %v: answers of GET / are %v", limit, root)
		}
	}
}
