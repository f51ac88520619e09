package api_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/shop-connect/shop-connect/api"
	"github.com/shop-connect/shop-connect/internal/auth"
)

func TestTokenForTheDemoUser(t *testing.T) {
	s := newServer(t, nil)
	for kind, body := range map[string]string{
		"application/json":                                `{"username":"admin","password":"admin"}`,
		"application/json; charset=utf-8":                 ` {"password":"admin","username":"admin","grant_type":"password"}`,
		"application/x-www-form-urlencoded":               "username=admin&password=admin&grant_type=password",
		"application/x-www-form-urlencoded;charset=UTF-8": "password=%61dmin&username=admin",
	} {
		w := do(s, "POST", "/api/v1/token", body, http.Header{"Content-Type": {kind}})
		var answer struct {
			AccessToken string `json:"access_token"`
			TokenType   string `json:"token_type"`
			ExpiresIn   int    `json:"expires_in"`
		}
		if err := json.Unmarshal(w.Body.Bytes(), &answer); err != nil || w.Code != 200 {
			t.Fatalf("%s: %d %s", kind, w.Code, w.Body)
		}
		if answer.TokenType != "bearer" || answer.ExpiresIn != 1800 || w.Header().Get("Cache-Control") != "no-store" {
			t.Errorf("%s: %s", kind, w.Body)
		}
		r := httptest.NewRequest("GET", "/", nil)
		r.Header.Set("Authorization", "bearer "+answer.AccessToken)
		claims, ok := s.Authorize(httptest.NewRecorder(), r, []string{auth.ScopeAdmin})
		if !ok || claims.Subject != "admin" {
			t.Errorf("%s: the token is of %q, valid %v", kind, claims.Subject, ok)
		}
	}
}

func TestTokenIsRefused(t *testing.T) {
	const kindJSON, kindForm = "application/json", "application/x-www-form-urlencoded"
	for _, tc := range []struct {
		name, kind, body string
		status           int
	}{
		{"wrong password", kindJSON, `{"username":"admin","password":"Admin"}`, 401},
		{"unknown user", kindForm, "username=eve&password=admin", 401},
		{"prefix of the password", kindForm, "username=admin&password=admi", 401},
		{"no password", kindJSON, `{"username":"admin"}`, 422},
		{"empty form", kindForm, "x=1", 422},
		{"not JSON", kindJSON, `{"username":`, 400},
		{"wrong types", kindJSON, `{"username":1,"password":true}`, 400},
		{"array", kindJSON, `[]`, 400},
		{"malformed form", kindForm, "username=%zz", 400},
		{"empty", kindJSON, "", 400},
		{"unknown type", "text/plain", "admin:admin", 415},
		{"no type", "", `{"username":"admin","password":"admin"}`, 415},
		{"huge", kindJSON, `{"username":"` + strings.Repeat("x", 10_000) + `","password":"x"}`, 413},
	} {
		t.Run(tc.name, func(t *testing.T) {
			header := http.Header{"Content-Type": {tc.kind}}
			if tc.kind == "" {
				header = http.Header{}
			}
			w := do(newServer(t, nil), "POST", "/api/v1/token", tc.body, header)
			wantProblem(t, w, tc.status)
			if got := w.Header().Get("WWW-Authenticate"); (tc.status == 401) != (got == "Bearer") {
				t.Errorf("WWW-Authenticate is %q", got)
			}
		})
	}
}

// I7: nobody is let in by default.
func TestI7DemoUserIsOffUnlessAskedFor(t *testing.T) {
	s := newServer(t, func(c *api.Config) { c.DemoUser = false })
	w := do(s, "POST", "/api/v1/token", "username=admin&password=admin", http.Header{"Content-Type": {"application/x-www-form-urlencoded"}})
	wantProblem(t, w, http.StatusUnauthorized)
}

func TestBadAuthorizationIsRefusedWithoutDetail(t *testing.T) {
	s := newServer(t, nil)
	issuer, err := auth.NewIssuer(auth.IssuerConfig{Secret: secret, TTL: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	token, err := issuer.Issue("ann", []string{auth.ScopeRead})
	if err != nil {
		t.Fatal(err)
	}
	var detail string
	for name, values := range map[string][]string{
		"absent": nil, "empty": {""}, "scheme only": {"Bearer"}, "scheme and space": {"Bearer "}, "no scheme": {token},
		"other scheme": {"Basic " + token}, "twice": {"Bearer " + token, "Bearer " + token}, "two in one": {"Bearer " + token + ", Bearer " + token},
		"two spaces": {"Bearer  " + token}, "tab": {"Bearer\t" + token}, "tampered": {"Bearer " + token[:len(token)-3] + "AAA"}, "huge": {"Bearer " + strings.Repeat("a", 1<<20)},
		"token in another header's clothes": {"Bearer token=" + token},
	} {
		r := httptest.NewRequest("GET", "/?access_token="+token, nil)
		r.Header["Authorization"] = values
		w := httptest.NewRecorder()
		w.Header().Set("X-Request-Id", "x")
		if _, ok := s.Authorize(w, r, nil); ok {
			t.Errorf("%s: is let in", name)
			continue
		}
		p := wantProblem(t, w, http.StatusUnauthorized)
		if w.Header().Get("WWW-Authenticate") != "Bearer" {
			t.Errorf("%s: WWW-Authenticate is %q", name, w.Header().Get("WWW-Authenticate"))
		}
		if detail == "" {
			detail = p.Detail
		}
		if p.Detail != detail || len(p.Errors) > 0 {
			t.Errorf("%s: the answer differs from the others': %s", name, w.Body)
		}
	}
	r := httptest.NewRequest("GET", "/", nil)
	r.Header.Set("Authorization", "Bearer "+token)
	w := httptest.NewRecorder()
	w.Header().Set("X-Request-Id", "x")
	if _, ok := s.Authorize(w, r, []string{auth.ScopeWrite}); ok {
		t.Error("a token without the scope is let in")
	}
	wantProblem(t, w, http.StatusForbidden)
}
