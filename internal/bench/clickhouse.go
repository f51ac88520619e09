package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/shopspring/decimal"
	"golang.org/x/sync/errgroup"

	"github.com/shop-connect/shop-connect/internal/env"
)

var epoch = time.Unix(0, 0).UTC()

const (
	bareTable   = "analytics.bench_purchases"
	nativeTable = "analytics.bench_native"
)

// clickhouseStep moves the topic into analytics.purchases.
func clickhouseStep() step {
	var flow measurement
	return step{
		name: "clickhouse", bareName: "clickhouse-go columnar insert", pipelines: []string{"purchases_clickhouse", "clickhouse_stats"},
		run: func(ctx context.Context, b *bench) (measurement, error) {
			var err error
			flow, err = b.consume(ctx, "purchases_clickhouse", "clickhouse_stats")
			return flow, err
		},
		bare: bareClickHouse,
		check: func(ctx context.Context, b *bench) error {
			if err := checkClickHouse(ctx, b); err != nil {
				return err
			}
			native, err := nativeInsert(ctx, b)
			b.notef("clickhouse: the engine takes the same rows as finished Native blocks at %.0f/s: the flow, with all statistics, has %.2f of that.",
				native.rate(), flow.rate()/native.rate())
			return err
		},
	}
}

const (
	// nativeOffsets of each partition make a block about as large as those that the sink inserts.
	nativeOffsets = 100_000 / partitions
	// nativeAtOnce is as many as the sink has in flight.
	nativeAtOnce = 4
)

// nativeInsert has the engine write what it has just been sent once more, in the order that it came in, from blocks that
// need nothing but to be stored.
func nativeInsert(ctx context.Context, b *bench) (measurement, error) {
	conn, err := openClickHouse(b)
	if err != nil {
		return measurement{}, err
	}
	defer conn.Close()
	if err := conn.Exec(ctx, "CREATE TABLE "+nativeTable+" AS analytics.purchases"); err != nil {
		return measurement{}, fmt.Errorf("creating table: %w", err)
	}
	var blocks [][]byte
	for first := int64(0); ; first += nativeOffsets {
		rows, err := conn.QueryFormat(ctx, "Native", fmt.Sprintf("SELECT * FROM analytics.purchases WHERE version BETWEEN %d AND %d ORDER BY version SETTINGS max_block_size = 1000000",
			2*first, 2*(first+nativeOffsets)-1))
		if err != nil {
			return measurement{}, fmt.Errorf("reading blocks: %w", err)
		}
		block, err := io.ReadAll(rows)
		rows.Close()
		if err != nil {
			return measurement{}, fmt.Errorf("reading blocks: %w", err)
		}
		if len(block) < minBlock {
			break
		}
		blocks = append(blocks, block)
	}
	return bare(b.truth.Accepted, func() error {
		inserts, inserting := errgroup.WithContext(ctx)
		inserts.SetLimit(nativeAtOnce)
		for _, block := range blocks {
			inserts.Go(func() error {
				return conn.InsertFormat(clickhouse.Context(inserting, clickhouse.WithSettings(clickhouse.Settings{
					"async_insert": 0, "optimize_on_insert": 0, "max_partitions_per_insert_block": 0,
				})), "Native", "INSERT INTO "+nativeTable, bytes.NewReader(block))
			})
		}
		return inserts.Wait()
	})
}

// minBlock bytes are more than a block without rows has.
const minBlock = 1024

func openClickHouse(b *bench) (clickhouse.Conn, error) {
	options, err := clickhouse.ParseDSN(b.up.Env[env.ClickHouseDSN])
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", env.ClickHouseDSN, err)
	}
	conn, err := clickhouse.Open(options)
	if err != nil {
		return nil, fmt.Errorf("opening ClickHouse: %w", err)
	}
	return conn, nil
}

func checkClickHouse(ctx context.Context, b *bench) error {
	conn, err := openClickHouse(b)
	if err != nil {
		return err
	}
	defer conn.Close()
	var rows uint64
	var revenue string
	query := "SELECT count(), toString(sum(toDecimal128(price_at_time, 4) * quantity)) FROM analytics.purchases FINAL WHERE NOT is_deleted"
	if err := conn.QueryRow(ctx, query).Scan(&rows, &revenue); err != nil {
		return fmt.Errorf("counting: %w", err)
	}
	if int64(rows) != b.truth.Distinct {
		return fmt.Errorf("ClickHouse holds %d purchases (revenue %s), should be %d", rows, revenue, b.truth.Distinct)
	}
	return nil
}

func bareClickHouse(ctx context.Context, b *bench) (measurement, error) {
	batches, err := b.decoded("purchases")
	if err != nil {
		return measurement{}, err
	}
	conn, err := openClickHouse(b)
	if err != nil {
		return measurement{}, err
	}
	defer conn.Close()
	create := "CREATE TABLE " + bareTable + " AS analytics.purchases"
	if err := conn.Exec(ctx, create); err != nil {
		return measurement{}, fmt.Errorf("creating table: %w", err)
	}
	return bare(b.truth.Accepted, func() error {
		for _, batch := range batches {
			insert, err := conn.PrepareBatch(ctx, "INSERT INTO "+bareTable+
				" (id, product_id, customer_id, seller_id, quantity, price_at_time, purchased_at, purchase_date, version)")
			if err != nil {
				return fmt.Errorf("preparing insert: %w", err)
			}
			ids, products := make([]string, batch.Len), make([]string, batch.Len)
			prices, times, days := make([]decimal.Decimal, batch.Len), make([]time.Time, batch.Len), make([]time.Time, batch.Len)
			versions := make([]uint64, batch.Len)
			for i := range batch.Len {
				ids[i], products[i] = string(batch.Columns[0].Text.At(i)), string(batch.Columns[1].Text.At(i))
				prices[i] = decimal.New(batch.Columns[5].Int[i], -4)
				times[i], days[i] = time.UnixMicro(batch.Columns[6].Int[i]).UTC(), epoch.AddDate(0, 0, int(batch.Day[i]))
				versions[i] = uint64(batch.Position[i].Offset)
			}
			for column, values := range []any{
				ids, products, slices.Clone(batch.Columns[2].Int), slices.Clone(batch.Columns[3].Int), slices.Clone(batch.Columns[4].Int),
				prices, times, days, versions,
			} {
				if err := insert.Column(column).Append(values); err != nil {
					return fmt.Errorf("appending column %d: %w", column, err)
				}
			}
			if err := insert.Send(); err != nil {
				return fmt.Errorf("inserting: %w", err)
			}
		}
		return nil
	})
}
