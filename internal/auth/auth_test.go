package auth_test

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"errors"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/shop-connect/shop-connect/internal/auth"
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

func TestEveryFaultOfAConfigIsReported(t *testing.T) {
	_, err := auth.NewVerifier(auth.VerifierConfig{Leeway: time.Hour})
	if err == nil || !strings.Contains(err.Error(), "secret") || !strings.Contains(err.Error(), "leeway") {
		t.Errorf("error is %v", err)
	}
}

func claims(change jwt.MapClaims) jwt.MapClaims {
	now := time.Now()
	c := jwt.MapClaims{
		"sub": "eve", "iss": "shop", "aud": "api", "scope": "admin",
		"iat": now.Unix(), "nbf": now.Unix(), "exp": now.Add(time.Hour).Unix(),
	}
	maps.Copy(c, change)
	for name, v := range c {
		if v == nil {
			delete(c, name)
		}
	}
	return c
}

func sign(t testing.TB, method jwt.SigningMethod, key any, header map[string]any, c jwt.MapClaims) string {
	t.Helper()
	token := jwt.NewWithClaims(method, c)
	maps.Copy(token.Header, header)
	text, err := token.SignedString(key)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// attacks are tokens that must be refused; the first makes sure that the others fail for their own fault.
func attacks(t testing.TB) map[string]string {
	t.Helper()
	hs := func(c jwt.MapClaims) string { return sign(t, jwt.SigningMethodHS256, []byte(secret), nil, claims(c)) }
	header := func(h map[string]any) string {
		return sign(t, jwt.SigningMethodHS256, []byte(secret), h, claims(nil))
	}
	if _, err := verifier(t).Verify(hs(nil)); err != nil {
		t.Fatalf("the token that attacks are made of is refused itself: %v", err)
	}
	b64 := base64.RawURLEncoding.EncodeToString
	valid := hs(nil)
	part := strings.Split(valid, ".")
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	ecKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	_, edKey, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	own := map[string]any{"kty": "oct", "k": b64([]byte("the attacker's own key, thirty-two b"))}
	now := time.Now()
	return map[string]string{
		"empty":                   "",
		"one part":                part[0],
		"two parts":               part[0] + "." + part[1],
		"four parts":              valid + "." + part[2],
		"dots":                    "..",
		"no signature":            part[0] + "." + part[1] + ".",
		"truncated signature":     valid[:len(valid)-2],
		"other signature":         part[0] + "." + part[1] + "." + b64(make([]byte, 32)),
		"changed payload":         part[0] + "." + b64([]byte(`{"sub":"admin","exp":99999999999}`)) + "." + part[2],
		"changed header":          b64([]byte(`{"typ":"JWT","alg":"HS256","x":1}`)) + "." + part[1] + "." + part[2],
		"padding":                 valid + "=",
		"another last bit":        part[0] + "." + part[1] + "." + part[2][:42] + string(part[2][42]+1),
		"space before":            " " + valid,
		"line break inside":       part[0] + ".\n" + part[1] + "." + part[2],
		"not base64":              "!!!." + part[1] + "." + part[2],
		"header not JSON":         b64([]byte("alg")) + "." + part[1] + "." + part[2],
		"huge":                    sign(t, jwt.SigningMethodHS256, []byte(secret), nil, claims(jwt.MapClaims{"pad": strings.Repeat("x", 20_000)})),
		"alg none":                sign(t, jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType, nil, claims(nil)),
		"alg none, signed":        b64([]byte(`{"typ":"JWT","alg":"none"}`)) + "." + part[1] + "." + part[2],
		"alg NoNe":                b64([]byte(`{"typ":"JWT","alg":"NoNe"}`)) + "." + part[1] + ".",
		"alg empty":               b64([]byte(`{"typ":"JWT","alg":""}`)) + "." + part[1] + ".",
		"alg absent":              b64([]byte(`{"typ":"JWT"}`)) + "." + part[1] + "." + part[2],
		"alg a number":            b64([]byte(`{"typ":"JWT","alg":256}`)) + "." + part[1] + "." + part[2],
		"alg HS384":               sign(t, jwt.SigningMethodHS384, []byte(secret), nil, claims(nil)),
		"alg HS512":               sign(t, jwt.SigningMethodHS512, []byte(secret), nil, claims(nil)),
		"alg RS256":               sign(t, jwt.SigningMethodRS256, rsaKey, nil, claims(nil)),
		"alg PS256":               sign(t, jwt.SigningMethodPS256, rsaKey, nil, claims(nil)),
		"alg ES256":               sign(t, jwt.SigningMethodES256, ecKey, nil, claims(nil)),
		"alg EdDSA":               sign(t, jwt.SigningMethodEdDSA, edKey, nil, claims(nil)),
		"alg twice":               b64([]byte(`{"alg":"HS256","alg":"none"}`)) + "." + part[1] + ".",
		"other secret":            sign(t, jwt.SigningMethodHS256, []byte("another secret of at least 32 bytes"), nil, claims(nil)),
		"empty secret":            sign(t, jwt.SigningMethodHS256, []byte{}, nil, claims(nil)),
		"embedded key":            sign(t, jwt.SigningMethodHS256, []byte("the attacker's own key, thirty-two b"), map[string]any{"jwk": own}, claims(nil)),
		"kid of a file":           sign(t, jwt.SigningMethodHS256, []byte{}, map[string]any{"kid": "../../../../dev/null"}, claims(nil)),
		"critical extension":      header(map[string]any{"crit": []string{"exp"}, "exp": 1}),
		"expired":                 hs(jwt.MapClaims{"exp": now.Add(-time.Minute).Unix()}),
		"without expiry":          hs(jwt.MapClaims{"exp": nil}),
		"expiry as text":          hs(jwt.MapClaims{"exp": "tomorrow"}),
		"expiry negative":         hs(jwt.MapClaims{"exp": -1}),
		"not yet valid":           hs(jwt.MapClaims{"nbf": now.Add(time.Minute).Unix()}),
		"issued in the future":    hs(jwt.MapClaims{"iat": now.Add(time.Minute).Unix()}),
		"other issuer":            hs(jwt.MapClaims{"iss": "evil"}),
		"without issuer":          hs(jwt.MapClaims{"iss": nil}),
		"other audience":          hs(jwt.MapClaims{"aud": []string{"web", "app"}}),
		"without audience":        hs(jwt.MapClaims{"aud": nil}),
		"without subject":         hs(jwt.MapClaims{"sub": nil}),
		"subject not a string":    hs(jwt.MapClaims{"sub": 1}),
		"scope not a string":      hs(jwt.MapClaims{"scope": map[string]any{"admin": true}}),
		"unicode full stop":       strings.ReplaceAll(valid, ".", "\u3002"),
		"null byte behind":        valid + "\x00",
		"invalid UTF-8":           "\xff\xfe." + part[1] + "." + part[2],
		"encrypted, not signed":   b64([]byte(`{"alg":"dir","enc":"A256GCM"}`)) + "..AAAA.AAAA.AAAA",
		"two tokens":              valid + "," + valid,
		"good token as a payload": part[0] + "." + b64([]byte(valid)) + "." + part[2],
	}
}

func TestAttackedTokensAreRefused(t *testing.T) {
	v := verifier(t)
	for name, token := range attacks(t) {
		t.Run(name, func(t *testing.T) {
			for range 2 { // whatever is remembered, a bad token is not
				if claims, err := v.Verify(token); !errors.Is(err, auth.ErrToken) {
					t.Errorf("error is %v, claims are %+v", err, claims)
				}
			}
		})
	}
}

func TestClocksMayDifferByTheLeeway(t *testing.T) {
	v, now := verifier(t), time.Now()
	inside := sign(t, jwt.SigningMethodHS256, []byte(secret), nil, claims(jwt.MapClaims{
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
