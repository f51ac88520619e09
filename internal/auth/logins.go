package auth

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/shop-connect/shop-connect/internal/store"
)

// The errors of a login that is no fault of the server. ErrLogin says nothing of which part was wrong.
var (
	ErrLogin     = errors.New("user or password is wrong")
	ErrLoginBusy = errors.New("too many logins at once")
)

const (
	// hashesAtOnce bounds the memory of logins, to as many times hashMemory.
	hashesAtOnce = 4

	// loginTimeout bounds the wait for a turn and for the database.
	loginTimeout = 5 * time.Second

	maxNameBytes     = 128
	minPasswordBytes = 8
	maxPasswordBytes = 1024
)

// Logins checks names and passwords. It is safe for concurrent use.
type Logins struct {
	find  func(ctx context.Context, name string) (store.User, error)
	turns chan struct{}
	// nobody is the hash that unknown users are checked against, so that they take as long as known ones
	nobody func() passwordHash
}

// NewLogins makes Logins of how users are found; find returns store.ErrNoUser for an unknown one.
func NewLogins(find func(ctx context.Context, name string) (store.User, error)) *Logins {
	return &Logins{find: find, turns: make(chan struct{}, hashesAtOnce), nobody: sync.OnceValue(func() passwordHash {
		hash, err := parseHash(HashPassword(""))
		if err != nil {
			panic(err) // our own format
		}
		return hash
	})}
}

// Scopes returns what a user may do. It is ErrLogin for anybody who is not to be let in, in the same time
// whether the user is unknown, disabled, or has another password.
func (l *Logins) Scopes(ctx context.Context, name, password string) ([]string, error) {
	ctx, cancel := context.WithTimeout(ctx, loginTimeout)
	defer cancel()
	select {
	case l.turns <- struct{}{}:
		defer func() { <-l.turns }()
	case <-ctx.Done():
		return nil, ErrLoginBusy
	}
	user, hash, err := l.stored(ctx, name)
	if err != nil {
		return nil, err
	}
	long := len(password) > maxPasswordBytes
	if long {
		password = ""
	}
	if !hash.matches(password) || long || user == nil || user.DisabledAt != nil {
		return nil, ErrLogin
	}
	return user.Scopes, nil
}

// stored returns a user with its hash; an unknown one is nil, with a hash that no password is let in by.
func (l *Logins) stored(ctx context.Context, name string) (*store.User, passwordHash, error) {
	if !isName(name) {
		return nil, l.nobody(), nil
	}
	user, err := l.find(ctx, name)
	if errors.Is(err, store.ErrNoUser) {
		return nil, l.nobody(), nil
	}
	if err != nil {
		return nil, passwordHash{}, err
	}
	hash, err := parseHash(user.PasswordHash)
	if err != nil {
		return nil, hash, fmt.Errorf("user %q: %w", name, err)
	}
	return &user, hash, nil
}

// isName tells names that users can have from what PostgreSQL, logs or people would trip over.
func isName(name string) bool {
	unprintable := func(r rune) bool { return !unicode.IsPrint(r) }
	return name != "" && len(name) <= maxNameBytes && utf8.ValidString(name) &&
		!strings.ContainsFunc(name, unprintable) && strings.TrimSpace(name) == name
}

func checkName(name string) error {
	if !isName(name) {
		return fmt.Errorf("user name %.20q: must be 1 to %d printable bytes, without space around", name, maxNameBytes)
	}
	return nil
}

func checkPassword(name, password string) error {
	switch n := len(password); {
	case n < minPasswordBytes || n > maxPasswordBytes:
		return fmt.Errorf("password: has %d bytes, must have from %d to %d", n, minPasswordBytes, maxPasswordBytes)
	case password == name:
		return errors.New("password: must not be the user's name")
	}
	return nil
}
