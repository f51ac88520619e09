package auth_test

import (
	"testing"
	"time"

	"github.com/shop-connect/shop-connect/internal/auth"
)

func TestRememberedTokenExpires(t *testing.T) {
	var c clock
	v, token := verifier(t), good(t)
	v.SetClock(c.now)
	wantTaken(t, v, token, true)
	if v.Remembered() != 1 {
		t.Fatal("the token is not remembered")
	}
	c.pass(auth.DefaultTTL + 3*time.Second)
	wantTaken(t, v, token, false)
	if v.Remembered() != 0 {
		t.Error("an expired token is still remembered")
	}
}
