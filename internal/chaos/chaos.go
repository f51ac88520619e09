// Package chaos breaks a running shop in every way that it can think of, under continuous load, and then
// compares each layer with the truth that it kept: nothing may be lost, and nothing may count twice.
//
// It starts servers and two replicas of `shop-connect streams`, with a proxy in each connection between them.
// Clients note what they sent and what was acknowledged; the order in which Kafka holds it then says what RAW,
// STAGE, quarantine, ClickHouse, Iceberg and the statistics must hold.
package chaos

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/shop-connect/shop-connect/internal/env"
	"github.com/shop-connect/shop-connect/internal/reconcile"
)

// Config says what to break, and how much of it.
type Config struct {
	// Binary is shop-connect, Pipelines and Streams are the folders of its streams, Dir is where data and logs go.
	Binary, Pipelines, Streams, Dir string
	// Seed decides what is sent and which faults come in which order.
	Seed uint64
	// Rate is how many events a second are sent, all clients together.
	Rate int
	// Scenarios are names of scenarios; empty means all. They are repeated until there were Kills kills.
	Scenarios []string
	Kills     int
	// KillsPerRound is how many kills the scenario mix makes before the layers are compared.
	KillsPerRound int
	// Lasts is how long a fault lasts that has no end of its own.
	Lasts time.Duration
	// Bound is how long everything may take to come right once the faults are over.
	Bound time.Duration
	// Duration, if any, ends the run after the round in which it passes.
	Duration time.Duration
	// Vars name somebody's own servers; nil starts servers of the run's own.
	Vars map[string]string
	// User and Password may write to the API.
	User, Password string
	Out            io.Writer
}

// ErrDiffers says that a layer does not hold the truth, or not in time.
var ErrDiffers = errors.New("a layer does not hold what it should")

// maxLinesPerSecond is how many lines a second a replica may log, on average over a round of faults.
const maxLinesPerSecond = 50

// Run runs the scenarios and returns ErrDiffers where one of them has left its traces.
func Run(ctx context.Context, cfg Config) (err error) {
	chosen, err := choose(cfg)
	if err != nil {
		return err
	}
	w, err := newWorld(ctx, cfg)
	if err != nil {
		return err
	}
	defer w.close()
	w.sayf("seed %d: %d replicas, %d events a second, data in %s", cfg.Seed, replicaCount, cfg.Rate, cfg.Dir)
	random := rand.New(rand.NewPCG(cfg.Seed, 0xc4a05))
	for n := 0; ctx.Err() == nil; n++ {
		s := chosen[n%len(chosen)]
		if err := w.play(ctx, s, rand.New(rand.NewPCG(random.Uint64(), 1))); err != nil {
			w.sayf("in all: %s", w.summary())
			return fmt.Errorf("scenario %s, round %d of seed %d: %w", s.name, n+1, cfg.Seed, err)
		}
		late := cfg.Duration > 0 && time.Since(w.began) > cfg.Duration
		if late || n+1 >= len(chosen) && w.kills >= cfg.Kills {
			break
		}
	}
	w.sayf("in all: %s; 0 lost, 0 twice", w.summary())
	return errors.Join(append(w.wrongs, ctx.Err())...)
}

func choose(cfg Config) (chosen []scenario, err error) {
	var faults []error
	for _, name := range cfg.Scenarios {
		at := slices.IndexFunc(scenarios, func(s scenario) bool { return s.name == name })
		if at < 0 {
			faults = append(faults, fmt.Errorf("there is no scenario %q: there are %s", name, strings.Join(scenarioNames(), ", ")))
			continue
		}
		if scenarios[at].ownServers && cfg.Vars != nil {
			faults = append(faults, fmt.Errorf("scenario %q kills or pauses servers, and those of a cluster are left alone", name))
			continue
		}
		chosen = append(chosen, scenarios[at])
	}
	if len(cfg.Scenarios) == 0 {
		for _, s := range scenarios {
			if cfg.Vars == nil || !s.ownServers {
				chosen = append(chosen, s)
			}
		}
	}
	return chosen, errors.Join(faults...)
}

// play runs one scenario to the comparison behind it.
func (w *world) play(ctx context.Context, s scenario, random *rand.Rand) error {
	began, kills, faults := time.Now(), w.kills, w.faults+w.pauses
	attempted, unknown := w.book.totals()
	for _, r := range w.replicas {
		r.log.take()
	}
	w.sayf("%s: %s", s.name, s.doc)
	w.traffic.start(ctx)
	err := s.run(ctx, &round{world: w, random: random, lasts: w.cfg.Lasts})
	err = errors.Join(err, w.mend(ctx))
	pause(ctx, time.Second) // some load on what has been mended
	if err != nil {
		return err
	}
	lasted := time.Since(began)
	w.traffic.halt()
	c, drained, err := w.settle(ctx)
	attemptedNow, unknownNow := w.book.totals()
	w.sayf("%s: %d kills, %d other faults in %s; %d events, %d of them never answered; all came right in %s",
		s.name, w.kills-kills, w.faults+w.pauses-faults, lasted.Round(time.Second/10), attemptedNow-attempted, unknownNow-unknown,
		drained.Round(time.Second/10))
	if err != nil {
		return err
	}
	if c == nil {
		return fmt.Errorf("comparing the layers: no answer within %s", w.cfg.Bound)
	}
	if err := reconcile.Print(w.out, c.lines); err != nil {
		return err
	}
	if !c.holds() {
		for _, line := range append(c.samples, describeGroups(ctx, w.vars[env.KafkaBrokers])...) {
			fmt.Fprintf(w.out, "      %s\n", line)
		}
		return fmt.Errorf("%w: %d lost, %d twice, %d wrong; data and logs are in %s", ErrDiffers, c.lost, c.twice, c.wrong, w.cfg.Dir)
	}
	if answers := w.book.takeViolations(); len(answers) > 0 {
		for _, answer := range answers {
			fmt.Fprintf(w.out, "      %s\n", answer)
		}
		w.wrongs = append(w.wrongs, fmt.Errorf("%w: clients of %s got %d answers that no fault excuses", ErrDiffers, s.name, len(answers)))
	}
	return w.checkLogs(lasted)
}

// checkLogs holds the replicas to a log that somebody can read.
func (w *world) checkLogs(lasted time.Duration) error {
	for _, r := range w.replicas {
		lines, busiest := r.log.take()
		average := float64(lines) / lasted.Seconds()
		w.sayf("  %s logged %.1f lines a second, %d in the busiest; it ended %d times by itself", r.name, average, busiest, r.takeDeaths())
		if average > maxLinesPerSecond {
			return fmt.Errorf("%w: %s floods its log with %.0f lines a second", ErrDiffers, r.name, average)
		}
	}
	return nil
}
