package batchrun

import (
	"strings"
	"sync"

	"github.com/redpanda-data/benthos/v4/public/service"

	"github.com/shop-connect/shop-connect/internal/store"
)

// Report is how an input within a batch_run says what it does besides giving messages: where it is, and
// rows that others brought where the run wants them. It is safe for concurrent use.
type Report struct {
	all    *reports
	text   string
	counts store.Counts
}

// ReportOf returns the report of an input that is being constructed with these resources, or false where
// that is not within a batch_run.
func ReportOf(mgr *service.Resources) (*Report, bool) {
	found, ok := mgr.GetGeneric(reportsKey{mgr.StreamID()})
	if !ok {
		return nil, false
	}
	all := found.(*reports)
	all.mu.Lock()
	defer all.mu.Unlock()
	r := &Report{all: all}
	all.each = append(all.each, r)
	return r, true
}

// Say tells where the input is. A text that differs from the last one is progress of the run, and the
// last one is why the run fails when nothing moves any more.
func (r *Report) Say(text string) {
	r.all.mu.Lock()
	moved, progressed := text != r.text, r.all.progressed
	r.text = text
	r.all.mu.Unlock()
	if moved && progressed != nil {
		progressed()
	}
}

// Count adds to the counts of the run.
func (r *Report) Count(c store.Counts) {
	r.all.mu.Lock()
	defer r.all.mu.Unlock()
	r.counts = r.counts.Plus(c)
}

// reports are those of all inputs within one batch_run.
type reports struct {
	mu         sync.Mutex
	each       []*Report
	progressed func()
}

// reportsKey is where the inputs of a stream find the reports while they are constructed.
type reportsKey struct{ stream string }

func newReports(mgr *service.Resources) *reports {
	r := &reports{}
	mgr.SetGeneric(reportsKey{mgr.StreamID()}, r)
	return r
}

// begin names what to call when a report changes.
func (r *reports) begin(progressed func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.progressed = progressed
}

func (r *reports) read() (text string, counts store.Counts) {
	r.mu.Lock()
	defer r.mu.Unlock()
	var texts []string
	for _, one := range r.each {
		if one.text != "" {
			texts = append(texts, one.text)
		}
		counts = counts.Plus(one.counts)
	}
	return strings.Join(texts, "; "), counts
}
