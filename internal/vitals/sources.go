package vitals

import (
	"context"
	"sync"
	"time"

	"github.com/shop-connect/shop-connect/internal/store"
)

// Ledger is what PostgreSQL knows of the shop.
type Ledger interface {
	OutboxBacklog(ctx context.Context) (store.Backlog, error)
	StageBacklog(ctx context.Context) ([]store.Backlog, error)
	QuarantineOpen(ctx context.Context) ([]store.OpenQuarantine, error)
	RunTotals(ctx context.Context) ([]store.RunTotal, error)
}

// FromLedger reads what is in PostgreSQL.
func FromLedger(ledger Ledger) []Source {
	return []Source{
		{"outbox", func(ctx context.Context) ([]Reading, error) {
			b, err := ledger.OutboxBacklog(ctx)
			if err != nil {
				return nil, err
			}
			return []Reading{{OutboxRows, nil, float64(b.Waiting)}, {OutboxAge, nil, b.Age}}, nil
		}},
		{"stage", func(ctx context.Context) (readings []Reading, err error) {
			backlogs, err := ledger.StageBacklog(ctx)
			for _, b := range backlogs {
				readings = append(readings, Reading{StagePendingObjects, []string{b.Name}, float64(b.Waiting)}, Reading{StagePendingAge, []string{b.Name}, b.Age})
			}
			return readings, err
		}},
		{"quarantine", func(ctx context.Context) (readings []Reading, err error) {
			open, err := ledger.QuarantineOpen(ctx)
			for _, q := range open {
				readings = append(readings, Reading{QuarantineRows, []string{q.Entity, q.Layer, q.Reason}, float64(q.Open)})
			}
			return readings, err
		}},
		{"runs", func(ctx context.Context) (readings []Reading, err error) {
			totals, err := ledger.RunTotals(ctx)
			for _, t := range totals {
				last := 0.0
				if t.LastSuccess.After(time.Unix(0, 0)) {
					last = float64(t.LastSuccess.UnixMilli()) / 1000
				}
				readings = append(readings,
					Reading{BatchRunsDay, []string{t.Name, "succeeded"}, float64(t.Succeeded)}, Reading{BatchRunsDay, []string{t.Name, "failed"}, float64(t.Failed)},
					Reading{BatchRunsActive, []string{t.Name}, float64(t.Active)}, Reading{BatchLastSuccess, []string{t.Name}, last})
			}
			return readings, err
		}},
	}
}

// FromChecks asks each server whether it is there.
func FromChecks(checks map[string]func(context.Context) error) Source {
	return Source{"dependencies", func(ctx context.Context) ([]Reading, error) {
		var mu sync.Mutex
		var readings []Reading
		var wg sync.WaitGroup
		for name, check := range checks {
			wg.Go(func() {
				up := 1.0
				if check(ctx) != nil {
					up = 0
				}
				mu.Lock()
				defer mu.Unlock()
				readings = append(readings, Reading{DependencyUp, []string{name}, up})
			})
		}
		wg.Wait()
		return readings, nil
	}}
}

// Lag is how far a consumer group is behind a topic.
type Lag struct {
	Group, Topic string
	Records      int64
}

// FromLag reads how far the streams are behind.
func FromLag(lag func(context.Context) ([]Lag, error)) Source {
	return Source{"lag", func(ctx context.Context) (readings []Reading, err error) {
		found, err := lag(ctx)
		for _, l := range found {
			readings = append(readings, Reading{ConsumerLag, []string{l.Group, l.Topic}, float64(l.Records)})
		}
		return readings, err
	}}
}

// FromStatistics reads how many days are due, and for how many seconds the longest waiting is.
func FromStatistics(due func(context.Context) (days int64, age float64, err error)) Source {
	return Source{"statistics", func(ctx context.Context) ([]Reading, error) {
		days, age, err := due(ctx)
		if err != nil {
			return nil, err
		}
		return []Reading{{StatisticsDueDays, nil, float64(days)}, {StatisticsAge, nil, age}}, nil
	}}
}
