// Package progress shows how far a long step is: a moving bar for people, a plain line a second for
// logs, so that neither a terminal nor a CI job ever looks stuck.
package progress

import (
	"fmt"
	"io"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"
)

const lineEvery = time.Second

// Meter counts the rows of one step. Its methods are safe for use by several goroutines.
type Meter struct {
	label   string
	total   int64
	done    atomic.Int64
	started time.Time

	bar  *progressbar.ProgressBar // on a terminal
	out  io.Writer                // elsewhere
	stop func()
}

// Start shows a step of so many rows on out, usually standard error.
func Start(out io.Writer, label string, total int64) *Meter {
	m := &Meter{label: label, total: total, started: time.Now(), out: out}
	if file, ok := out.(*os.File); ok && term.IsTerminal(int(file.Fd())) {
		// The bar calls it when it is full and again when it is left.
		endLine := sync.OnceFunc(func() { _, _ = fmt.Fprintln(out) })
		m.bar = progressbar.NewOptions64(total,
			progressbar.OptionSetWriter(out),
			progressbar.OptionSetDescription(label),
			progressbar.OptionShowCount(),
			progressbar.OptionShowIts(),
			progressbar.OptionSetItsString("rows"),
			progressbar.OptionSetWidth(30),
			progressbar.OptionThrottle(100*time.Millisecond),
			progressbar.OptionOnCompletion(endLine),
		)
		m.stop = func() { _ = m.bar.Exit() }
		return m
	}
	quit, gone := make(chan struct{}), make(chan struct{})
	go m.lines(quit, gone)
	m.stop = sync.OnceFunc(func() { close(quit); <-gone })
	return m
}

// Add moves the step on by n rows.
func (m *Meter) Add(n int64) {
	m.done.Add(n)
	if m.bar != nil {
		_ = m.bar.Add64(n)
	}
}

// Set moves the step to n rows.
func (m *Meter) Set(n int64) { m.Add(n - m.done.Load()) }

// Elapsed is the time since Start.
func (m *Meter) Elapsed() time.Duration { return time.Since(m.started) }

// Stop ends the display. It is safe to call twice.
func (m *Meter) Stop() { m.stop() }

func (m *Meter) lines(quit <-chan struct{}, gone chan<- struct{}) {
	defer close(gone)
	tick := time.NewTicker(lineEvery)
	defer tick.Stop()
	for {
		select {
		case <-quit:
			m.line()
			return
		case <-tick.C:
			m.line()
		}
	}
}

func (m *Meter) line() {
	done := m.done.Load()
	percent := int64(100)
	if m.total > 0 {
		percent = done * 100 / m.total
	}
	rate := float64(done) / max(time.Since(m.started).Seconds(), 0.001)
	_, _ = fmt.Fprintf(m.out, "%s  %s of %s  %d%%  %s rows/s\n", m.label, Thousands(done), Thousands(m.total), percent, Thousands(int64(rate)))
}

// Thousands writes 1234567 as 1,234,567.
func Thousands(n int64) string {
	if n < 0 {
		return "-" + Thousands(-n)
	}
	if n < 1000 {
		return fmt.Sprint(n)
	}
	return fmt.Sprintf("%s,%03d", Thousands(n/1000), n%1000)
}
