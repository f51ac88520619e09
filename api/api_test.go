package api_test

import (
	"bytes"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/shop-connect/shop-connect/api"
	"github.com/shop-connect/shop-connect/internal/auth"
)

const secret = "a secret of at least thirty-two bytes"

func newServer(t testing.TB, change func(*api.Config)) *api.Server {
	t.Helper()
	verifier, err := auth.NewVerifier(auth.VerifierConfig{Secret: secret})
	if err != nil {
		t.Fatal(err)
	}
	issuer, err := auth.NewIssuer(auth.IssuerConfig{Secret: secret, TTL: auth.DefaultTTL})
	if err != nil {
		t.Fatal(err)
	}
	c := api.Config{
		Address: "127.0.0.1:0", Verifier: verifier, Issuer: issuer, Version: "1.2.3", DemoUser: true, Logger: slog.New(slog.DiscardHandler),
	}
	if change != nil {
		change(&c)
	}
	s, err := api.New(c)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func do(h http.Handler, method, path, body string, header http.Header) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	if header != nil {
		r.Header = header
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

// wantProblem checks the one shape that every error has.

func wantProblem(t testing.TB, w *httptest.ResponseRecorder, status int) api.Problem {
	t.Helper()
	if w.Code != status || w.Header().Get("Content-Type") != "application/problem+json" {
		t.Fatalf("answer is %d %s: %s; want a problem of status %d", w.Code, w.Header().Get("Content-Type"), w.Body, status)
	}
	var p api.Problem
	if err := json.Unmarshal(w.Body.Bytes(), &p); err != nil {
		t.Fatal(err)
	}
	if p.Status != status || p.Title != http.StatusText(status) || p.Type == "" || p.RequestID == "" || p.RequestID != w.Header().Get("X-Request-Id") {
		t.Errorf("problem is %s, request id %q", w.Body, w.Header().Get("X-Request-Id"))
	}
	return p
}

func ok(text string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, text) })
}

func TestRootSaysHello(t *testing.T) {
	w := do(newServer(t, nil), "GET", "/", "", nil)
	var answer map[string]string
	if err := json.Unmarshal(w.Body.Bytes(), &answer); err != nil || w.Code != 200 {
		t.Fatal(w.Code, err)
	}
	if answer["status"] != "ok" || answer["version"] != "1.2.3" || answer["message"] == "" || len(answer) != 3 {
		t.Errorf("answer is %s", w.Body)
	}
}

func TestUnknownPathsAndMethodsAreProblems(t *testing.T) {
	s := newServer(t, nil)
	for _, path := range []string{"/nowhere", "/api/v1", "/api/v1/token/x", "//health", "/a/../health", "/./health", "/health//", "/%2fhealth"} {
		wantProblem(t, do(s, "GET", path, "", nil), http.StatusNotFound)
	}
	for path, allow := range map[string]string{"/api/v1/token": "POST", "/health": "GET, HEAD", "/": "GET, HEAD"} {
		w := do(s, "DELETE", path, "", nil)
		wantProblem(t, w, http.StatusMethodNotAllowed)
		if got := w.Header().Get("Allow"); got != allow {
			t.Errorf("%s: Allow is %q, want %q", path, got, allow)
		}
	}
}

func TestAPathThatAStreamMayYetServeAsksClientsToComeAgain(t *testing.T) {
	s := newServer(t, nil)
	s.AwaitStreams(time.Minute)
	w := do(s, "POST", "/api/v1/purchases/bulk", "", nil)
	wantProblem(t, w, http.StatusServiceUnavailable)
	if w.Header().Get("Retry-After") == "" {
		t.Error("503 without Retry-After")
	}
	wantProblem(t, do(s, "DELETE", "/health", "", nil), http.StatusMethodNotAllowed)
	wantProblem(t, do(s, "GET", "/nowhere", "", nil), http.StatusNotFound)
	if _, err := s.Mount(api.Route{Method: "POST", Path: "/rows", Handler: ok("rows")}); err != nil {
		t.Fatal(err)
	}
	s.AwaitStreams(0)
	wantProblem(t, do(s, "POST", "/nowhere", "", nil), http.StatusNotFound)
}

func TestTrailingSlashIsAlike(t *testing.T) {
	s := newServer(t, nil)
	if _, err := s.Mount(api.Route{Method: "POST", Path: "/rows/{id}", Handler: ok("rows")}); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"/health", "/health/"} {
		if w := do(s, "GET", path, "", nil); w.Code != 200 {
			t.Errorf("%s: %d", path, w.Code)
		}
	}
	for _, path := range []string{"/rows/1", "/rows/1/"} {
		if w := do(s, "POST", path, "", nil); w.Body.String() != "rows" {
			t.Errorf("%s: %d %s", path, w.Code, w.Body)
		}
	}
}

func TestAnyIDCanBeNamedInAPath(t *testing.T) {
	s := newServer(t, nil)
	if _, err := s.Mount(api.Route{Method: "GET", Path: "/rows/{id}", Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, r.PathValue("id"))
	})}); err != nil {
		t.Fatal(err)
	}
	for path, id := range map[string]string{
		"%2E": ".", "%2E%2E": "..", "a%2F": "a/", "a%2F%2Fb": "a//b", "a%2F..%2Fb": "a/../b", "a%20b": "a b", "a%2F/": "a/",
	} {
		if w := do(s, "GET", "/rows/"+path, "", nil); w.Code != 200 || w.Body.String() != id {
			t.Errorf("%s: %d %q, want %q", path, w.Code, w.Body, id)
		}
	}
}

func TestRequestIDGoesInAndOut(t *testing.T) {
	s := newServer(t, nil)
	given := do(s, "GET", "/nowhere", "", http.Header{"X-Request-Id": {"order-17.a_b"}})
	if p := wantProblem(t, given, 404); p.RequestID != "order-17.a_b" {
		t.Errorf("request id is %q", p.RequestID)
	}
	for _, bad := range []http.Header{nil, {"X-Request-Id": {""}}, {"X-Request-Id": {"a b"}}, {"X-Request-Id": {"a", "b"}}, {"X-Request-Id": {strings.Repeat("x", 129)}}, {"X-Request-Id": {"a\"b"}}} {
		w := do(s, "GET", "/health", "", bad)
		if id := w.Header().Get("X-Request-Id"); len(id) != 36 {
			t.Errorf("%v: request id is %q, want a new one", bad, id)
		}
	}
}

func TestPanicIsAProblemAndTheServerLivesOn(t *testing.T) {
	var log bytes.Buffer
	s := newServer(t, func(c *api.Config) { c.Logger = slog.New(slog.NewTextHandler(&log, nil)) })
	if _, err := s.Mount(api.Route{Method: "GET", Path: "/panic", Handler: http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic("secret detail") })}); err != nil {
		t.Fatal(err)
	}
	w := do(s, "GET", "/panic", "", nil)
	p := wantProblem(t, w, http.StatusInternalServerError)
	if strings.Contains(w.Body.String(), "secret detail") {
		t.Errorf("the answer tells what happened: %s", w.Body)
	}
	if !strings.Contains(log.String(), "secret detail") || !strings.Contains(log.String(), p.RequestID) {
		t.Errorf("the log has %q", log.String())
	}
}

func TestRouteOfAStreamThatIsAwayAnswers503(t *testing.T) {
	s := newServer(t, nil)
	route := api.Route{Method: "POST", Path: "/rows", Handler: ok("first")}
	wantProblem(t, do(s, "POST", "/rows", "", nil), http.StatusNotFound)
	unmount, err := s.Mount(route)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Mount(route); err == nil || !strings.Contains(err.Error(), "POST /rows") {
		t.Errorf("a second stream takes the route: %v", err)
	}
	unmount()
	w := do(s, "POST", "/rows", "", nil)
	wantProblem(t, w, http.StatusServiceUnavailable)
	if w.Header().Get("Retry-After") == "" {
		t.Error("503 without Retry-After")
	}
	wantProblem(t, do(s, "GET", "/rows", "", nil), http.StatusMethodNotAllowed)
	route.Handler = ok("second")
	if _, err := s.Mount(route); err != nil {
		t.Fatal(err)
	}
	unmount() // the first stream's, late: it must not take away the second's
	if w := do(s, "POST", "/rows", "", nil); w.Body.String() != "second" {
		t.Errorf("answer is %d %s", w.Code, w.Body)
	}
}

func TestMalformedRouteIsAnError(t *testing.T) {
	s := newServer(t, nil)
	for _, r := range []api.Route{{Method: "GET", Path: "/health"}, {Method: "POST", Path: "rows"}, {Method: "POST", Path: "/{"}} {
		if _, err := s.Mount(r); err == nil {
			t.Errorf("%+v is mounted", r)
		}
	}
}

func TestI7ServerWithoutKeysIsNotConstructed(t *testing.T) {
	if _, err := api.New(api.Config{}); err == nil {
		t.Error("a server without token keys is constructed")
	}
}

func TestOpenAPIShowsMountedRoutes(t *testing.T) {
	s := newServer(t, nil)
	paths := func() map[string]any {
		var doc struct {
			OpenAPI string         `json:"openapi"`
			Paths   map[string]any `json:"paths"`
		}
		w := do(s, "GET", "/openapi.json", "", nil)
		if err := json.Unmarshal(w.Body.Bytes(), &doc); err != nil || !strings.HasPrefix(doc.OpenAPI, "3.1") {
			t.Fatal(w.Code, doc.OpenAPI, err)
		}
		return doc.Paths
	}
	for _, path := range []string{"/", "/health", "/api/v1/token"} {
		if paths()[path] == nil {
			t.Errorf("%s is not documented: %v", path, paths())
		}
	}
	if _, err := s.Mount(api.Route{Method: "POST", Path: "/rows", Handler: ok(""), Operation: operation("Send rows")}); err != nil {
		t.Fatal(err)
	}
	if paths()["/rows"] == nil {
		t.Error("a mounted route is not documented")
	}
}

func operation(summary string) *huma.Operation {
	return &huma.Operation{OperationID: "rows", Summary: summary}
}
