package vitals

// Gauge is one of the shop's vital signs. Its name and labels are part of what alerts and dashboards rely on: they
// change with a major version alone.
type Gauge struct {
	Name   string
	Labels []string
	Help   string
}

// The gauges. Every replica exports all of them, and they mean the whole shop: take the maximum over replicas.
const (
	DependencyUp        = "shop_connect_dependency_up"
	ConsumerLag         = "shop_connect_consumer_lag"
	OutboxRows          = "shop_connect_outbox_rows"
	OutboxAge           = "shop_connect_outbox_age_seconds"
	StagePendingObjects = "shop_connect_stage_pending_objects"
	StagePendingAge     = "shop_connect_stage_pending_age_seconds"
	StatisticsDueDays   = "shop_connect_statistics_due_days"
	StatisticsAge       = "shop_connect_statistics_age_seconds"
	QuarantineRows      = "shop_connect_quarantine_rows"
	BatchRunsDay        = "shop_connect_batch_runs_1d"
	BatchRunsActive     = "shop_connect_batch_runs_active"
	BatchLastSuccess    = "shop_connect_batch_last_success_timestamp_seconds"
	SourceFailed        = "shop_connect_vitals_failed"
)

// Gauges are all of them, in the order of the flow.
var Gauges = []Gauge{
	{DependencyUp, []string{"dependency"}, "1 where a server that the shop needs answers, 0 where it does not"},
	{OutboxRows, nil, "events of the API that are committed in PostgreSQL and not in Kafka yet"},
	{OutboxAge, nil, "for how long the oldest of them waits"},
	{ConsumerLag, []string{"group", "topic"}, "records of a topic that a stream has not committed yet"},
	{StagePendingObjects, []string{"entity"}, "objects of RAW that are not in STAGE yet"},
	{StagePendingAge, []string{"entity"}, "for how long the oldest of them waits"},
	{StatisticsDueDays, nil, "days whose statistics in ClickHouse are older than their purchases"},
	{StatisticsAge, nil, "for how long the longest waiting of them is due: how stale the statistics are"},
	{QuarantineRows, []string{"entity", "layer", "reason"}, "rows that were refused, and neither replayed nor discarded"},
	{BatchRunsDay, []string{"name", "status"}, "runs of a batch stream that were started in the last day, by how they ended"},
	{BatchRunsActive, []string{"name"}, "runs that are queued or running"},
	{BatchLastSuccess, []string{"name"}, "when a run of a batch stream last succeeded; 0 where none has in 30 days"},
	{SourceFailed, []string{"source"}, "1 where a source of these gauges did not answer, and its gauges are as they were"},
}
