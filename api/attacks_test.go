package api_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/shop-connect/shop-connect/api"
	"github.com/shop-connect/shop-connect/internal/auth"
	"github.com/shop-connect/shop-connect/internal/auth/authtest"
)

// guarded is a server with one endpoint that asks for a token with scope admin.
func guarded(t testing.TB, x *authtest.Target) *api.Server {
	t.Helper()
	s := newServer(t, func(c *api.Config) { c.Verifier = x.Verifier })
	_, err := s.Mount(api.Route{Method: "GET", Path: "/guarded", Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, ok := s.Authorize(w, r, []string{auth.ScopeAdmin}); ok {
			w.WriteHeader(http.StatusNoContent)
		}
	})})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func visit(s http.Handler, target string, authorization ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodGet, target, nil)
	r.Header["Authorization"] = authorization
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	return w
}

func TestGoodTokensGetThrough(t *testing.T) {
	x := authtest.New(t)
	s := guarded(t, x)
	for name, token := range x.Good(t) {
		for _, scheme := range []string{"Bearer ", "bearer ", "BEARER "} { // RFC 9110, 11.1
			if w := visit(s, "/guarded", scheme+token); w.Code != http.StatusNoContent {
				t.Errorf("%s: %d %s", name, w.Code, w.Body)
			}
		}
	}
}

// I7: auth fails closed, and says nothing of why.
func TestI7AttackedRequestsAre401WithoutDetail(t *testing.T) {
	x := authtest.New(t)
	s := guarded(t, x)
	token := x.Good(t)["RS256"]
	attacks := map[string][]string{
		"absent": nil, "empty": {""}, "scheme only": {"Bearer"}, "scheme and space": {"Bearer "}, "no scheme": {token},
		"other scheme": {"Basic " + token}, "scheme like ours": {"Bearer2 " + token}, "scheme without space": {"Bearer" + token},
		"twice": {"Bearer " + token, "Bearer " + token}, "good behind bad": {"Bearer x", "Bearer " + token}, "good before bad": {"Bearer " + token, "Basic x"},
		"two in one": {"Bearer " + token + ", Bearer " + token}, "two spaces": {"Bearer  " + token}, "tab": {"Bearer\t" + token},
		"space before": {" Bearer " + token}, "parameter": {"Bearer token=" + token}, "quoted": {`Bearer "` + token + `"`},
		"megabyte": {"Bearer " + strings.Repeat("a", 1<<20)},
	}
	for name, forged := range x.Attacks(t) {
		attacks["token: "+name] = []string{"Bearer " + forged}
	}
	if len(attacks) < 40 {
		t.Fatalf("only %d attacks", len(attacks))
	}
	detail := wantProblem(t, visit(s, "/guarded"), http.StatusUnauthorized).Detail
	for name, authorization := range attacks {
		t.Run(name, func(t *testing.T) {
			// a token in the URL would end up in logs: it is not looked at
			w := visit(s, "/guarded?access_token="+token+"&token="+token, authorization...)
			p := wantProblem(t, w, http.StatusUnauthorized)
			if got := w.Header()["Www-Authenticate"]; len(got) != 1 || got[0] != "Bearer" {
				t.Errorf("WWW-Authenticate is %q", got)
			}
			if p.Detail != detail || len(p.Errors) > 0 {
				t.Errorf("the answer differs from the others': %s", w.Body)
			}
		})
	}
}

func TestTokenWithoutTheScopeIs403(t *testing.T) {
	x := authtest.New(t)
	s := guarded(t, x)
	for name, scope := range map[string]string{
		"others": "read write", "none": "", "in another case": "Admin", "as a part": "administrator", "with a comma": "read,admin",
	} {
		issuer, err := auth.NewIssuer(auth.IssuerConfig{Secret: x.Config.Secret, Issuer: "shop", Audience: "api", TTL: auth.DefaultTTL})
		if err != nil {
			t.Fatal(err)
		}
		token, err := issuer.Issue("ann", strings.Split(scope, " "))
		if err != nil {
			t.Fatal(err)
		}
		w := visit(s, "/guarded", "Bearer "+token)
		wantProblem(t, w, http.StatusForbidden)
		if got := w.Header().Get("WWW-Authenticate"); !strings.Contains(got, "insufficient_scope") {
			t.Errorf("%s: WWW-Authenticate is %q", name, got)
		}
	}
}
