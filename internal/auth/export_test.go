package auth

import (
	"context"
	"time"
)

// SetClock lets tests pass the time.
func (v *Verifier) SetClock(now func() time.Time) { v.now, v.keys.now = now, now }

// RefreshKeys is what FollowKeys does every now and then.
func (v *Verifier) RefreshKeys(ctx context.Context) error { return v.keys.refresh(ctx) }

// Remembered is how many tokens are remembered as good.
func (v *Verifier) Remembered() int { return v.verified.Len() }

// The bounds that tests reach.
const (
	CachedTokens     = cachedTokens
	HashesAtOnce     = hashesAtOnce
	KeysRefreshMin   = keysRefreshMin
	KeysMaxAge       = keysMaxAge
	MaxPasswordBytes = maxPasswordBytes
)
