package icebergsink

import (
	"time"

	"github.com/redpanda-data/benthos/v4/public/service"
)

type sinkMetrics struct {
	commits, conflicts    *service.MetricCounter
	latency               *service.MetricTimer
	lag                   *service.MetricGauge
	rows, removals, files *service.MetricCounter
	redelivered, repeated *service.MetricCounter
	superseded, refused   *service.MetricCounter
}

func newMetrics(m *service.Metrics) *sinkMetrics {
	return &sinkMetrics{
		commits: m.NewCounter("iceberg_commits"), conflicts: m.NewCounter("iceberg_conflicts"),
		latency: m.NewTimer("iceberg_commit_latency_ns"),
		lag:     m.NewGauge("iceberg_lag_ms"),
		rows:    m.NewCounter("iceberg_rows"), removals: m.NewCounter("iceberg_removals"), files: m.NewCounter("iceberg_files"),
		redelivered: m.NewCounter("iceberg_redelivered"), repeated: m.NewCounter("iceberg_repeated"),
		superseded: m.NewCounter("iceberg_superseded"), refused: m.NewCounter("iceberg_refused"),
	}
}

// planned counts the rows that needed no writing.
func (m *sinkMetrics) planned(p *plan) {
	m.redelivered.Incr(int64(p.redelivered))
	m.repeated.Incr(int64(p.repeated))
	m.superseded.Incr(int64(p.superseded))
}

// committed counts a commit. oldest is the timestamp of its oldest record, in microseconds.
func (m *sinkMetrics) committed(p *plan, files *written, oldest int64, took time.Duration) {
	m.lag.Set(max(0, (time.Now().UnixMicro()-oldest)/1000))
	m.planned(p)
	m.commits.Incr(1)
	m.latency.Timing(took.Nanoseconds())
	m.rows.Incr(int64(len(p.rows)))
	m.removals.Incr(int64(len(p.removals)))
	m.files.Incr(int64(len(files.data) + len(files.deletes)))
}
