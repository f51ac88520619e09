package api_test

import (
	"net/http"
	"testing"

	"github.com/shop-connect/shop-connect/api"
)

const shopOrigin = "https://shop.example"

func TestOriginsAreAllowedByConfigurationOnly(t *testing.T) {
	for _, tc := range []struct {
		name    string
		allowed []string
		origin  string
		want    string
	}{
		{"none by default", nil, shopOrigin, ""},
		{"allowed", []string{"http://127.0.0.1:3000", shopOrigin}, shopOrigin, shopOrigin},
		{"another", []string{shopOrigin}, "https://evil.example", ""},
		{"one that begins alike", []string{shopOrigin}, shopOrigin + ".evil.example", ""},
		{"another scheme", []string{shopOrigin}, "http://shop.example", ""},
		{"any", []string{"*"}, "https://other.example", "https://other.example"},
		{"no browser", []string{shopOrigin}, "", ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := newServer(t, func(c *api.Config) { c.AllowedOrigins = tc.allowed })
			header := http.Header{}
			if tc.origin != "" {
				header.Set("Origin", tc.origin)
			}
			w := do(s, "GET", "/", "", header)
			if got := w.Header().Get("Access-Control-Allow-Origin"); w.Code != 200 || got != tc.want {
				t.Errorf("answer is %d, allowed origin %q, want %q", w.Code, got, tc.want)
			}
			if got := w.Header().Get("Vary"); (got == "Origin") != (len(tc.allowed) > 0) {
				t.Errorf("Vary is %q", got)
			}
			if w.Header().Get("Access-Control-Allow-Credentials") != "" {
				t.Error("credentials are allowed")
			}
			header.Set("Access-Control-Request-Method", "POST")
			w = do(s, "OPTIONS", "/api/v1/token", "", header)
			if allowed := w.Code == http.StatusNoContent && w.Header().Get("Access-Control-Allow-Headers") != ""; allowed != (tc.want != "") {
				t.Errorf("the question before is answered %d %v", w.Code, w.Header())
			}
		})
	}
}

func TestProblemsCanBeReadByAllowedOriginsToo(t *testing.T) {
	s := newServer(t, func(c *api.Config) { c.AllowedOrigins = []string{shopOrigin} })
	w := do(s, "GET", "/nothing", "", http.Header{"Origin": {shopOrigin}})
	wantProblem(t, w, http.StatusNotFound)
	if w.Header().Get("Access-Control-Allow-Origin") != shopOrigin {
		t.Errorf("headers are %v", w.Header())
	}
}

func TestEveryAnswerTellsBrowsersToBeCareful(t *testing.T) {
	s := newServer(t, nil)
	for _, path := range []string{"/", "/openapi.json", "/nothing", "//x"} {
		header := do(s, "GET", path, "", nil).Header()
		for name, want := range map[string]string{
			"X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer",
			"Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
		} {
			if header.Get(name) != want {
				t.Errorf("%s: %s is %q", path, name, header.Get(name))
			}
		}
	}
}
