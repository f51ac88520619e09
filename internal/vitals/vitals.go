// Package vitals keeps the vital signs of the whole shop among the metrics: what is away, what waits and for how
// long, what was refused, how runs end. Counters of what streams do are Connect's and the plugins' own.
package vitals

import (
	"context"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/redpanda-data/benthos/v4/public/service"
)

const (
	interval = 15 * time.Second
	// patience is how long a source may take; it is asked again after the interval.
	patience = 5 * time.Second
)

// Reading is a value of a gauge.
type Reading struct {
	Gauge  string
	Labels []string
	Value  float64
}

// Source reads some of the gauges.
type Source struct {
	Name string
	Read func(ctx context.Context) ([]Reading, error)
}

// Collector reads sources again and again. Make one with New.
type Collector struct {
	sources []Source

	mu     sync.Mutex
	gauges map[string]*service.MetricGauge
	// seen are the label values that each source has set, so that what is gone becomes 0.
	seen map[string]map[string]Reading
}

// New registers every gauge.
func New(metrics *service.Metrics, sources ...Source) *Collector {
	c := &Collector{sources: sources, gauges: map[string]*service.MetricGauge{}, seen: map[string]map[string]Reading{}}
	for _, g := range Gauges {
		c.gauges[g.Name] = metrics.NewGauge(g.Name, g.Labels...)
	}
	return c
}

// Run reads until the context ends.
func (c *Collector) Run(ctx context.Context) {
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for {
		c.Collect(ctx)
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// Collect reads every source once, side by side: one that hangs holds up no other.
func (c *Collector) Collect(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	var wg sync.WaitGroup
	for _, source := range c.sources {
		wg.Go(func() {
			readings, err := source.Read(ctx)
			failed := 0.0
			if err != nil {
				failed = 1
			}
			c.set(source.Name, append(readings, Reading{SourceFailed, []string{source.Name}, failed}), err == nil)
		})
	}
	wg.Wait()
}

func (c *Collector) set(source string, readings []Reading, whole bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	before, now := c.seen[source], map[string]Reading{}
	for _, r := range readings {
		now[r.Gauge+"\xff"+strings.Join(r.Labels, "\xff")] = r
		c.gauges[r.Gauge].SetFloat64(r.Value, r.Labels...)
	}
	if !whole { // what did not answer says nothing of what is gone
		maps.Copy(now, before)
		c.seen[source] = now
		return
	}
	for _, key := range slices.Sorted(maps.Keys(before)) {
		if _, still := now[key]; !still {
			c.gauges[before[key].Gauge].SetFloat64(0, before[key].Labels...)
		}
	}
	c.seen[source] = now
}
