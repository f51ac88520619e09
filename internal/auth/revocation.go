package auth

import (
	"context"
	"fmt"
	"log/slog"
	"time"
)

const (
	// revocationsEvery is how long a token may outlive its revocation.
	revocationsEvery = 2 * time.Second

	revocationsTimeout = 5 * time.Second
)

// Revocations say for a subject that tokens issued before a time are void.
type Revocations = map[string]time.Time

// LoadRevocations reads what is revoked.
func (v *Verifier) LoadRevocations(ctx context.Context, read func(context.Context) (Revocations, error)) error {
	ctx, cancel := context.WithTimeout(ctx, revocationsTimeout)
	defer cancel()
	revoked, err := read(ctx)
	if err != nil {
		return fmt.Errorf("loading revocations: %w", err)
	}
	v.Revoke(revoked)
	return nil
}

// FollowRevocations keeps up with what is revoked until the context ends. While it cannot be read, what
// was revoked before stays so.
func (v *Verifier) FollowRevocations(ctx context.Context, read func(context.Context) (Revocations, error), log *slog.Logger) {
	ticker := time.NewTicker(revocationsEvery)
	defer ticker.Stop()
	away := false
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		err := v.LoadRevocations(ctx, read)
		if err != nil && !away && ctx.Err() == nil {
			log.Warn("tokens that are revoked from now on stay good until this works again", "error", err)
		}
		away = err != nil
	}
}

// Revoke replaces what is revoked. Tokens that were verified before are void at once, too.
func (v *Verifier) Revoke(r Revocations) { v.revoked.Store(&r) }

func (v *Verifier) isRevoked(c Claims) bool {
	before, ok := (*v.revoked.Load())[c.Subject]
	return ok && c.IssuedAt.Before(before)
}
