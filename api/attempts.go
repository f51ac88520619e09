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

// TokenAttempts is how often a minute somebody may fail to trade a password for a token.
type TokenAttempts struct {
	// PerUser holds for a user name from one address, whether it is known or not; from all addresses
	// together it is fromAnywhere times that. defaultAttemptsPerUser if 0.
	PerUser int
	// PerAddress holds for a client's address, whatever names it tries; defaultAttemptsPerAddress if 0.
	PerAddress int
}

// The attempts a minute where nothing else is said.
const (
	defaultAttemptsPerUser    = 20
	defaultAttemptsPerAddress = 60

	// fromAnywhere keeps one client's guesses from locking a user out who is elsewhere, and many clients
	// from guessing without a limit.
	fromAnywhere = 10
)

func (c TokenAttempts) check() error {
	if c.PerUser < 0 || c.PerAddress < 0 {
		return fmt.Errorf("constructing API: token attempts a minute must be above 0, are %d per user and %d per address", c.PerUser, c.PerAddress)
	}
	return nil
}

// attempts limits how fast passwords can be guessed.
type attempts struct {
	users, anywhere, addresses *buckets
}

func newAttempts(c TokenAttempts) *attempts {
	perUser := cmp.Or(c.PerUser, defaultAttemptsPerUser)
	return &attempts{
		users:     perMinute(perUser),
		anywhere:  perMinute(perUser * fromAnywhere),
		addresses: perMinute(cmp.Or(c.PerAddress, defaultAttemptsPerAddress)),
	}
}

// attempt is one that was counted.
type attempt struct {
	taken []*rate.Reservation
	at    time.Time
}

// forgive takes the attempt off the count: it was no guess.
func (a attempt) forgive() {
	for _, r := range a.taken {
		r.CancelAt(a.at)
	}
}

// take counts an attempt, and returns how long to wait where it is one too many, which counts nothing.
func (a *attempts) take(user, address string, now time.Time) (attempt, time.Duration) {
	name := sha256.Sum256([]byte(user)) // names can be long
	taken := attempt{at: now}
	for _, bucket := range []*rate.Limiter{
		a.addresses.of(address), a.users.of(string(name[:]) + address), a.anywhere.of(string(name[:])),
	} {
		r := bucket.ReserveN(now, 1)
		taken.taken = append(taken.taken, r)
		if wait := r.DelayFrom(now); wait > 0 {
			taken.forgive()
			return attempt{}, wait
		}
	}
	return taken, 0
}

func perMinute(n int) *buckets { return newBuckets(rate.Limit(float64(n)/time.Minute.Seconds()), n) }

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
