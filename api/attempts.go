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
	"time"

	"golang.org/x/time/rate"
)

// TokenAttempts is how often a minute somebody may try to trade a password for a token.
type TokenAttempts struct {
	// PerUser holds for a user name from wherever, known or not; defaultAttemptsPerUser if 0.
	PerUser int
	// PerAddress holds for a client's address, whatever names it tries; defaultAttemptsPerAddress if 0.
	PerAddress int
}

// The attempts a minute where nothing else is said.
const (
	defaultAttemptsPerUser    = 20
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
	users, addresses *buckets
}

func newAttempts(c TokenAttempts) *attempts {
	return &attempts{
		users:     perMinute(cmp.Or(c.PerUser, defaultAttemptsPerUser)),
		addresses: perMinute(cmp.Or(c.PerAddress, defaultAttemptsPerAddress)),
	}
}

// take counts an attempt, and returns how long to wait where it is one too many. An address that is at
// its limit cannot use up the attempts of a user.
func (a *attempts) take(user, address string, now time.Time) time.Duration {
	if wait := takeOne(a.addresses.of(address), now); wait > 0 {
		return wait
	}
	name := sha256.Sum256([]byte(user)) // names can be long
	return takeOne(a.users.of(string(name[:])), now)
}

func perMinute(n int) *buckets { return newBuckets(rate.Limit(float64(n)/time.Minute.Seconds()), n) }

// takeOne takes one from a bucket, or returns how long until there is one.
func takeOne(bucket *rate.Limiter, now time.Time) time.Duration {
	attempt := bucket.ReserveN(now, 1)
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
