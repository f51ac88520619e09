package icebergupkeep

import (
	"time"

	"github.com/redpanda-data/benthos/v4/public/service"

	"github.com/shop-connect/shop-connect/internal/tableupkeep"
)

type metrics struct {
	runs, failures                         *service.MetricCounter
	latency                                *service.MetricTimer
	merged, deletes, expired, orphans      *service.MetricCounter
	conflicts                              *service.MetricCounter
	liveFiles, liveDeletes, liveRows       *service.MetricGauge
	liveManifests, liveSnapshots, lastGood *service.MetricGauge
}

func newMetrics(m *service.Metrics) *metrics {
	return &metrics{
		runs: m.NewCounter("iceberg_upkeep_runs", "table"), failures: m.NewCounter("iceberg_upkeep_failures", "table"),
		latency: m.NewTimer("iceberg_upkeep_latency_ns", "table"),
		merged:  m.NewCounter("iceberg_upkeep_files_merged", "table"), deletes: m.NewCounter("iceberg_upkeep_delete_files_removed", "table"),
		expired: m.NewCounter("iceberg_upkeep_snapshots_expired", "table"), orphans: m.NewCounter("iceberg_upkeep_orphans_removed", "table"),
		conflicts: m.NewCounter("iceberg_upkeep_conflicts", "table"),
		liveFiles: m.NewGauge("iceberg_table_data_files", "table"), liveDeletes: m.NewGauge("iceberg_table_delete_files", "table"),
		liveRows:      m.NewGauge("iceberg_table_rows", "table"),
		liveManifests: m.NewGauge("iceberg_table_manifests", "table"), liveSnapshots: m.NewGauge("iceberg_table_snapshots", "table"),
		lastGood: m.NewGauge("iceberg_upkeep_last_success_seconds", "table"),
	}
}

func (m *metrics) ran(r *tableupkeep.Report, took time.Duration, err error) {
	m.runs.Incr(1, r.Table)
	m.latency.Timing(took.Nanoseconds(), r.Table)
	m.conflicts.Incr(int64(r.Conflicts), r.Table)
	if err != nil {
		m.failures.Incr(1, r.Table)
		return
	}
	m.merged.Incr(int64(r.FilesMerged), r.Table)
	m.deletes.Incr(int64(r.DeletesApplied), r.Table)
	m.expired.Incr(int64(r.Expired), r.Table)
	m.orphans.Incr(int64(r.Orphans), r.Table)
	m.lastGood.Set(time.Now().Unix(), r.Table)
	if r.Snapshots == 0 {
		return // nothing was looked at
	}
	m.liveFiles.Set(int64(r.LiveFiles), r.Table)
	m.liveDeletes.Set(int64(r.LiveDeletes), r.Table)
	m.liveRows.Set(r.LiveRows, r.Table)
	m.liveManifests.Set(int64(r.LiveManifests), r.Table)
	m.liveSnapshots.Set(int64(r.Snapshots), r.Table)
}
