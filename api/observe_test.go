package api_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/redpanda-data/benthos/v4/public/service"
	_ "github.com/redpanda-data/connect/v4/public/components/prometheus"
	_ "github.com/redpanda-data/connect/v4/public/components/pure"

	"github.com/shop-connect/shop-connect/api"
	"github.com/shop-connect/shop-connect/internal/auth"
)

// tokenOf returns a good token's header.
func tokenOf(t testing.TB, subject string, scopes ...string) http.Header {
	t.Helper()
	issuer, err := auth.NewIssuer(auth.IssuerConfig{Secret: secret, TTL: auth.DefaultTTL})
	if err != nil {
		t.Fatal(err)
	}
	token, err := issuer.Issue(subject, scopes)
	if err != nil {
		t.Fatal(err)
	}
	return http.Header{"Authorization": {"Bearer " + token}}
}

// mountSecured gives a server an endpoint that wants a token.
func mountSecured(t testing.TB, s *api.Server, path string) {
	t.Helper()
	if _, err := s.Mount(api.Route{Method: "POST", Path: path, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, ok := s.Authorize(w, r, []string{auth.ScopeWrite}); ok {
			_, _ = io.WriteString(w, "done")
		}
	})}); err != nil {
		t.Fatal(err)
	}
}

func TestAccessLogHasALineForEachRequest(t *testing.T) {
	var log bytes.Buffer
	s := newServer(t, func(c *api.Config) { c.AccessLog = api.NewAccessLog(&log) })
	mountSecured(t, s, "/things/{id}")
	header := tokenOf(t, "ann", auth.ScopeWrite)
	header.Set("X-Request-Id", "req-7")
	do(s, "POST", "/things/secret-id/?password=hidden", `{"password":"hidden"}`, header)
	do(s, "GET", "/nothing/hidden", "", http.Header{"Authorization": {"Bearer hidden"}})
	do(s, "POST", "/things/1", "", nil)
	lines := strings.Split(strings.TrimSpace(log.String()), "\n")
	if len(lines) != 3 {
		t.Fatalf("log is %s", log.String())
	}
	for i, want := range []map[string]any{
		{"id": "req-7", "method": "POST", "route": "POST /things/{id}", "status": 200.0, "bytes": 4.0, "client": "192.0.2.1", "sub": "ann"},
		{"method": "GET", "route": "none", "status": 404.0, "sub": ""},
		{"route": "POST /things/{id}", "status": 401.0, "sub": ""},
	} {
		var line map[string]any
		if err := json.Unmarshal([]byte(lines[i]), &line); err != nil {
			t.Fatal(lines[i], err)
		}
		for key, value := range want {
			if line[key] != value {
				t.Errorf("line %d: %s is %v, want %v", i, key, line[key], value)
			}
		}
		if line["time"] == nil || line["duration_ms"] == nil || line["bytes"] == nil || line["id"] == "" {
			t.Errorf("line %d is %s", i, lines[i])
		}
	}
	for _, secret := range []string{"hidden", "secret-id", header.Get("Authorization")[7:]} {
		if strings.Contains(log.String(), secret) {
			t.Errorf("%q is in the log", secret)
		}
	}
}

func TestPanicIsLoggedAsItIsAnswered(t *testing.T) {
	var log bytes.Buffer
	s := newServer(t, func(c *api.Config) { c.AccessLog = api.NewAccessLog(&log) })
	if _, err := s.Mount(api.Route{Method: "GET", Path: "/panic", Handler: http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic("x") })}); err != nil {
		t.Fatal(err)
	}
	do(s, "GET", "/panic", "", nil)
	if !strings.Contains(log.String(), `"status":500`) {
		t.Errorf("log is %s", log.String())
	}
}

// metrics returns where a component may count, and what Prometheus reads of it.
func metrics(t *testing.T) (*service.Metrics, func() string) {
	t.Helper()
	b := service.NewStreamBuilder()
	b.SetLogger(slog.New(slog.DiscardHandler))
	mux := http.NewServeMux()
	b.SetHTTPMux(handleFunc{mux})
	if err := b.SetYAML("input: {generate: {mapping: 'root = {}', count: 1}}\noutput: {drop: {}}\nmetrics: {prometheus: {use_histogram_timing: true}}"); err != nil {
		t.Fatal(err)
	}
	stream, err := b.Build()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = stream.Stop(context.Background()) })
	return stream.Resources().Metrics(), func() string {
		w := httptest.NewRecorder()
		mux.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/metrics", nil))
		return w.Body.String()
	}
}

// handleFunc is the mux that a stream builder asks for.
type handleFunc struct{ mux *http.ServeMux }

func (h handleFunc) HandleFunc(pattern string, f func(http.ResponseWriter, *http.Request)) {
	h.mux.HandleFunc(pattern, f)
}

func TestRequestsAreCountedByRouteAndStatusNeverByPath(t *testing.T) {
	m, read := metrics(t)
	s := newServer(t, func(c *api.Config) { c.Metrics = m })
	mountSecured(t, s, "/things/{id}")
	for _, id := range []string{"a", "b", "c"} {
		do(s, "POST", "/things/"+id, "", tokenOf(t, "ann", auth.ScopeWrite))
		do(s, "GET", "/made-up/"+id, "", nil)
	}
	do(s, "POST", "/things/a", "", nil)
	text := read()
	for _, want := range []string{
		`api_requests_total{route="POST /things/{id}",status="200"} 3`,
		`api_requests_total{route="POST /things/{id}",status="401"} 1`,
		`api_requests_total{route="none",status="404"} 3`,
		`api_request_duration_seconds_count{route="POST /things/{id}"} 4`,
		`api_request_duration_seconds_bucket{route="POST /things/{id}",le="10"} 4`,
		`api_requests_in_flight 0`,
	} {
		if !strings.Contains(text, want) {
			t.Errorf("%s is not in\n%s", want, text)
		}
	}
	if strings.Contains(text, "made-up") {
		t.Error("a path is a label")
	}
}
