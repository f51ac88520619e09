package app

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// securedListener answers as Connect's listener does: everything is there for who has the password.
func securedListener(t *testing.T) *httptest.Server {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if user, password, ok := r.BasicAuth(); !ok || user != "shop" || password != "secret" {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		_, _ = io.WriteString(w, r.Method+" "+r.URL.String()+" "+r.Header.Get("Cookie"))
	}))
	t.Cleanup(server.Close)
	return server
}

func TestProbesServeReadsOfThisProcessAndNothingElse(t *testing.T) {
	handler, err := probes(securedListener(t).URL, "shop", "secret")
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(handler)
	defer server.Close()
	for _, c := range []struct {
		method, path string
		status       int
		body         string
	}{
		{"GET", "/metrics", http.StatusOK, "GET /metrics "},
		{"GET", "/ready?verbose=1", http.StatusOK, "GET /ready "},
		{"GET", "/ping", http.StatusOK, "GET /ping "},
		{"POST", "/metrics", http.StatusMethodNotAllowed, ""},
		{"GET", "/streams", http.StatusNotFound, ""},
		{"POST", "/streams/mine", http.StatusNotFound, ""},
		{"GET", "/metrics/../streams", http.StatusNotFound, ""},
		{"GET", "//streams", http.StatusNotFound, ""},
		{"GET", "/metrics%2f..%2fstreams", http.StatusNotFound, ""},
		{"GET", "/debug/pprof/heap", http.StatusNotFound, ""},
	} {
		request, err := http.NewRequest(c.method, server.URL+c.path, nil)
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("Cookie", "theirs=1")
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(response.Body)
		response.Body.Close()
		if err != nil {
			t.Fatal(err)
		}
		if response.StatusCode != c.status || (c.body != "" && string(body) != c.body) {
			t.Errorf("%s %s: %d %q, want %d %q", c.method, c.path, response.StatusCode, body, c.status, c.body)
		}
	}
}

func TestProbesSayWhenTheStreamsAreAway(t *testing.T) {
	gone := securedListener(t)
	gone.Close()
	handler, err := probes(gone.URL, "shop", "secret")
	if err != nil {
		t.Fatal(err)
	}
	answer := httptest.NewRecorder()
	handler.ServeHTTP(answer, httptest.NewRequest(http.MethodGet, "/ready", nil))
	if answer.Code != http.StatusServiceUnavailable || !strings.Contains(answer.Body.String(), "do not answer") {
		t.Errorf("got %d %q", answer.Code, answer.Body)
	}
}
