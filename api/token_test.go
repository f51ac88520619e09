package api_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"

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
		r := httptest.NewRequest(http.MethodGet, "/", nil)
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

func TestUsersGetTokensWithTheirScopes(t *testing.T) {
	away := errors.New("dial 10.0.0.7: refused")
	s := newServer(t, func(c *api.Config) {
		c.DemoUser = false
		c.Users = func(_ context.Context, user, password string) ([]string, error) {
			switch {
			case user == "away":
				return nil, away
			case user == "busy":
				return nil, auth.ErrLoginBusy
			case user == "ann" && password == "right":
				return []string{auth.ScopeRead}, nil
			}
			return nil, auth.ErrLogin
		}
	})
	for user, status := range map[string]int{"ann": 200, "eve": 401, "busy": 503, "away": 503, "admin": 401} {
		w := do(s, "POST", "/api/v1/token", "username="+user+"&password=right", http.Header{"Content-Type": {"application/x-www-form-urlencoded"}})
		if w.Code != status || strings.Contains(w.Body.String(), "10.0.0.7") {
			t.Errorf("%s: %d %s", user, w.Code, w.Body)
		}
		if (status == 503) != (w.Header().Get("Retry-After") != "") {
			t.Errorf("%s: Retry-After is %q", user, w.Header().Get("Retry-After"))
		}
	}
}

func TestWithoutASecretThereAreNoTokensToHave(t *testing.T) {
	s := newServer(t, func(c *api.Config) { c.Issuer = nil })
	wantProblem(t, do(s, "POST", "/api/v1/token", `{"username":"admin","password":"admin"}`, http.Header{"Content-Type": {"application/json"}}), http.StatusNotFound)
}

func TestTooManyAttemptsAre429(t *testing.T) {
	s := newServer(t, func(c *api.Config) { c.TokenAttempts = api.TokenAttempts{PerUser: 2} })
	try := func(user, password string) *httptest.ResponseRecorder {
		return do(s, "POST", "/api/v1/token", "username="+user+"&password="+password, http.Header{"Content-Type": {"application/x-www-form-urlencoded"}})
	}
	for range 2 {
		wantProblem(t, try("admin", "guess"), http.StatusUnauthorized)
	}
	w := try("admin", "admin") // the right password is no way around
	wantProblem(t, w, http.StatusTooManyRequests)
	if seconds, err := strconv.Atoi(w.Header().Get("Retry-After")); err != nil || seconds < 1 || seconds > 30 {
		t.Errorf("Retry-After is %q", w.Header().Get("Retry-After"))
	}
	wantProblem(t, try("eve", "guess"), http.StatusUnauthorized)
}
