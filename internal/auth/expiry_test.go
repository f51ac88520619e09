package auth

import (
	"testing"
	"time"
)

func TestRememberedTokenExpires(t *testing.T) {
	const secret = "a secret of at least thirty-two bytes"
	v, err := NewVerifier(VerifierConfig{Secret: secret})
	if err != nil {
		t.Fatal(err)
	}
	issuer, err := NewIssuer(IssuerConfig{Secret: secret, TTL: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	token, err := issuer.Issue("ann", nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := v.Verify(token); err != nil {
		t.Fatal(err)
	}
	if v.verified.Len() != 1 {
		t.Fatal("the token is not remembered")
	}
	v.now = func() time.Time { return time.Now().Add(time.Minute + time.Second) }
	if _, err := v.Verify(token); err == nil {
		t.Error("a remembered token outlives its expiry")
	}
	if v.verified.Len() != 0 {
		t.Error("an expired token is still remembered")
	}
}
