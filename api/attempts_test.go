package api

import (
	"fmt"
	"testing"
	"time"
)

func TestAttemptsAreLimitedPerUserAndPerAddress(t *testing.T) {
	a, now := newAttempts(TokenAttempts{PerUser: 3, PerAddress: 6}), time.Now()
	taken := func(user, address string) (n int) {
		for range 100 {
			if _, wait := a.take(user, address, now); wait == 0 {
				n++
			}
		}
		return n
	}
	if n := taken("ann", "10.0.0.1"); n != 3 {
		t.Errorf("one user may try %d times", n)
	}
	if _, wait := a.take("ann", "10.0.0.1", now); wait <= 0 || wait > 20*time.Second {
		t.Errorf("the user waits %v", wait)
	}
	if n := taken("bob", "10.0.0.1"); n != 3 {
		t.Errorf("another user of the address may try %d times", n)
	}
	if n := taken("eve", "10.0.0.1"); n != 0 {
		t.Errorf("an address at its limit may try %d times more", n)
	}
	now = now.Add(20 * time.Second)
	if n := taken("ann", "10.0.0.1"); n != 1 {
		t.Errorf("after a third of a minute one user may try %d times again", n)
	}
}

func TestNobodyIsLockedOutFromElsewhereUntilManyGuess(t *testing.T) {
	a, now := newAttempts(TokenAttempts{PerUser: 3, PerAddress: 6}), time.Now()
	guesses := 0
	for i := range 100 {
		address := fmt.Sprint("10.0.0.", i)
		for {
			if _, wait := a.take("ann", address, now); wait > 0 {
				break
			}
			guesses++
		}
	}
	if guesses != 3*fromAnywhere {
		t.Errorf("from everywhere there were %d guesses", guesses)
	}
}

func TestAGoodPasswordIsNoGuess(t *testing.T) {
	a, now := newAttempts(TokenAttempts{PerUser: 3, PerAddress: 6}), time.Now()
	for i := range 100 {
		taken, wait := a.take("ann", "10.0.0.1", now)
		if wait > 0 {
			t.Fatalf("login %d has to wait %v", i, wait)
		}
		taken.forgive()
	}
}

func TestRememberedAttemptsAreBounded(t *testing.T) {
	a, now := newAttempts(TokenAttempts{}), time.Now()
	for i := range maxBuckets + 100 {
		a.take(fmt.Sprint(i), fmt.Sprint(i), now)
	}
	if users, addresses := a.users.byKey.Len(), a.addresses.byKey.Len(); users != maxBuckets || addresses != maxBuckets {
		t.Errorf("%d users and %d addresses are remembered", users, addresses)
	}
}

func TestClientsOfOneNetworkCountAsOne(t *testing.T) {
	for remote, want := range map[string]string{
		"10.0.0.7:1234":               "10.0.0.7",
		"[::ffff:10.0.0.7]:1234":      "10.0.0.7",
		"[2001:db8:1:2:3:4:5:6]:1234": "2001:db8:1:2::/64",
		"[2001:db8:1:2::9]:1234":      "2001:db8:1:2::/64",
		"[fe80::1%eth0]:1234":         "fe80::/64",
		"pipe":                        "pipe",
	} {
		if got := clientNetwork(remote); got != want {
			t.Errorf("%s counts as %q", remote, got)
		}
	}
}
