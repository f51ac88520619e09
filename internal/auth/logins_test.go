package auth_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/shop-connect/shop-connect/internal/auth"
	"github.com/shop-connect/shop-connect/internal/store"
)

const password = "correct horse battery staple"

func users(all ...store.User) func(context.Context, string) (store.User, error) {
	return func(_ context.Context, name string) (store.User, error) {
		for _, u := range all {
			if u.Name == name {
				return u, nil
			}
		}
		return store.User{}, store.ErrNoUser
	}
}

func TestLoginIsRefusedAlikeWhateverIsWrong(t *testing.T) {
	gone := time.Now()
	hash := auth.HashPassword(password)
	logins := auth.NewLogins(users(
		store.User{Name: "ann", PasswordHash: hash, Scopes: []string{auth.ScopeRead}},
		store.User{Name: "bob", PasswordHash: hash, DisabledAt: &gone},
	))
	scopes, err := logins.Scopes(t.Context(), "ann", password)
	if err != nil || len(scopes) != 1 || scopes[0] != auth.ScopeRead {
		t.Errorf("the right password: %v %v", scopes, err)
	}
	for name, given := range map[string][2]string{
		"wrong password":  {"ann", password + "r"},
		"other case":      {"ann", strings.ToUpper(password)},
		"prefix":          {"ann", password[:27]},
		"empty password":  {"ann", ""},
		"hash":            {"ann", hash},
		"huge password":   {"ann", strings.Repeat("x", auth.MaxPasswordBytes+1)},
		"null byte":       {"ann", password + "\x00"},
		"disabled":        {"bob", password},
		"unknown":         {"eve", password},
		"unknown, empty":  {"eve", ""},
		"no name":         {"", password},
		"null in name":    {"ann\x00", password},
		"space in name":   {" ann", password},
		"not UTF-8":       {"\xff", password},
		"huge name":       {strings.Repeat("a", 1000), password},
		"SQL for a name":  {"' OR name = 'ann", password},
		"other case name": {"Ann", password},
	} {
		if scopes, err := logins.Scopes(t.Context(), given[0], given[1]); !errors.Is(err, auth.ErrLogin) || scopes != nil {
			t.Errorf("%s: %v, %v", name, scopes, err)
		}
	}
}

func TestUnknownUsersTakeAsLongAsKnownOnes(t *testing.T) {
	logins := auth.NewLogins(users(store.User{Name: "ann", PasswordHash: auth.HashPassword(password)}))
	took := func(name string) time.Duration {
		start := time.Now()
		_, _ = logins.Scopes(t.Context(), name, "wrong password")
		return time.Since(start)
	}
	// in turn, so that whatever else this machine does is met by both
	known, unknown := time.Hour, time.Hour
	for range 15 {
		known, unknown = min(known, took("ann")), min(unknown, took("eve"))
	}
	if unknown < known/3 || known < unknown/3 {
		t.Errorf("a known user takes %v, an unknown one %v", known, unknown)
	}
}

func TestLoginsAtOnceAreBounded(t *testing.T) {
	var running, most atomic.Int64
	arrived, release := make(chan struct{}, 100), make(chan struct{})
	logins := auth.NewLogins(func(context.Context, string) (store.User, error) {
		n := running.Add(1)
		defer running.Add(-1)
		for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
		}
		arrived <- struct{}{}
		<-release
		return store.User{}, store.ErrNoUser
	})
	var wg sync.WaitGroup
	for range 3 * auth.HashesAtOnce {
		wg.Go(func() { _, _ = logins.Scopes(t.Context(), "eve", "x") })
	}
	for range auth.HashesAtOnce {
		<-arrived
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := logins.Scopes(ctx, "eve", "x"); !errors.Is(err, auth.ErrLoginBusy) {
		t.Errorf("with all turns taken: %v", err)
	}
	close(release)
	wg.Wait()
	if most.Load() > auth.HashesAtOnce {
		t.Errorf("%d passwords were checked at once", most.Load())
	}
}

func TestUsersThatCannotBeFoundOutAreNoWrongPassword(t *testing.T) {
	away := errors.New("away")
	logins := auth.NewLogins(func(context.Context, string) (store.User, error) { return store.User{}, away })
	if _, err := logins.Scopes(t.Context(), "ann", password); !errors.Is(err, away) || errors.Is(err, auth.ErrLogin) {
		t.Errorf("error is %v", err)
	}
}

func TestStoredHashesThatAreNotOursAreErrors(t *testing.T) {
	valid := auth.HashPassword(password)
	part := strings.Split(valid, "$")
	for name, hash := range map[string]string{
		"empty":           "",
		"in the clear":    password,
		"argon2i":         strings.Replace(valid, "argon2id", "argon2i", 1),
		"version":         strings.Replace(valid, "v=19", "v=16", 1),
		"bcrypt":          "$2a$10$N9qo8uLOickgx2ZMRZoMyeIjZAgcfl7p92ldGxad68LJZdL17lhWy",
		"too much memory": strings.Replace(valid, "m=19456", "m=4000000", 1),
		"many passes":     strings.Replace(valid, "t=2", "t=1000", 1),
		"no passes":       strings.Replace(valid, "t=2", "t=0", 1),
		"no threads":      strings.Replace(valid, "p=1", "p=0", 1),
		"no salt":         strings.Replace(valid, part[4], "", 1),
		"no hash":         strings.Replace(valid, part[5], "", 1),
		"short hash":      strings.Replace(valid, part[5], "AAAA", 1),
	} {
		logins := auth.NewLogins(users(store.User{Name: "ann", PasswordHash: hash}))
		if _, err := logins.Scopes(t.Context(), "ann", password); err == nil || errors.Is(err, auth.ErrLogin) || hash != "" && strings.Contains(err.Error(), hash) {
			t.Errorf("%s: error is %v", name, err)
		}
	}
	if again := auth.HashPassword(password); again == valid {
		t.Error("two hashes of one password are equal")
	}
}
