package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// The errors of users that are there when they should not be, and the reverse.
var (
	ErrNoUser     = errors.New("no such user")
	ErrUserExists = errors.New("there is a user of this name")
)

// User is who may have a token. The hash of the password is no business of anyone but who checks it.
type User struct {
	Name         string
	PasswordHash string
	Scopes       []string
	CreatedAt    time.Time
	DisabledAt   *time.Time
}

const userColumns = `name, password_hash, scopes, created_at, disabled_at`

func scanUser(row pgx.CollectableRow) (u User, err error) {
	err = row.Scan(&u.Name, &u.PasswordHash, &u.Scopes, &u.CreatedAt, &u.DisabledAt)
	return u, err
}

// AddUser enters a new user, or returns ErrUserExists.
func (s *Store) AddUser(ctx context.Context, name, passwordHash string, scopes []string) error {
	tag, err := s.pool.Exec(ctx, `INSERT INTO users (name, password_hash, scopes) VALUES ($1, $2, $3)
		ON CONFLICT DO NOTHING`, name, passwordHash, scopes)
	if err == nil && tag.RowsAffected() == 0 {
		err = ErrUserExists
	}
	if err != nil {
		return fmt.Errorf("adding user %q: %w", name, err)
	}
	return nil
}

// User returns one user, or ErrNoUser.
func (s *Store) User(ctx context.Context, name string) (User, error) {
	rows, err := s.pool.Query(ctx, `SELECT `+userColumns+` FROM users WHERE name = $1`, name)
	if err != nil {
		return User{}, fmt.Errorf("reading user: %w", err)
	}
	user, err := pgx.CollectExactlyOneRow(rows, scanUser)
	if errors.Is(err, pgx.ErrNoRows) {
		err = ErrNoUser
	}
	if err != nil {
		return User{}, fmt.Errorf("reading user: %w", err)
	}
	return user, nil
}

// Users returns all users by name.
func (s *Store) Users(ctx context.Context) ([]User, error) {
	rows, err := s.pool.Query(ctx, `SELECT `+userColumns+` FROM users ORDER BY name`)
	if err != nil {
		return nil, fmt.Errorf("listing users: %w", err)
	}
	users, err := pgx.CollectRows(rows, scanUser)
	if err != nil {
		return nil, fmt.Errorf("listing users: %w", err)
	}
	return users, nil
}

// voidTokens voids every token issued so far. Tokens carry the second they were issued in, so those of
// this second are void as a whole.
const voidTokens = `tokens_not_before = date_trunc('second', now()) + interval '1 second'`

// SetPassword changes a user's password and voids the tokens that were got by the old one.
func (s *Store) SetPassword(ctx context.Context, name, passwordHash string) error {
	return s.changeUser(ctx, `password_hash = $2, `+voidTokens, name, passwordHash)
}

// DisableUser lets a user in no more, and voids its tokens.
func (s *Store) DisableUser(ctx context.Context, name string) error {
	return s.changeUser(ctx, `disabled_at = coalesce(disabled_at, now()), `+voidTokens, name)
}

// EnableUser lets a user in again.
func (s *Store) EnableUser(ctx context.Context, name string) error {
	return s.changeUser(ctx, `disabled_at = NULL`, name)
}

func (s *Store) changeUser(ctx context.Context, set, name string, arguments ...any) error {
	tag, err := s.pool.Exec(ctx, `UPDATE users SET `+set+` WHERE name = $1`, append([]any{name}, arguments...)...)
	if err == nil && tag.RowsAffected() == 0 {
		err = ErrNoUser
	}
	if err != nil {
		return fmt.Errorf("changing user %q: %w", name, err)
	}
	return nil
}

// never is later than any token.
var never = time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC)

// VoidTokens says for every user with void tokens before when a token must have been issued to be one.
func (s *Store) VoidTokens(ctx context.Context) (map[string]time.Time, error) {
	rows, err := s.pool.Query(ctx, `SELECT name, CASE WHEN disabled_at IS NULL THEN tokens_not_before END
		FROM users WHERE disabled_at IS NOT NULL OR tokens_not_before IS NOT NULL`)
	if err != nil {
		return nil, fmt.Errorf("reading void tokens: %w", err)
	}
	void := map[string]time.Time{}
	var name string
	var before *time.Time
	_, err = pgx.ForEachRow(rows, []any{&name, &before}, func() error {
		void[name] = never
		if before != nil {
			void[name] = *before
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("reading void tokens: %w", err)
	}
	return void, nil
}
