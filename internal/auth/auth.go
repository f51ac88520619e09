// Package auth issues and verifies the API's bearer tokens, and knows who may have one.
//
// It fails closed (I7): without keys nothing is constructed, and a token is good only if everything
// about it is. Why a token is refused is for logs; a client learns that it is refused.
package auth

import (
	"errors"
	"slices"
	"time"
)

// The scopes a token can carry.
const (
	ScopeRead  = "read"
	ScopeWrite = "write"
	ScopeAdmin = "admin"
)

// ErrToken is what every refused token's error wraps.
var ErrToken = errors.New("verifying token")

// Claims are what a verified token says of its bearer.
type Claims struct {
	Subject   string
	Scopes    []string
	IssuedAt  time.Time
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
