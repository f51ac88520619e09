// Package reconcile counts what every layer of the shop holds and compares it with the truth about
// what was sent: no row may vanish (I4), none may count twice (I3), and revenue is equal to the last
// decimal (I5). It only reads, so it may run beside live streams, on any deployment.
package reconcile

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/ClickHouse/clickhouse-go/v2"
	_ "github.com/jackc/pgx/v5/stdlib" // the driver "pgx" of the Iceberg catalog

	"github.com/shop-connect/shop-connect/internal/env"
	"github.com/shop-connect/shop-connect/internal/load"
	"github.com/shop-connect/shop-connect/internal/objectstore"
)

// Layers is what each layer holds of the purchases.
type Layers struct {
	Raw, Stage Records
	// Quarantined counts refused rows by the layer that refused them: api, raw, stage, clickhouse, iceberg.
	Quarantined map[string]int64
	// ClickHouse and Iceberg are the row-level tables; Days is daily_purchase_stats, as a reader sees it.
	ClickHouse, Iceberg Sales
	Days                []load.Day
	// ByCategory and ByCustomer add up category_sales and customer_rfm; these know no ids, the latter no items.
	ByCategory, ByCustomer Sales
}

// Records is what a layer of Parquet objects holds.
type Records struct {
	Rows int64
	// Distinct counts each Kafka record, by topic, partition and offset, once.
	Distinct int64
}

// Sales is what an analytical table holds.
type Sales struct {
	Rows    int64
	IDs     int64 // distinct
	Items   int64
	Revenue load.Amount
}

// Daily adds up the days of daily_purchase_stats.
func (l Layers) Daily() Sales {
	var s Sales
	for _, d := range l.Days {
		s.Rows += d.Purchases
		s.Items += d.Items
		s.Revenue = s.Revenue.Add(d.Revenue)
	}
	return s
}

// Count counts every layer once. Use a Counter to count repeatedly.
func Count(ctx context.Context, vars map[string]string) (Layers, error) {
	c, err := NewCounter(vars)
	if err != nil {
		return Layers{}, err
	}
	layers, err := c.Count(ctx)
	return layers, errors.Join(err, c.Close())
}

// Counter counts the layers again and again, reading only what is new since the last time.
type Counter struct {
	objects    objectCounter
	iceberg    icebergCounter
	clickhouse *sql.DB
}

// NewCounter connects to nothing yet; all missing or malformed variables are reported at once.
func NewCounter(vars map[string]string) (*Counter, error) {
	if err := env.Require(vars, env.S3Endpoint, env.S3AccessKey, env.S3SecretKey, env.PostgresDSN, env.ClickHouseDSN); err != nil {
		return nil, err
	}
	options, clickhouseErr := clickhouse.ParseDSN(vars[env.ClickHouseDSN])
	if clickhouseErr != nil {
		clickhouseErr = fmt.Errorf("reading %s: %w", env.ClickHouseDSN, clickhouseErr)
	}
	store, storeErr := objectstore.Config{
		Endpoint: vars[env.S3Endpoint], Region: vars[env.S3Region],
		AccessKey: vars[env.S3AccessKey], SecretKey: vars[env.S3SecretKey],
	}.Client()
	if err := errors.Join(clickhouseErr, storeErr); err != nil {
		return nil, err
	}
	postgres, err := sql.Open("pgx", vars[env.PostgresDSN])
	if err != nil {
		return nil, fmt.Errorf("opening Iceberg catalog: %w", err)
	}
	return &Counter{
		objects:    objectCounter{store: store, known: map[objectKey]object{}},
		iceberg:    icebergCounter{db: postgres, properties: icebergProperties(vars)},
		clickhouse: clickhouse.OpenDB(options),
	}, nil
}

// Close lets go of the databases.
func (c *Counter) Close() error {
	return errors.Join(c.clickhouse.Close(), c.iceberg.db.Close())
}

// Count counts every layer as it is now.
func (c *Counter) Count(ctx context.Context) (Layers, error) {
	var layers Layers
	err := errors.Join(
		into(&layers.Raw, "RAW", func() (Records, error) { return c.objects.records(ctx, bucketRaw) }),
		into(&layers.Stage, "STAGE", func() (Records, error) { return c.objects.records(ctx, bucketStage) }),
		into(&layers.Quarantined, "quarantine", func() (map[string]int64, error) { return c.objects.quarantined(ctx) }),
		into(&layers.ClickHouse, "ClickHouse", func() (Sales, error) { return clickhouseSums(ctx, c.clickhouse, salesQuery) }),
		into(&layers.Days, "daily_purchase_stats", func() ([]load.Day, error) { return clickhouseDays(ctx, c.clickhouse) }),
		into(&layers.ByCategory, "category_sales", func() (Sales, error) { return clickhouseSums(ctx, c.clickhouse, categoriesQuery) }),
		into(&layers.ByCustomer, "customer_rfm", func() (Sales, error) { return clickhouseSums(ctx, c.clickhouse, customersQuery) }),
		into(&layers.Iceberg, "Iceberg", func() (Sales, error) { return c.iceberg.sales(ctx) }),
	)
	return layers, err
}

// CountRaw counts RAW alone: how far the stream from Kafka is.
func (c *Counter) CountRaw(ctx context.Context) (Records, error) {
	var raw Records
	err := into(&raw, "RAW", func() (Records, error) { return c.objects.records(ctx, bucketRaw) })
	return raw, err
}

func into[T any](target *T, layer string, count func() (T, error)) error {
	value, err := count()
	if err != nil {
		return fmt.Errorf("counting %s: %w", layer, err)
	}
	*target = value
	return nil
}
