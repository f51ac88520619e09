package chaos

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/shop-connect/shop-connect/internal/embedded"
	"github.com/shop-connect/shop-connect/internal/env"
	"github.com/shop-connect/shop-connect/internal/progress"
	"github.com/shop-connect/shop-connect/internal/provision"
	"github.com/shop-connect/shop-connect/internal/reconcile"
	"github.com/shop-connect/shop-connect/internal/runs"
)

const (
	replicaCount = 2
	startLimit   = 2 * time.Minute
)

// world is everything that runs: servers, proxies, replicas, the load, and the truth about it.
type world struct {
	cfg     Config
	out     io.Writer
	began   time.Time
	servers *embedded.Servers // nil on somebody's own cluster
	disk    *smallDisk        // nil where there is none
	vars    map[string]string // of the servers themselves

	replicas []*replica
	book     *book
	tally    *tally
	traffic  *traffic
	counter  *reconcile.Counter

	kills, pauses, faults int
	paused                map[int]bool // processes
	away                  map[string]bool
	wrongs                []error // of rounds in which every layer was right all the same
}

func newWorld(ctx context.Context, cfg Config) (_ *world, err error) {
	w := &world{cfg: cfg, out: cfg.Out, began: time.Now(), book: newBook(), paused: map[int]bool{}, away: map[string]bool{}}
	defer func() {
		if err != nil {
			w.close()
		}
	}()
	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	if err := w.findServers(ctx); err != nil {
		return nil, err
	}
	if err := provision.All(ctx, w.vars); err != nil {
		return nil, err
	}
	if w.counter, err = reconcile.NewCounter(w.vars); err != nil {
		return nil, err
	}
	w.tally = newTally(w.vars[env.KafkaBrokers])
	if err := w.startReplicas(ctx); err != nil {
		return nil, err
	}
	var urls []string
	for _, r := range w.replicas {
		urls = append(urls, "http://"+r.net.api())
	}
	w.traffic, err = newTraffic(cfg, w.vars, urls, w.book, fmt.Sprintf("chaos-%d-%d", cfg.Seed, w.began.Unix()))
	if err != nil {
		return nil, err
	}
	return w, w.traffic.stock(ctx)
}

// findServers starts servers, or takes those that the caller names.
func (w *world) findServers(ctx context.Context) error {
	if w.cfg.Vars != nil {
		w.vars = maps.Clone(w.cfg.Vars)
		return w.refuseOthersData(ctx)
	}
	ports, err := freePorts(4)
	if err != nil {
		return err
	}
	data := filepath.Join(w.cfg.Dir, "data")
	if w.disk, err = newSmallDisk(filepath.Join(data, "s3")); err != nil {
		w.sayf("no disk of its own for S3, so none is filled: %v", err)
	}
	w.servers, err = embedded.Start(ctx, embedded.Config{DataDir: data, Ports: embedded.Ports{
		Kafka: ports[0], S3: ports[1], Postgres: ports[2], ClickHouse: ports[3],
	}}, slog.New(slog.NewTextHandler(w.out, nil)))
	if err != nil {
		return err
	}
	w.vars = w.servers.Env()
	w.vars[env.StreamsUser], w.vars[env.ShopTimezone] = "shop", "UTC"
	return nil
}

func (w *world) startReplicas(ctx context.Context) error {
	for n := range replicaCount {
		name := fmt.Sprintf("replica-%d", n+1)
		r, err := newReplica(name, replicaConfig{
			binary: w.cfg.Binary, pipelines: w.cfg.Pipelines, streams: w.cfg.Streams, vars: w.vars, seed: w.cfg.Seed + uint64(n),
			logFile: filepath.Join(w.cfg.Dir, name+".log"), report: w.sayf,
		})
		if err != nil {
			return err
		}
		w.replicas = append(w.replicas, r)
		go r.run()
	}
	for _, r := range w.replicas {
		if err := r.awaitReady(ctx); err != nil {
			return fmt.Errorf("%w; its log is %s", err, filepath.Join(w.cfg.Dir, r.name+".log"))
		}
	}
	return nil
}

func (w *world) close() {
	if w.traffic != nil {
		w.traffic.halt()
		w.traffic.close()
	}
	w.resume()
	for _, r := range w.replicas {
		r.stop()
	}
	if w.counter != nil {
		_ = w.counter.Close()
	}
	if w.servers != nil {
		_ = w.servers.Close()
	}
	if w.disk != nil {
		w.disk.close()
	}
}

// sayf writes a line with the time since the start.
func (w *world) sayf(format string, args ...any) {
	fmt.Fprintf(w.out, "[%7.1fs] %s\n", time.Since(w.began).Seconds(), fmt.Sprintf(format, args...))
}

// mend ends every fault, and returns once every process is there and answers.
func (w *world) mend(ctx context.Context) error {
	w.resume()
	var faults []error
	if w.disk != nil {
		faults = append(faults, w.disk.clear())
	}
	for name := range w.away {
		faults = append(faults, w.servers.Restart(ctx, name))
		delete(w.away, name)
	}
	for _, r := range w.replicas {
		faults = append(faults, r.net.mend())
	}
	return errors.Join(faults...)
}

func (w *world) resume() {
	for pid := range w.paused {
		_ = syscall.Kill(pid, syscall.SIGCONT)
		delete(w.paused, pid)
	}
}

// runBatch runs a batch stream on a replica, straight to its end.
func (w *world) runBatch(ctx context.Context, r *replica, name string, params map[string]string) error {
	vars := maps.Clone(r.vars)
	vars[env.PostgresDSN] = w.vars[env.PostgresDSN]
	path, err := runs.Find(w.cfg.Streams, name)
	if err != nil {
		return err
	}
	return runs.ToEnd(ctx, vars, path, params, io.Discard, io.Discard)
}

// settle waits until every layer holds what it should, and returns the last comparison and how long it took.
func (w *world) settle(ctx context.Context) (*comparison, time.Duration, error) {
	began := time.Now()
	ctx, cancel := context.WithTimeout(ctx, w.cfg.Bound)
	defer cancel()
	for _, r := range w.replicas {
		if err := r.awaitReady(ctx); err != nil {
			return nil, time.Since(began), err
		}
	}
	c, err := w.compareUntil(ctx, false)
	drained := time.Since(began)
	if err != nil || !c.holds() {
		return c, drained, err
	}
	if err := w.stage(ctx); err != nil {
		return nil, drained, err
	}
	c, err = w.compareUntil(ctx, true)
	return c, drained, err
}

// compareUntil compares until all agrees, or time is up: then the last comparison tells.
func (w *world) compareUntil(ctx context.Context, staged bool) (*comparison, error) {
	var last *comparison
	next := time.Now().Add(patienceOfReaders)
	for {
		c, err := compare(ctx, w.book, w.tally, w.counter, staged)
		if time.Now().After(next) {
			w.sayWhatLags(ctx, c, err)
			next = next.Add(patienceOfReaders)
		}
		switch {
		case err == nil && c.holds():
			return c, nil
		case err == nil:
			last = c
		case last == nil && ctx.Err() != nil:
			return nil, err
		}
		select {
		case <-ctx.Done():
			return last, nil
		case <-time.After(500 * time.Millisecond):
		}
	}
}

// patienceOfReaders is after how long a run says what it is waiting for.
const patienceOfReaders = 20 * time.Second

func (w *world) sayWhatLags(ctx context.Context, c *comparison, err error) {
	if err != nil {
		w.sayf("  still waiting: %s", trimLine(err.Error()))
		return
	}
	for _, line := range c.lines {
		if !line.Holds {
			w.sayf("  still waiting: %s: %s", line.Claim, line.Figures)
		}
	}
	for _, group := range describeGroups(ctx, w.vars[env.KafkaBrokers]) {
		if !strings.HasSuffix(group, "lag 0") {
			w.sayf("  %s", group)
		}
	}
}

// stage brings RAW to STAGE. A run that a fault has left behind may be in the way for a while.
func (w *world) stage(ctx context.Context) error {
	for n := 0; ; n++ {
		err := w.runBatch(ctx, w.replicas[n%len(w.replicas)], "copy_raw_to_stage", map[string]string{"entity": "purchases"})
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("bringing RAW to STAGE: %w", err)
		case <-time.After(time.Second):
		}
	}
}

func (w *world) summary() string {
	return fmt.Sprintf("%s kills, %d pauses, %d other faults; %s events attempted, %s acknowledged, %s never answered",
		progress.Thousands(int64(w.kills)), w.pauses, w.faults,
		progress.Thousands(w.book.attempted), progress.Thousands(w.book.acked), progress.Thousands(w.book.unknown))
}

func ensureDir(dir string) (string, error) {
	if dir == "" {
		if err := os.MkdirAll(".chaos", 0o700); err != nil {
			return "", fmt.Errorf("creating a data directory: %w; choose another place with --data-dir", err)
		}
		made, err := os.MkdirTemp(".chaos", "run-*")
		if err != nil {
			return "", fmt.Errorf("creating a data directory: %w; choose another place with --data-dir", err)
		}
		dir = made
	}
	abs, err := filepath.Abs(dir)
	if err == nil {
		err = os.MkdirAll(abs, 0o700)
	}
	if err != nil {
		return "", fmt.Errorf("creating data directory %s: %w; choose another with --data-dir", dir, err)
	}
	entries, err := os.ReadDir(abs)
	if err == nil && len(entries) > 0 {
		err = errors.New("it is not empty, and a run compares all that is in it with what it has sent")
	}
	if err != nil {
		return "", fmt.Errorf("opening data directory %s: %w; choose a new one with --data-dir", abs, err)
	}
	return abs, nil
}
