package auth_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/shop-connect/shop-connect/internal/auth"
	"github.com/shop-connect/shop-connect/internal/auth/authtest"
)

const secret = "a secret of at least thirty-two bytes"

func verifier(t testing.TB) *auth.Verifier {
	t.Helper()
	v, err := auth.NewVerifier(auth.VerifierConfig{Secret: secret, Issuer: "shop", Audience: "api", Leeway: 2 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func issue(t testing.TB, c auth.IssuerConfig) string {
	t.Helper()
	i, err := auth.NewIssuer(c)
	if err != nil {
		t.Fatal(err)
	}
	token, err := i.Issue("ann", []string{auth.ScopeRead, auth.ScopeWrite})
	if err != nil {
		t.Fatal(err)
	}
	return token
}

func good(t testing.TB) string {
	t.Helper()
	return issue(t, auth.IssuerConfig{Secret: secret, Issuer: "shop", Audience: "api", TTL: auth.DefaultTTL})
}

func TestIssuedTokenSaysWhoMayDoWhat(t *testing.T) {
	v, token := verifier(t), good(t)
	for _, visit := range []string{"first", "remembered"} {
		claims, err := v.Verify(token)
		if err != nil {
			t.Fatalf("%s: %v", visit, err)
		}
		if claims.Subject != "ann" || !claims.Allows([]string{auth.ScopeRead, auth.ScopeWrite}) || claims.Allows([]string{auth.ScopeAdmin}) {
			t.Errorf("%s: claims are %+v", visit, claims)
		}
		if left := time.Until(claims.ExpiresAt); left > auth.DefaultTTL || left < auth.DefaultTTL-time.Minute {
			t.Errorf("%s: good for another %v", visit, left)
		}
	}
}

// I7: auth fails closed.
func TestI7ShortSecretIsAnErrorAtConstruction(t *testing.T) {
	for _, bad := range []string{"", "short", strings.Repeat("x", auth.MinSecretBytes-1)} {
		if _, err := auth.NewVerifier(auth.VerifierConfig{Secret: bad}); err == nil {
			t.Errorf("a verifier takes a secret of %d bytes", len(bad))
		}
		if _, err := auth.NewIssuer(auth.IssuerConfig{Secret: bad, TTL: time.Hour}); err == nil {
			t.Errorf("an issuer takes a secret of %d bytes", len(bad))
		}
	}
}

func TestTokensOfEveryKeyAreTaken(t *testing.T) {
	x := authtest.New(t)
	for name, token := range x.Good(t) {
		for range 2 {
			if claims, err := x.Verifier.Verify(token); err != nil || claims.Subject != "eve" {
				t.Errorf("%s: %+v %v", name, claims, err)
			}
		}
	}
}

func TestAttackedTokensAreRefused(t *testing.T) {
	x := authtest.New(t)
	for name, token := range x.Attacks(t) {
		t.Run(name, func(t *testing.T) {
			for range 2 { // whatever is remembered, a bad token is not
				if claims, err := x.Verifier.Verify(token); !errors.Is(err, auth.ErrToken) {
					t.Errorf("error is %v, claims are %+v", err, claims)
				}
			}
		})
	}
}

// FuzzVerify looks for a token that is taken although no key of ours signed exactly these bytes.
func FuzzVerify(f *testing.F) {
	x := authtest.New(f)
	ours := map[string]bool{}
	for _, token := range x.Good(f) {
		ours[token] = true
		f.Add(token)
	}
	for _, token := range x.Attacks(f) {
		f.Add(token)
	}
	f.Fuzz(func(t *testing.T, token string) {
		claims, err := x.Verifier.Verify(token)
		if err == nil && !ours[token] && !signed(token, x.Config.Secret) && !signed(token, x.Config.PreviousSecret) {
			t.Errorf("a forged token is taken: %q is %+v", token, claims)
		}
		if err != nil && !errors.Is(err, auth.ErrToken) {
			t.Errorf("error is %v", err)
		}
	})
}

// signed is a second opinion on a signature.
func signed(token, secret string) bool {
	dot := strings.LastIndexByte(token, '.')
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte(token[:dot]))
	return token[dot+1:] == base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

func TestEveryFaultOfAConfigIsReported(t *testing.T) {
	for _, tc := range []struct {
		config auth.VerifierConfig
		wanted []string
	}{
		{auth.VerifierConfig{Leeway: time.Hour}, []string{"jwt secret", "leeway"}},
		{auth.VerifierConfig{Secret: "short", PreviousSecret: "short"}, []string{"jwt secret", "is the same", "previous_secret: has 5"}},
		{auth.VerifierConfig{PreviousSecret: secret, JWKS: "keys.json"}, []string{"jwt secret", "issuer and audience"}},
		{auth.VerifierConfig{JWKS: "http://keys.example/jwks", Leeway: -1}, []string{"https", "issuer and audience", "leeway"}},
		{auth.VerifierConfig{JWKS: "file:///keys.json"}, []string{"https"}},
		{auth.VerifierConfig{JWKS: "https:///keys.json"}, []string{"https"}},
		{auth.VerifierConfig{JWKS: "https://ann:hunter2@keys.example/"}, []string{"keys are public"}},
		{auth.VerifierConfig{JWKS: "https://ann:hunter2@keys.example:port/"}, []string{"is no URL"}},
	} {
		_, err := auth.NewVerifier(tc.config)
		for _, wanted := range tc.wanted {
			if err == nil || !strings.Contains(err.Error(), wanted) || strings.Contains(err.Error(), "hunter2") {
				t.Errorf("%+v: error is %v, must have %q", tc.config, err, wanted)
			}
		}
	}
}

func TestClocksMayDifferByTheLeeway(t *testing.T) {
	v, now := verifier(t), time.Now()
	inside := authtest.Sign(t, jwt.SigningMethodHS256, []byte(secret), nil, authtest.Claims(jwt.MapClaims{
		"exp": now.Add(-time.Second).Unix() + 1, "nbf": now.Add(time.Second).Unix(), "iat": now.Add(time.Second).Unix(),
	}))
	if _, err := v.Verify(inside); err != nil {
		t.Errorf("within the leeway: %v", err)
	}
}

func BenchmarkVerifyRemembered(b *testing.B) {
	v, token := verifier(b), good(b)
	for b.Loop() {
		if _, err := v.Verify(token); err != nil {
			b.Fatal(err)
		}
	}
}
