package auth_test

import (
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/shop-connect/shop-connect/internal/auth"
	"github.com/shop-connect/shop-connect/internal/auth/authtest"
)

// provider is an identity provider whose keys change.
type provider struct {
	*httptest.Server
	answer atomic.Pointer[http.HandlerFunc]
	asked  atomic.Int64
}

func newProvider(t testing.TB) *provider {
	p := &provider{}
	p.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p.asked.Add(1)
		(*p.answer.Load())(w, r)
	}))
	t.Cleanup(p.Close)
	return p
}

func (p *provider) answers(h http.HandlerFunc) { p.answer.Store(&h) }

func (p *provider) publishes(t testing.TB, keys ...authtest.Key) {
	text := authtest.KeySet(t, keys...)
	p.answers(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(text) })
}

func (p *provider) isAway() {
	p.answers(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) })
}

// edKey returns a key as it is published, and a token that it signed.
func edKey(t testing.TB, id string) (authtest.Key, string) {
	t.Helper()
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return authtest.Ed25519(id, public), authtest.Sign(t, jwt.SigningMethodEdDSA, private, map[string]any{"kid": id}, authtest.Claims(jwt.MapClaims{"exp": time.Now().Add(100 * time.Hour).Unix()}))
}

// clock is passed by hand.
type clock struct{ ahead atomic.Int64 }

func (c *clock) now() time.Time       { return time.Now().Add(time.Duration(c.ahead.Load())) }
func (c *clock) pass(d time.Duration) { c.ahead.Add(int64(d)) }

func verifierOf(t testing.TB, jwks string) (*auth.Verifier, *clock) {
	t.Helper()
	v, err := auth.NewVerifier(auth.VerifierConfig{Secret: secret, JWKS: jwks, Issuer: "shop", Audience: "api"})
	if err != nil {
		t.Fatal(err)
	}
	var c clock
	v.SetClock(c.now)
	if err := v.LoadKeys(t.Context()); err != nil {
		t.Fatal(err)
	}
	return v, &c
}

func wantTaken(t testing.TB, v *auth.Verifier, token string, taken bool) {
	t.Helper()
	if _, err := v.Verify(token); (err == nil) != taken || err != nil && !errors.Is(err, auth.ErrToken) {
		t.Errorf("taken must be %v; error is %v", taken, err)
	}
}

func TestWithdrawnKeyEndsRememberedTokensAtOnce(t *testing.T) {
	p := newProvider(t)
	old, oldToken := edKey(t, "old")
	fresh, freshToken := edKey(t, "fresh")
	p.publishes(t, old)
	v, _ := verifierOf(t, p.URL)
	wantTaken(t, v, oldToken, true)
	wantTaken(t, v, oldToken, true)
	p.publishes(t, old, fresh)
	if err := v.RefreshKeys(t.Context()); err != nil {
		t.Fatal(err)
	}
	wantTaken(t, v, oldToken, true)
	wantTaken(t, v, freshToken, true)
	p.publishes(t, fresh)
	if err := v.RefreshKeys(t.Context()); err != nil {
		t.Fatal(err)
	}
	wantTaken(t, v, oldToken, false)
	wantTaken(t, v, freshToken, true)
	wantTaken(t, v, good(t), true) // and those of our own secret stay
}

func TestUnknownKidMakesKeysBeReadOnceInAWhile(t *testing.T) {
	p := newProvider(t)
	known, _ := edKey(t, "known")
	fresh, freshToken := edKey(t, "fresh")
	_, forged := edKey(t, "forged")
	p.publishes(t, known)
	v, c := verifierOf(t, p.URL)
	p.publishes(t, known, fresh)
	wantTaken(t, v, freshToken, false) // the keys were read a moment ago
	c.pass(auth.KeysRefreshMin)
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() { wantTaken(t, v, freshToken, true) })
	}
	wg.Wait()
	for range 100 {
		wantTaken(t, v, forged, false)
	}
	if n := p.asked.Load(); n != 2 {
		t.Errorf("the keys were read %d times", n)
	}
}

func TestLastGoodKeysStayWhileTheProviderIsAway(t *testing.T) {
	p := newProvider(t)
	key, token := edKey(t, "key")
	p.publishes(t, key)
	v, c := verifierOf(t, p.URL)
	for name, broken := range map[string]http.HandlerFunc{
		"error":     func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) },
		"not JSON":  func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("<html>")) },
		"no keys":   func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(`{"keys":[]}`)) },
		"huge":      func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(make([]byte, 2<<20)) },
		"elsewhere": func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/other", http.StatusFound) },
		"half an answer": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "100")
			_, _ = w.Write([]byte(`{"keys":`))
		},
	} {
		p.answers(broken)
		if err := v.RefreshKeys(t.Context()); err == nil {
			t.Errorf("%s: is no error", name)
		}
		wantTaken(t, v, token, true)
	}
	c.pass(auth.KeysMaxAge + time.Minute)
	if err := v.RefreshKeys(t.Context()); err == nil {
		t.Error("keys that are too old are no error")
	}
	wantTaken(t, v, token, false) // I7
	p.publishes(t, key)
	if err := v.RefreshKeys(t.Context()); err != nil {
		t.Fatal(err)
	}
	wantTaken(t, v, token, true)
}

func TestI7KeysThatCannotBeReadAreAnErrorAtStart(t *testing.T) {
	p := newProvider(t)
	p.isAway()
	dir := t.TempDir()
	for _, jwks := range []string{p.URL, filepath.Join(dir, "absent.json"), dir} {
		v, err := auth.NewVerifier(auth.VerifierConfig{JWKS: jwks, Issuer: "shop", Audience: "api"})
		if err != nil {
			t.Fatal(err)
		}
		if err := v.LoadKeys(t.Context()); err == nil || !strings.Contains(err.Error(), jwks) {
			t.Errorf("%s: error is %v", jwks, err)
		}
		_, token := edKey(t, "key")
		wantTaken(t, v, token, false)
	}
}

func TestKeysThatDoNotFitAreNotUsed(t *testing.T) {
	fit, token := edKey(t, "fit")
	other := func(change authtest.Key) authtest.Key {
		k, _ := edKey(t, "unfit")
		maps.Copy(k, change)
		return k
	}
	file := filepath.Join(t.TempDir(), "keys.json")
	for name, unfit := range map[string]authtest.Key{
		"secret":         {"kty": "oct", "kid": "unfit", "k": "c2VjcmV0"},
		"encryption":     other(authtest.Key{"use": "enc"}),
		"signing only":   other(authtest.Key{"key_ops": []string{"sign"}}),
		"other alg":      other(authtest.Key{"alg": "RS512"}),
		"other curve":    other(authtest.Key{"crv": "X25519"}),
		"short":          other(authtest.Key{"x": "AAAA"}),
		"short RSA":      {"kty": "RSA", "kid": "unfit", "n": strings.Repeat("_", 171), "e": "AQAB"},
		"huge RSA":       {"kty": "RSA", "kid": "unfit", "n": strings.Repeat("_", 4000), "e": "AQAB"},
		"even exponent":  {"kty": "RSA", "kid": "unfit", "n": strings.Repeat("_", 342), "e": "Ag"},
		"elliptic curve": {"kty": "EC", "kid": "unfit", "crv": "P-256", "x": "AAAA", "y": "AAAA"},
	} {
		write(t, file, authtest.KeySet(t, unfit))
		v, err := auth.NewVerifier(auth.VerifierConfig{JWKS: file, Issuer: "shop", Audience: "api"})
		if err != nil {
			t.Fatal(err)
		}
		if err := v.LoadKeys(t.Context()); err == nil || !strings.Contains(err.Error(), "no key") {
			t.Errorf("%s alone: error is %v", name, err)
		}
		write(t, file, authtest.KeySet(t, unfit, fit))
		if err := v.LoadKeys(t.Context()); err != nil {
			t.Errorf("%s beside a good one: %v", name, err)
		}
		wantTaken(t, v, token, true)
	}
	write(t, file, authtest.KeySet(t, fit, fit))
	v, err := auth.NewVerifier(auth.VerifierConfig{JWKS: file, Issuer: "shop", Audience: "api"})
	if err != nil {
		t.Fatal(err)
	}
	if err := v.LoadKeys(t.Context()); err == nil || !strings.Contains(err.Error(), "two") {
		t.Errorf("two keys of one name: error is %v", err)
	}
}

func write(t testing.TB, file string, text []byte) {
	t.Helper()
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestPreviousSecretIsGoodUntilItIsTakenOut(t *testing.T) {
	const fresh = "the secret that takes its place, newly made"
	token := func(secret string) string {
		return issue(t, auth.IssuerConfig{Secret: secret, Issuer: "shop", Audience: "api", TTL: time.Hour})
	}
	old, during := token(secret), auth.VerifierConfig{Secret: fresh, PreviousSecret: secret}
	for name, step := range map[string]struct {
		config             auth.VerifierConfig
		oldTaken, newTaken bool
	}{
		"before": {auth.VerifierConfig{Secret: secret}, true, false},
		"during": {during, true, true},
		"after":  {auth.VerifierConfig{Secret: fresh}, false, true},
	} {
		v, err := auth.NewVerifier(step.config)
		if err != nil {
			t.Fatal(name, err)
		}
		wantTaken(t, v, old, step.oldTaken)
		wantTaken(t, v, token(fresh), step.newTaken)
	}
}

func TestRevokedTokensEndAtOnceAndLaterOnesDoNot(t *testing.T) {
	v, token := verifier(t), good(t)
	wantTaken(t, v, token, true)
	v.Revoke(auth.Revocations{"bob": time.Now().Add(time.Hour)})
	wantTaken(t, v, token, true)
	v.Revoke(auth.Revocations{"ann": time.Now().Add(time.Second)})
	wantTaken(t, v, token, false) // remembered
	wantTaken(t, v, token, false) // and anew
	v.Revoke(auth.Revocations{"ann": time.Now().Add(-time.Minute)})
	wantTaken(t, v, token, true)
	undated := authtest.Sign(t, jwt.SigningMethodHS256, []byte(secret), nil, authtest.Claims(jwt.MapClaims{"sub": "ann", "iat": nil}))
	wantTaken(t, v, undated, false)
}

func TestRememberedTokensAreBounded(t *testing.T) {
	v, i := verifier(t), 0
	config := auth.IssuerConfig{Secret: secret, Issuer: "shop", Audience: "api", TTL: time.Hour}
	issuer, err := auth.NewIssuer(config)
	if err != nil {
		t.Fatal(err)
	}
	for range auth.CachedTokens + 100 {
		i++
		token, err := issuer.Issue(time.Duration(i).String(), nil)
		if err != nil {
			t.Fatal(err)
		}
		wantTaken(t, v, token, true)
	}
	if n := v.Remembered(); n != auth.CachedTokens {
		t.Errorf("%d tokens are remembered", n)
	}
}
