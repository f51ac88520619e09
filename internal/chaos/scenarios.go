package chaos

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"
)

// scenario is one kind of trouble. Traffic runs all along; what it leads to is compared afterwards.
type scenario struct {
	name, doc string
	// ownServers says that servers are killed or paused, which is not done to somebody's own cluster.
	ownServers bool
	run        func(ctx context.Context, r *round) error
}

var scenarios = []scenario{
	{"kill-replicas", "kill -9 of one replica after the other, and of both at once", false, killReplicas},
	{"kill-servers", "kill -9 of Kafka, S3, PostgreSQL and ClickHouse, each away for up to 3 s", true, killServers},
	{"kill-everything", "kill -9 of all servers and replicas at once", true, killEverything},
	{"pause", "SIGSTOP of each server and of a replica, longer than its group's session", true, pauseEach},
	{"cut", "connections of every kind are cut, reset, limited, delayed or silent", false, cutEach},
	{"s3-trouble", "S3 answers 500, 503 and slowly, also after it has done what was asked", false, s3Troubles},
	{"disk-full", "the disk of S3 has no byte left", true, diskFull},
	{"upkeep", "kills and cuts while RAW goes to STAGE, small objects are merged and Kafka is drained in batches", false, upkeep},
	{"rivals", "the same topic is read a second time, by other groups into the same tables, while replicas are killed", false, rivals},
	{"mix", "all of the above, drawn by lot", false, mix},
}

func scenarioNames() (list []string) {
	for _, s := range scenarios {
		list = append(list, s.name)
	}
	return list
}

func killReplicas(ctx context.Context, r *round) error {
	for n := range 5 {
		pause(ctx, r.between(500*time.Millisecond, 3*time.Second))
		if n == 4 {
			for _, victim := range r.replicas {
				r.killReplica(victim)
			}
			break
		}
		r.killReplica(r.replicas[n%len(r.replicas)])
	}
	return nil
}

func killServers(ctx context.Context, r *round) error {
	for _, at := range r.random.Perm(len(serverKinds)) {
		pause(ctx, r.between(500*time.Millisecond, 2*time.Second))
		if err := r.killServer(ctx, serverKinds[at], r.between(100*time.Millisecond, 3*time.Second)); err != nil {
			return err
		}
	}
	return nil
}

func killEverything(ctx context.Context, r *round) error {
	pause(ctx, r.between(time.Second, 2*time.Second))
	for _, victim := range r.replicas {
		r.killReplica(victim)
	}
	killed := make([]error, len(serverKinds))
	var dying sync.WaitGroup
	for i, name := range serverKinds {
		r.away[name] = true
		r.kills++
		dying.Go(func() { killed[i] = r.servers.Kill(name) })
	}
	dying.Wait()
	if err := errors.Join(killed...); err != nil {
		return err
	}
	r.sayf("  kill -9 of everything")
	pause(ctx, r.between(100*time.Millisecond, time.Second))
	var wg sync.WaitGroup
	faults := make([]error, len(serverKinds))
	for i, name := range serverKinds {
		wg.Go(func() { faults[i] = r.servers.Restart(ctx, name) })
	}
	wg.Wait()
	for i, name := range serverKinds {
		if faults[i] != nil {
			return faults[i]
		}
		delete(r.away, name)
	}
	return nil
}

func pauseEach(ctx context.Context, r *round) error {
	for _, at := range r.random.Perm(len(serverKinds)) {
		r.freeze(ctx, serverKinds[at], r.servers.Processes(serverKinds[at]), r.between(time.Second, 4*time.Second))
		pause(ctx, time.Second)
	}
	// longer than the session of its consumer groups: the other replica takes its partitions, and it wakes up in
	// the belief that they are its own
	victim := r.replica()
	r.freeze(ctx, victim.name, []int{victim.pid()}, 13*time.Second)
	return nil
}

func cutEach(ctx context.Context, r *round) error {
	kinds := append([]string{fromClients}, serverKinds...)
	for i, at := range r.random.Perm(len(kinds)) {
		how := append([]string{cutOff}, spoilNames...)[(i+r.random.IntN(3)*2)%(len(spoilNames)+1)]
		victims := []*replica{r.replica()}
		if r.random.IntN(3) == 0 {
			victims = r.replicas
		}
		if err := r.spoil(ctx, victims, kinds[at], how, r.between(r.lasts/2, r.lasts)); err != nil {
			return err
		}
		pause(ctx, 500*time.Millisecond)
	}
	return nil
}

var s3TroubleKinds = []s3Trouble{
	{Share: 0.3, Status: 500},
	{Share: 0.9, Status: 503},
	{Share: 0.3, Status: 500, After: true},
	{Share: 1, Delay: 2 * time.Second},
	{Share: 0.5, Status: 503, After: true, Delay: 300 * time.Millisecond},
}

func s3Troubles(ctx context.Context, r *round) error {
	for _, t := range s3TroubleKinds {
		r.troubleS3(ctx, t, r.between(r.lasts/2, r.lasts))
		pause(ctx, 500*time.Millisecond)
	}
	return nil
}

func diskFull(ctx context.Context, r *round) error {
	if r.disk == nil {
		r.sayf("  skipped: S3 has no disk of its own")
		return nil
	}
	r.faults++
	pause(ctx, time.Second)
	if err := r.disk.fill(); err != nil {
		return err
	}
	lasts := r.between(r.lasts, 2*r.lasts)
	r.sayf("  the disk of S3 is full for %s", lasts.Round(10*time.Millisecond))
	pause(ctx, lasts)
	return r.disk.clear()
}

// upkeep runs batches all the time that replicas and connections have trouble.
func upkeep(ctx context.Context, r *round) error {
	end, stop := context.WithCancel(ctx)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer stop()
	batches := []struct {
		name   string
		params map[string]string
	}{
		{"copy_raw_to_stage", map[string]string{"entity": "purchases"}},
		{"compact", map[string]string{"layer": "stage", "entity": "purchases", "settled_for": "1s", "min_objects": "2"}},
		{"process_kafka_data", nil},
		{"compact", map[string]string{"layer": "raw", "entity": "purchases", "settled_for": "1s", "min_objects": "2"}},
	}
	for i, replica := range r.replicas {
		wg.Go(func() {
			for n := i; end.Err() == nil; n++ {
				batch := batches[n%len(batches)]
				limit, cancel := context.WithTimeout(end, 20*time.Second)
				err := r.runBatch(limit, replica, batch.name, batch.params)
				cancel()
				if err != nil && end.Err() == nil {
					r.sayf("  %s on %s: %s", batch.name, replica.name, trimLine(err.Error()))
					pause(end, 500*time.Millisecond)
				}
			}
		})
	}
	for n := range 6 {
		pause(ctx, r.between(time.Second, 2500*time.Millisecond))
		if n%2 == 0 {
			r.killReplica(r.replica())
			continue
		}
		kind := []string{toS3, toPostgres, toKafka}[n/2]
		if err := r.spoil(ctx, r.replicas, kind, cutOff, r.between(200*time.Millisecond, time.Second)); err != nil {
			return err
		}
	}
	return nil
}

// rivals lets each replica run the sinks twice: the second ones read as groups of their own, from the beginning.
func rivals(ctx context.Context, r *round) error {
	end, stop := context.WithCancel(ctx)
	var wg sync.WaitGroup
	for _, replica := range r.replicas {
		wg.Go(func() { r.keepRivals(end, replica) })
	}
	for range 4 {
		pause(ctx, r.between(2*time.Second, 4*time.Second))
		r.killReplica(r.replica())
	}
	pause(ctx, 8*time.Second) // for them to catch up
	stop()
	wg.Wait()
	return nil
}

// mix draws faults by lot until the round has had its kills.
func mix(ctx context.Context, r *round) error {
	kinds := append([]string{fromClients}, serverKinds...)
	for target := r.kills + r.cfg.KillsPerRound; r.kills < target && ctx.Err() == nil; {
		pause(ctx, r.between(100*time.Millisecond, 1500*time.Millisecond))
		lot := r.random.IntN(20)
		if r.servers == nil && lot >= 8 && lot < 14 {
			lot = 0
		}
		switch {
		case lot < 8:
			r.killReplica(r.replica())
		case lot < 13:
			if err := r.killServer(ctx, serverKinds[r.random.IntN(len(serverKinds))], r.between(50*time.Millisecond, 2*time.Second)); err != nil {
				return err
			}
		case lot == 13:
			name := serverKinds[r.random.IntN(len(serverKinds))]
			r.freeze(ctx, name, r.servers.Processes(name), r.between(200*time.Millisecond, 3*time.Second))
		case lot == 14:
			victim := r.replica()
			r.freeze(ctx, victim.name, []int{victim.pid()}, r.between(200*time.Millisecond, 3*time.Second))
		case lot < 18:
			how := slices.Concat([]string{cutOff}, spoilNames)[r.random.IntN(len(spoilNames)+1)]
			if err := r.spoil(ctx, []*replica{r.replica()}, kinds[r.random.IntN(len(kinds))], how, r.between(200*time.Millisecond, 3*time.Second)); err != nil {
				return err
			}
		default:
			r.troubleS3(ctx, s3TroubleKinds[r.random.IntN(len(s3TroubleKinds))], r.between(200*time.Millisecond, 3*time.Second))
		}
	}
	return nil
}
