package vitals

import (
	"fmt"
	"io"
	"strings"
)

// streams are the metrics of the API and of streams that alerts, dashboards and documentation speak of. Those of a
// stream have the labels stream, label and path.
var streams = []struct{ layer, name, labels, help string }{
	{"API", "api_requests_total", "route, status", "requests answered; a route is a pattern, never a path"},
	{"API", "api_request_duration_seconds", "route", "how long they took, as a histogram"},
	{"API", "api_requests_in_flight", "", "requests in hand"},
	{"streams", "kafka_rows_read", "", "records read from Kafka"},
	{"streams", "kafka_rows_acknowledged", "", "records that are written durably, so that their offsets are committed"},
	{"streams", "input_received", "", "messages that an input has brought in"},
	{"streams", "output_sent", "", "messages that an output has written"},
	{"streams", "output_error", "", "attempts of an output that failed; they are made again"},
	{"streams", "processor_error", "", "messages that a processor could not work on"},
	{"ClickHouse", "clickhouse_rows", "", "rows written"},
	{"ClickHouse", "clickhouse_batches", "", "inserts"},
	{"ClickHouse", "clickhouse_cancelled_rows", "", "rows cancelled because their purchase has moved to another day, or is deleted"},
	{"ClickHouse", "clickhouse_refused_rows", "", "rows that the contract refuses"},
	{"Iceberg", "iceberg_commits", "", "commits made"},
	{"Iceberg", "iceberg_conflicts", "", "commits that another writer was ahead of; they are made again"},
	{"Iceberg", "iceberg_commit_latency_ns", "", "how long a commit took, as a histogram in seconds"},
	{"Iceberg", "iceberg_rows", "", "rows written"},
	{"Iceberg", "iceberg_removals", "", "rows deleted or replaced"},
	{"Iceberg", "iceberg_files", "", "data files written"},
	{"Iceberg", "iceberg_redelivered", "", "records left out because the table has them"},
	{"Iceberg", "iceberg_refused", "", "rows that the contract refuses"},
}

// WriteReference writes docs/metrics.md.
func WriteReference(w io.Writer) error {
	var b strings.Builder
	b.WriteString(`# Metrics

<!-- written by: make generate -->

At ` + "`/metrics`" + ` of the streams REST API, with its password, and of ` + "`PROBES_ADDRESS`" + ` without. The names here are stable:
they change with a major version alone. Beside them are those of every Connect component, as Connect documents them.

## The shop

Gauges, read from PostgreSQL, Kafka and ClickHouse every 15 seconds. **Every replica exports all of them, and they mean the
whole shop**: take ` + "`max`" + ` over the replicas, never ` + "`sum`" + `.

| gauge | labels | is |
|---|---|---|
`)
	for _, g := range Gauges {
		fmt.Fprintf(&b, "| `%s` | %s | %s |\n", g.Name, strings.Join(g.Labels, ", "), g.Help)
	}
	b.WriteString(`
## The API and the streams

Of one replica: take ` + "`sum`" + ` over the replicas. Those of streams have the labels ` + "`stream`, `label` and `path`" + `.

| layer | metric | labels | is |
|---|---|---|---|
`)
	for _, m := range streams {
		fmt.Fprintf(&b, "| %s | `%s` | %s | %s |\n", m.layer, m.name, m.labels, m.help)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// Names are those of all documented metrics.
func Names() []string {
	var names []string
	for _, g := range Gauges {
		names = append(names, g.Name)
	}
	for _, m := range streams {
		names = append(names, m.name)
	}
	return names
}
