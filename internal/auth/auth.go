// Package auth issues and verifies the API's bearer tokens.
//
// It fails closed (I7): without a long enough secret nothing is constructed, and a token is good only
// if everything about it is. Why a token is refused is for logs; a client learns that it is refused.
package auth

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// The scopes a token can carry.
const (
	ScopeRead  = "read"
	ScopeWrite = "write"
	ScopeAdmin = "admin"
)

// MinSecretBytes is the shortest secret that HS256 is safe with: as long as its hash (RFC 7518, 3.2).
const MinSecretBytes = 32

// ErrToken is what every refused token's error wraps.
var ErrToken = errors.New("verifying token")

// Claims are what a verified token says of its bearer.
type Claims struct {
	Subject   string
	Scopes    []string
	ExpiresAt time.Time
}

// Allows reports whether the bearer has every one of the scopes.
func (c Claims) Allows(scopes []string) bool {
	for _, scope := range scopes {
		if !slices.Contains(c.Scopes, scope) {
			return false
		}
	}
	return true
}

// wireClaims is the payload of a token; scope is a space-separated list (RFC 8693, 4.2).
type wireClaims struct {
	jwt.RegisteredClaims
	Scope string `json:"scope,omitempty"`
}

// Validate runs after the checks of the registered claims.
func (c *wireClaims) Validate() error {
	if c.Subject == "" {
		return errors.New("sub is missing")
	}
	return nil
}

func (c *wireClaims) claims() Claims {
	return Claims{Subject: c.Subject, Scopes: strings.Fields(c.Scope), ExpiresAt: c.ExpiresAt.Time}
}

// checkSecret enforces I7: an empty or guessable secret is an error at start.
func checkSecret(secret string) error {
	switch n := len(secret); {
	case n == 0:
		return errors.New("jwt secret: is empty; set JWT_SECRET to at least 32 random bytes, for example from `openssl rand -base64 48`")
	case n < MinSecretBytes:
		return fmt.Errorf("jwt secret: has %d bytes, HS256 needs at least %d; make one with `openssl rand -base64 48`", n, MinSecretBytes)
	}
	return nil
}
