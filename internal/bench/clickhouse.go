package main

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/shopspring/decimal"

	"github.com/shop-connect/shop-connect/internal/env"
)

var epoch = time.Unix(0, 0).UTC()

const bareTable = "analytics.bench_purchases"

// clickhouseStep moves the topic into analytics.purchases.
func clickhouseStep() step {
	return step{
		name: "clickhouse", bareName: "clickhouse-go columnar insert", pipelines: []string{"purchases_clickhouse", "clickhouse_stats"},
		run: func(ctx context.Context, b *bench) (measurement, error) {
			return b.consume(ctx, "purchases_clickhouse", "clickhouse_stats")
		},
		bare: bareClickHouse, check: checkClickHouse,
	}
}

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
