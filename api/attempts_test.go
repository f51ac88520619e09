package api

import (
	"fmt"
	"testing"
	"time"
)

func TestAttemptsAreLimitedPerUserAndPerAddress(t *testing.T) {
	a, now := newAttempts(TokenAttempts{PerUser: 3, PerAddress: 6}), time.Now()
	taken := func(user, address string) int {
		n := 0
		for range 100 {
			if a.take(user, address, now) == 0 {
				n++
			}
		}
		return n
	}
	if n := taken("ann", "10.0.0.1"); n != 3 {
		t.Errorf("one user may try %d times", n)
	}
	if wait := a.take("ann", "10.0.0.2", now); wait <= 0 || wait > 20*time.Second {
		t.Errorf("from another address the user waits %v", wait)
	}
	if n := taken("bob", "10.0.0.3"); n != 3 {
		t.Errorf("another user may try %d times", n)
	}
	n := 0
	for i := range 100 {
		if a.take(fmt.Sprint("user", i), "10.0.0.4", now) == 0 {
			n++
		}
	}
	if n != 6 {
		t.Errorf("one address may try %d times", n)
	}
	now = now.Add(20 * time.Second)
	if n := taken("ann", "10.0.0.2"); n != 1 {
		t.Errorf("after a third of a minute one user may try %d times again", n)
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
