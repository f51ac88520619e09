package chaos

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"syscall"
	"time"
)

// round is one scenario under way.
type round struct {
	*world
	random *rand.Rand
	// lasts is how long a fault that has no end of its own lasts.
	lasts time.Duration
}

func (r *round) between(least, most time.Duration) time.Duration {
	return least + time.Duration(r.random.Int64N(int64(most-least)))
}

func (r *round) replica() *replica { return r.replicas[r.random.IntN(len(r.replicas))] }

// killReplica ends a replica; its supervisor starts it again at once.
func (r *round) killReplica(victim *replica) {
	pid := victim.pid()
	if pid == 0 || !victim.kill() {
		return
	}
	r.kills++
	r.sayf("  kill -9 %s (process %d)", victim.name, pid)
}

// killServer ends a server and starts it again a while later.
func (r *round) killServer(ctx context.Context, name string, absence time.Duration) error {
	if err := r.servers.Kill(name); err != nil {
		return err
	}
	r.away[name] = true
	r.kills++
	r.sayf("  kill -9 %s, away for %s", name, absence.Round(10*time.Millisecond))
	pause(ctx, absence)
	if err := r.servers.Restart(ctx, name); err != nil {
		return err
	}
	delete(r.away, name)
	return nil
}

// freeze stops processes for a while: they keep their connections, and answer nobody.
func (r *round) freeze(ctx context.Context, what string, pids []int, d time.Duration) {
	r.pauses++
	r.sayf("  pausing %s for %s", what, d.Round(10*time.Millisecond))
	for _, pid := range pids {
		if pid > 0 && syscall.Kill(pid, syscall.SIGSTOP) == nil {
			r.paused[pid] = true
		}
	}
	pause(ctx, d)
	r.resume()
}

// spoils are what connections suffer, by name. Times are milliseconds, sizes are bytes, bandwidth is kB/s.
var spoils = map[string][]toxic{
	"delayed by 300 ms ± 200": both2("latency", map[string]int{"latency": 300, "jitter": 200}),
	"limited to 20 kB/s":      both2("bandwidth", map[string]int{"rate": 20}),
	"in small pieces":         both2("slicer", map[string]int{"average_size": 64, "size_variation": 32, "delay": 500}),
	"cut after 20 kB":         both2("limit_data", map[string]int{"bytes": 20_000}),
	"reset":                   both2("reset_peer", map[string]int{"timeout": 100}),
	"silent":                  both2("timeout", map[string]int{"timeout": 0}),
}

// spoilNames is the order that the seed chooses from.
var spoilNames = []string{"delayed by 300 ms ± 200", "limited to 20 kB/s", "in small pieces", "cut after 20 kB", "reset", "silent"}

func both2(kind string, attributes map[string]int) []toxic {
	return []toxic{
		{Name: kind + "-up", Type: kind, Stream: "upstream", Attributes: attributes},
		{Name: kind + "-down", Type: kind, Stream: "downstream", Attributes: attributes},
	}
}

// spoil lets the connections of replicas to a kind of server suffer for a while.
func (r *round) spoil(ctx context.Context, victims []*replica, kind, how string, d time.Duration) error {
	r.faults++
	r.sayf("  %s to %s: %s for %s", names(victims), kind, how, d.Round(10*time.Millisecond))
	for _, victim := range victims {
		if how == cutOff {
			victim.net.cut(kind)
			continue
		}
		for _, t := range spoils[how] {
			if err := victim.net.spoil(kind, t); err != nil {
				return err
			}
		}
	}
	pause(ctx, d)
	for _, victim := range victims {
		if err := victim.net.mend(); err != nil {
			return err
		}
	}
	return nil
}

// cutOff is the fault of connections that end and cannot be made again.
const cutOff = "cut off"

func names(replicas []*replica) string {
	var list []string
	for _, r := range replicas {
		list = append(list, r.name)
	}
	return strings.Join(list, " and ")
}

// troubleS3 lets the object store answer wrongly for a while.
func (r *round) troubleS3(ctx context.Context, t s3Trouble, d time.Duration) {
	r.faults++
	what := fmt.Sprintf("answers %d", t.Status)
	switch {
	case t.Status == 0:
		what = fmt.Sprintf("takes %s", t.Delay)
	case t.After:
		what += " after it has done what was asked"
	}
	r.sayf("  S3 %s to %.0f %% of the requests for %s", what, t.Share*100, d.Round(10*time.Millisecond))
	for _, victim := range r.replicas {
		victim.net.s3.set(t)
	}
	pause(ctx, d)
	struck := 0
	for _, victim := range r.replicas {
		struck += victim.net.s3.struck()
		victim.net.s3.set(s3Trouble{})
	}
	r.sayf("  S3 is well again; %d requests had trouble", struck)
}
