// Package clickhousesink is the output `clickhouse_table`: it writes rows that are JSON bytes into a
// ReplacingMergeTree table, as columns, so that each key counts once whatever is redelivered, repeated,
// corrected or deleted.
//
// ClickHouse merges the rows of one sorting key within one partition, and no others. The sink takes
// care of what that leaves open: rows are versioned by their place in Kafka, and an id that moves to
// another day is cancelled on the day it was on.
package clickhousesink

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/redpanda-data/benthos/v4/public/service"

	"github.com/shop-connect/shop-connect/internal/quarantine"
)

const (
	fieldDSN         = "dsn"
	fieldTable       = "table"
	fieldContract    = "contract"
	fieldTimezone    = "timezone"
	fieldDayColumn   = "day_column"
	fieldHourColumn  = "hour_column"
	fieldSliceColumn = "slice_column"
	fieldDayIndex    = "day_index"
	fieldDaysTouched = "days_touched"
	fieldCompression = "compression"
	fieldMaxInFlight = "max_in_flight"
	fieldBatching    = "batching"
)

// Spec documents the component.
func Spec() *service.ConfigSpec {
	return service.NewConfigSpec().
		Categories("Services").
		Summary("Writes JSON rows, checked and typed by a contract, into a ClickHouse table in columnar batches.").
		Description(`The table is a ReplacingMergeTree(version, is_deleted) with a column for each field of the contract, `+"`version UInt64` and `is_deleted UInt8`"+`. The version of a row is twice the Kafka offset of its record, so the later event of a key wins, and a record that is delivered twice changes nothing: batches may be written in any order and in parallel. The records of one key must be in one partition. A message without a place in Kafka is refused.

A deletion, `+"`{\"id\": …, \"deleted\": true}`"+`, is a row with is_deleted = 1. Where the day is part of the sorting key, name `+"`day_column` and `day_index`"+`: the sink then cancels a row on the day that its id has left.

A batch is acknowledged once ClickHouse holds it. A batch that cannot be written is sent again, with a pause, until it can; the reason is logged each time.`).
		Fields(
			service.NewStringField(fieldDSN).Description("ClickHouse's HTTP interface and the database, with its credentials.").
				Example("http://user:password@127.0.0.1:8123/analytics"),
			service.NewStringField(fieldTable).Description("The table to write to, with or without its database.").Example("analytics.purchases"),
			service.NewStringField(fieldContract).Description("Path of the contract that says what a valid row is.").Example("pipelines/contracts/purchases.yaml"),
			service.NewStringField(fieldTimezone).Description("The shop's time zone: of times that name none, and of business days.").Default("UTC"),
			service.NewStringField(fieldDayColumn).Description("A column that gets the business day of each row, of type Date32.").Example("purchase_date").Optional(),
			service.NewStringField(fieldHourColumn).Description("A column that gets the hour of the business day of each row, of type UInt8.").Example("purchase_hour").Optional(),
			service.NewStringField(fieldSliceColumn).Description("A column, of type UInt32, that cuts a day into slices by when rows arrived: 131,072 offsets of each partition. It must be in the sorting key. What is computed of rows needs to be computed anew for the slices that changed, and not for whole days.").Example("slice").Optional(),
			service.NewStringField(fieldDayIndex).Description("The table where the sink keeps which days an id was seen on, to find rows that an event has to cancel. Needed where the day is part of the table's sorting or partition key.").
				Example("analytics.purchase_day_index").Optional(),
			service.NewStringField(fieldDaysTouched).Description("A table that gets the days whose rows changed, and their slices where there are any, once the change can be read.").
				Example("analytics.purchase_slices_touched").Optional(),
			service.NewStringEnumField(fieldCompression, "none", "lz4", "zstd").Description("Compression on the way to ClickHouse. It costs more than it gains where the network is fast.").Default("none").Advanced(),
			service.NewOutputMaxInFlightField().Default(4),
			service.NewBatchPolicyField(fieldBatching),
			quarantine.Field(),
		).
		Example("Purchases", "Rows of the topic `purchases`, correct under corrections that move a purchase to another day.", `
output:
  label: analytics_purchases
  clickhouse_table:
    dsn: ${CLICKHOUSE_DSN}
    table: analytics.purchases
    contract: ${CONTRACTS_DIR:pipelines/contracts}/purchases.yaml
    timezone: ${SHOP_TIMEZONE:UTC}
    day_column: purchase_date
    hour_column: purchase_hour
    slice_column: slice
    day_index: analytics.purchase_day_index
    days_touched: analytics.purchase_slices_touched
    batching: {count: 50000, period: 500ms}
    refused:
      redpanda:
        seed_brokers: ["${KAFKA_BROKERS}"]
        topic: purchases.rejected
        key: ${! @kafka_key }
        metadata: {include_patterns: ["refused_.*"]}
`)
}

func init() {
	service.MustRegisterBatchOutput("clickhouse_table", Spec(), func(conf *service.ParsedConfig, mgr *service.Resources) (out service.BatchOutput, policy service.BatchPolicy, maxInFlight int, err error) {
		if policy, err = conf.FieldBatchPolicy(fieldBatching); err != nil {
			return nil, policy, 0, err
		}
		sink, err := newOutput(conf, mgr)
		if err != nil {
			return nil, policy, 0, err
		}
		return sink, policy, sink.cfg.maxInFlight, nil
	})
}

type output struct {
	cfg     config
	refused *quarantine.Refused
	metrics metrics
	// workspaces keeps the memory of decoded and encoded batches from one batch to the next.
	workspaces sync.Pool

	mu     sync.Mutex
	conn   driver.Conn
	tables *tables
	// failure is why the last write failed, for the next Connect to report.
	failure error
}

var _ service.BatchOutput = (*output)(nil)

type metrics struct{ rows, batches, refused, cancelled *service.MetricCounter }

func newOutput(conf *service.ParsedConfig, mgr *service.Resources) (*output, error) {
	cfg, err := parse(conf)
	if err != nil {
		return nil, err
	}
	refused, err := quarantine.FromParsed(conf, quarantine.LayerClickHouse)
	if err != nil {
		return nil, err
	}
	m := mgr.Metrics()
	o := &output{cfg: cfg, refused: refused, metrics: metrics{
		rows: m.NewCounter("clickhouse_rows"), batches: m.NewCounter("clickhouse_batches"),
		refused: m.NewCounter("clickhouse_refused_rows"), cancelled: m.NewCounter("clickhouse_cancelled_rows"),
	}}
	o.workspaces.New = func() any { return newWorkspace(cfg) }
	return o, nil
}

// Connect opens the connection and checks that the tables are what the contract needs.
func (o *output) Connect(ctx context.Context) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if err := o.failure; err != nil {
		// Reported here, a failed write is followed by a pause before the next attempt.
		o.failure = nil
		return err
	}
	if o.conn == nil {
		server := *o.cfg.server
		server.MaxOpenConns, server.MaxIdleConns = o.cfg.maxInFlight+1, o.cfg.maxInFlight+1
		conn, err := clickhouse.Open(&server)
		if err != nil {
			return fmt.Errorf("opening ClickHouse: %w", err)
		}
		o.conn = conn
	}
	t, err := loadTables(ctx, o.conn, o.cfg)
	if err != nil {
		return err
	}
	o.tables = t
	return nil
}

func (o *output) connection() (driver.Conn, *tables, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.conn == nil || o.tables == nil || o.failure != nil {
		return nil, nil, service.ErrNotConnected
	}
	return o.conn, o.tables, nil
}

// WriteBatch returns once the batch is in ClickHouse and its refused rows are where the YAML sends
// them (I2, I4).
func (o *output) WriteBatch(ctx context.Context, batch service.MessageBatch) error {
	conn, t, err := o.connection()
	if err != nil {
		return err
	}
	w := o.workspaces.Get().(*workspace)
	defer o.workspaces.Put(w)
	refused, err := w.decode(batch, o.refused)
	if err != nil {
		return err
	}
	written, err := w.write(ctx, conn, t)
	if err != nil {
		return o.fail(ctx, err)
	}
	// Last, since it is the one step that leaves something behind when it is repeated.
	if err := o.refused.Write(ctx, refused); err != nil {
		return err
	}
	o.metrics.batches.Incr(1)
	o.metrics.refused.Incr(int64(len(refused)))
	o.metrics.rows.Incr(int64(written.rows))
	o.metrics.cancelled.Incr(int64(written.cancelled))
	return nil
}

// fail leaves the reason to Connect, which the stream calls next. A closing stream has none.
func (o *output) fail(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.failure = err
	return service.ErrNotConnected
}

// Close closes the connection and the output of refused rows.
func (o *output) Close(ctx context.Context) error {
	o.mu.Lock()
	conn := o.conn
	o.conn, o.tables = nil, nil
	o.mu.Unlock()
	var err error
	if conn != nil {
		err = conn.Close()
	}
	return errors.Join(err, o.refused.Close(ctx))
}
