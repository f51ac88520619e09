// Package authtest attacks whatever checks bearer tokens, with tokens that only a wrong implementation
// takes. The verifier's tests use it, and those of the API in front of it.
package authtest

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"maps"
	"math/big"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/shop-connect/shop-connect/internal/auth"
)

// The kids of the target's provider keys.
const (
	RSAKeyID     = "provider-rsa"
	Ed25519KeyID = "provider-ed"
)

// Target is a verifier with every kind of key, and what an attacker wants of it: the keys.
type Target struct {
	Config   auth.VerifierConfig
	Verifier *auth.Verifier
	RSA      *rsa.PrivateKey
	Ed25519  ed25519.PrivateKey
}

// New makes a target with keys of its own.
func New(t testing.TB) *Target {
	t.Helper()
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	_, edKey, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "jwks.json")
	if err := os.WriteFile(file, KeySet(t, RSA(RSAKeyID, &rsaKey.PublicKey), Ed25519(Ed25519KeyID, edKey.Public().(ed25519.PublicKey))), 0o600); err != nil {
		t.Fatal(err)
	}
	target := &Target{RSA: rsaKey, Ed25519: edKey, Config: auth.VerifierConfig{
		Secret: "a secret of at least thirty-two bytes", PreviousSecret: "the secret that was in use before it",
		JWKS: file, Issuer: "shop", Audience: "api", Leeway: 2 * time.Second,
	}}
	if target.Verifier, err = auth.NewVerifier(target.Config); err != nil {
		t.Fatal(err)
	}
	if err := target.Verifier.LoadKeys(t.Context()); err != nil {
		t.Fatal(err)
	}
	return target
}

// Key is a key of a JSON Web Key Set.
type Key map[string]any

// KeySet is the JSON of a key set.
func KeySet(t testing.TB, keys ...Key) []byte {
	t.Helper()
	text, err := json.Marshal(map[string]any{"keys": keys})
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// RSA is the public key as a provider publishes it.
func RSA(id string, k *rsa.PublicKey) Key {
	return Key{"kty": "RSA", "kid": id, "use": "sig", "alg": "RS256", "n": encode(k.N.Bytes()), "e": encode(big.NewInt(int64(k.E)).Bytes())}
}

// Ed25519 is the public key as a provider publishes it.
func Ed25519(id string, k ed25519.PublicKey) Key {
	return Key{"kty": "OKP", "kid": id, "crv": "Ed25519", "x": encode(k)}
}

// Claims are those of a good token, changed; a change to nil takes one away.
func Claims(change jwt.MapClaims) jwt.MapClaims {
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

// Sign makes a token with headers of the caller's choice.
func Sign(t testing.TB, method jwt.SigningMethod, key any, header map[string]any, c jwt.MapClaims) string {
	t.Helper()
	token := jwt.NewWithClaims(method, c)
	maps.Copy(token.Header, header)
	text, err := token.SignedString(key)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// publicKeyTexts are the forms of a public key that a wrong verifier takes for a secret.
func publicKeyTexts(t testing.TB, key any) map[string][]byte {
	t.Helper()
	der, err := x509.MarshalPKIXPublicKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return map[string][]byte{"DER": der, "PEM": pemOf(der)}
}

func encode(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }
