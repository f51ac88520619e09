package api

import (
	"cmp"
	"crypto/sha256"
	"fmt"
	"math"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"sync"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
	"golang.org/x/time/rate"
)

// rememberedAttempts bounds the memory of the limits, to as many users and as many addresses. Whoever
// is forgotten has not tried for longer than all the others.
const rememberedAttempts = 1 << 16

// TokenAttempts is how often a minute somebody may try to trade a password for a token.
type TokenAttempts struct {
	// PerUser holds for a user name from wherever, known or not; defaultAttemptsPerUser if 0.
	PerUser int
	// PerAddress holds for a client's address, whatever names it tries; defaultAttemptsPerAddress if 0.
	PerAddress int
}

// The attempts a minute where nothing else is said.
const (
	defaultAttemptsPerUser    = 10
	defaultAttemptsPerAddress = 60
)

func (c TokenAttempts) check() error {
	if c.PerUser < 0 || c.PerAddress < 0 {
		return fmt.Errorf("constructing API: token attempts a minute must be above 0, are %d per user and %d per address", c.PerUser, c.PerAddress)
	}
	return nil
}

// attempts limits how fast passwords can be guessed.
type attempts struct {
	users, addresses attemptLimit
}

func newAttempts(c TokenAttempts) *attempts {
	return &attempts{users: newAttemptLimit(cmp.Or(c.PerUser, defaultAttemptsPerUser)), addresses: newAttemptLimit(cmp.Or(c.PerAddress, defaultAttemptsPerAddress))}
}

// take counts an attempt, and returns how long to wait where it is one too many. An address that is at
// its limit cannot use up the attempts of a user.
func (a *attempts) take(user, address string, now time.Time) time.Duration {
	if wait := a.addresses.take(address, now); wait > 0 {
		return wait
	}
	name := sha256.Sum256([]byte(user)) // names can be long
	return a.users.take(string(name[:]), now)
}

// attemptLimit is one limit for each of many keys.
type attemptLimit struct {
	perMinute int
	mu        *sync.Mutex // two first attempts at once must meet one limiter
	byKey     *lru.Cache[string, *rate.Limiter]
}

func newAttemptLimit(perMinute int) attemptLimit {
	byKey, err := lru.New[string, *rate.Limiter](rememberedAttempts)
	if err != nil {
		panic(err) // for a size that is not above 0
	}
	return attemptLimit{perMinute: perMinute, mu: &sync.Mutex{}, byKey: byKey}
}

func (l attemptLimit) take(key string, now time.Time) time.Duration {
	l.mu.Lock()
	limiter, known := l.byKey.Get(key)
	if !known {
		limiter = rate.NewLimiter(rate.Limit(float64(l.perMinute)/time.Minute.Seconds()), l.perMinute)
		l.byKey.Add(key, limiter)
	}
	l.mu.Unlock()
	attempt := limiter.ReserveN(now, 1)
	wait := attempt.DelayFrom(now)
	if wait > 0 {
		attempt.CancelAt(now)
	}
	return wait
}

// tooManyAttempts is the answer to one attempt too many.
func tooManyAttempts(wait time.Duration) *Problem {
	seconds := strconv.Itoa(int(math.Ceil(wait.Seconds())))
	return NewProblem(http.StatusTooManyRequests, "too many attempts to get a token; use the token you have until it expires, or try again in "+seconds+" s").
		WithHeader("Retry-After", seconds)
}

// clientNetwork is what a client cannot easily change about its address: all of IPv4, and of IPv6 the
// 64 bits of its network.
func clientNetwork(remote string) string {
	host, _, err := net.SplitHostPort(remote)
	if err != nil {
		return remote
	}
	address, err := netip.ParseAddr(host)
	if err != nil {
		return host
	}
	address = address.Unmap().WithZone("")
	if address.Is6() {
		if network, err := address.Prefix(64); err == nil {
			return network.String()
		}
	}
	return address.String()
}
