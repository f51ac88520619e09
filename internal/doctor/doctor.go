// Package doctor looks at every server, right, clock, version and schema that the shop depends on, changes
// nothing of them, and says of each fault what to do.
package doctor

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"
)

// Level is how bad a finding is.
type Level string

// The levels. Faults stop something; warnings are worth knowing.
const (
	OK      Level = "ok"
	Warning Level = "warning"
	Fault   Level = "fault"
)

// patience is how long a check may take. A server that hangs holds up no other.
const patience = 5 * time.Second

// Finding is what a check has found, and what to do about it where it is not well.
type Finding struct {
	Server string `json:"server"`
	Check  string `json:"check"`
	Level  Level  `json:"level"`
	Found  string `json:"found"`
	Do     string `json:"do,omitempty"`
}

func fine(format string, args ...any) Finding {
	return Finding{Level: OK, Found: fmt.Sprintf(format, args...)}
}

func warning(do, format string, args ...any) Finding {
	return Finding{Level: Warning, Found: fmt.Sprintf(format, args...), Do: do}
}

func fault(do, format string, args ...any) Finding {
	return Finding{Level: Fault, Found: fmt.Sprintf(format, args...), Do: do}
}

// check is one thing to look at.
type check struct {
	name string
	run  func(ctx context.Context) []Finding
}

// server is what is looked at together.
type server struct {
	name, address string
	// needs are the variables without which it cannot be looked at.
	needs []string
	// reach goes first, where there is one: if it finds a fault, the others would only find the same.
	reach  check
	checks []check
}

// Config says what to look at.
type Config struct {
	// Vars are the variables of package env.
	Vars map[string]string
	// DataDir is that of the embedded servers; empty where the servers are others.
	DataDir string
	// HealthURL is the API's GET /health, empty where it is not known.
	HealthURL string
	// Patience is how long a check may take; 5 s where it is 0.
	Patience time.Duration
}

// Examine runs every check, side by side, and returns once all have ended or their time is up.
func Examine(ctx context.Context, cfg Config) *Report {
	if cfg.Patience == 0 {
		cfg.Patience = patience
	}
	e := &examination{Config: cfg}
	defer e.close()
	servers := []server{e.settings(), e.kafka(), e.s3(), e.postgres(), e.clickhouse(), e.iceberg(), e.processes()}
	report := &Report{CheckedAt: time.Now().UTC(), Servers: make([]ServerReport, len(servers))}
	var wg sync.WaitGroup
	for i, s := range servers {
		wg.Go(func() { report.Servers[i] = ServerReport{Name: s.name, Address: s.address, Findings: e.look(ctx, s)} })
	}
	wg.Wait()
	report.conclude(newRedactor(cfg.Vars))
	return report
}

// examination is one run of the checks. What several of them use is opened before any of them runs.
type examination struct {
	Config
	closers []func()
}

func (e *examination) onClose(f func()) { e.closers = append(e.closers, f) }

// close leaves alone what hangs: the process ends soon.
func (e *examination) close() {
	closed := make(chan struct{})
	go func() {
		defer close(closed)
		for _, f := range e.closers {
			f()
		}
	}()
	select {
	case <-closed:
	case <-time.After(time.Second):
	}
}

func (e *examination) look(ctx context.Context, s server) []Finding {
	for _, name := range s.needs {
		if e.Vars[name] == "" {
			return []Finding{{Server: s.name, Check: "reach", Level: Warning, Found: "not looked at: " + name + " is not set", Do: "set it, see Settings"}}
		}
	}
	var found []Finding
	if s.reach.run != nil {
		found = e.ask(ctx, s, s.reach)
		if slices.ContainsFunc(found, func(f Finding) bool { return f.Level == Fault }) {
			return found
		}
	}
	rest := make([][]Finding, len(s.checks))
	var wg sync.WaitGroup
	for i, c := range s.checks {
		wg.Go(func() { rest[i] = e.ask(ctx, s, c) })
	}
	wg.Wait()
	for _, more := range rest {
		found = append(found, more...)
	}
	return found
}

// ask runs a check for as long as patience lasts, also where it does not heed its context.
func (e *examination) ask(ctx context.Context, s server, c check) []Finding {
	ctx, cancel := context.WithTimeout(ctx, e.Patience)
	defer cancel()
	answer := make(chan []Finding, 1)
	go func() { answer <- c.run(ctx) }()
	var found []Finding
	select {
	case found = <-answer:
	case <-ctx.Done():
	}
	if ctx.Err() != nil { // what it has found since is only that its time was up
		found = []Finding{silent(e.Patience)}
	}
	for i := range found {
		found[i].Server, found[i].Check = s.name, c.name
		found[i].Found, found[i].Do = oneLine(found[i].Found), oneLine(found[i].Do)
	}
	return found
}

// silent is what is found of a server that takes connections, if that, and says nothing.
func silent(waited time.Duration) Finding {
	return fault("see whether its process runs and is not stopped, whether its machine swaps or its disk is full, and what is between here and there; then run this again",
		"no answer within %s", waited.Round(time.Second))
}

// oneLine makes one line of an error of several.
func oneLine(text string) string {
	var parts []string
	for line := range strings.Lines(text) {
		if line = strings.TrimSpace(line); line != "" {
			parts = append(parts, line)
		}
	}
	return strings.Join(parts, "; ")
}

// ago says how long something is past, roughly.
func ago(d time.Duration) string {
	switch {
	case d < 2*time.Minute:
		return fmt.Sprintf("%.0f s", d.Seconds())
	case d < 2*time.Hour:
		return fmt.Sprintf("%.0f min", d.Minutes())
	case d < 48*time.Hour:
		return fmt.Sprintf("%.0f h", d.Hours())
	}
	return fmt.Sprintf("%.0f days", d.Hours()/24)
}

func seconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }
