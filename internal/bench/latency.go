package main

import (
	"fmt"
	"slices"
	"sync"
	"time"
)

// latencies are how long answers took, the shortest first.
type latencies []time.Duration

func (l latencies) percentile(p int) time.Duration { return l[(len(l)-1)*p/100] }

func (l latencies) String() string {
	return fmt.Sprintf("p50 %s, p99 %s, longest %s", millis(l.percentile(50)), millis(l.percentile(99)), millis(l[len(l)-1]))
}

func millis(d time.Duration) string { return fmt.Sprintf("%.1f ms", float64(d.Microseconds())/1000) }

// openLoop asks at a rate, whatever the answers take, and times each answer from the moment the question
// was due: one that had to wait for a slow one before it counts as slow itself.
func openLoop(rate float64, times int, ask func(n int) error) (latencies, time.Duration, error) {
	took := make(latencies, times)
	failures := make([]error, times)
	var asked sync.WaitGroup
	begun := time.Now()
	for n := range times {
		due := begun.Add(time.Duration(float64(n) / rate * float64(time.Second)))
		time.Sleep(time.Until(due))
		asked.Go(func() {
			failures[n] = ask(n)
			took[n] = time.Since(due)
		})
	}
	asked.Wait()
	return sorted(took), time.Since(begun), firstOf(failures)
}

// oneByOne asks again as soon as there is an answer.
func oneByOne(times int, ask func(n int) error) (latencies, error) {
	took := make(latencies, times)
	for n := range times {
		begun := time.Now()
		if err := ask(n); err != nil {
			return nil, err
		}
		took[n] = time.Since(begun)
	}
	return sorted(took), nil
}

func sorted(l latencies) latencies {
	slices.Sort(l)
	return l
}

// firstOf returns the first error and how many there are.
func firstOf(failures []error) error {
	failures = slices.DeleteFunc(failures, func(err error) bool { return err == nil })
	if len(failures) == 0 {
		return nil
	}
	return fmt.Errorf("%d requests failed, the first: %w", len(failures), failures[0])
}
