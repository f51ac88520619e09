package auth

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/shop-connect/shop-connect/internal/store"
)

// EnsureUser adds a user, or gives one that is there this password. A password that it has already is left
// alone, so that its tokens stay good. Scopes of a user that is there are not changed behind its back.
func EnsureUser(ctx context.Context, users *store.Store, name, password string, scopes []string) error {
	if err := errors.Join(checkName(name), checkPassword(name, password), checkScopes(scopes)); err != nil {
		return fmt.Errorf("user %q: %w", name, err)
	}
	user, err := users.User(ctx, name)
	if errors.Is(err, store.ErrNoUser) {
		return users.AddUser(ctx, name, HashPassword(password), scopes)
	}
	if err != nil {
		return err
	}
	if !slices.Equal(slices.Sorted(slices.Values(user.Scopes)), slices.Sorted(slices.Values(scopes))) {
		return fmt.Errorf("user %q has the scopes %v and is to have %v: disable it and take another name", name, user.Scopes, scopes)
	}
	hash, err := parseHash(user.PasswordHash)
	if err != nil || !hash.matches(password) {
		return users.SetPassword(ctx, name, HashPassword(password))
	}
	return nil
}
