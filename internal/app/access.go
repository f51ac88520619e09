package app

import (
	"context"
	"errors"
	"log/slog"

	"github.com/shop-connect/shop-connect/internal/auth"
	"github.com/shop-connect/shop-connect/internal/store"
)

// loadAccess reads which tokens are good. Without that nothing starts (I7).
func loadAccess(v *auth.Verifier, users *store.Store) error {
	ctx, cancel := context.WithTimeout(context.Background(), connectTimeout)
	defer cancel()
	return errors.Join(v.LoadKeys(ctx), v.LoadRevocations(ctx, users.VoidTokens))
}

// followAccess keeps up with which tokens are good until the context ends.
func followAccess(ctx context.Context, v *auth.Verifier, users *store.Store) {
	go v.FollowKeys(ctx, slog.Default())
	go v.FollowRevocations(ctx, users.VoidTokens, slog.Default())
}
