package main

import (
	"bytes"
	"context"
	"fmt"
	"net/url"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/compress/zstd"

	"github.com/shop-connect/shop-connect/internal/columns"
	"github.com/shop-connect/shop-connect/internal/env"
	"github.com/shop-connect/shop-connect/internal/reconcile"
)

// rawStep moves the topic into Parquet objects.
func rawStep() step {
	return step{
		name: "raw", bareName: "parquet-go write + put", pipelines: []string{"purchases_raw"},
		run: func(ctx context.Context, b *bench) (measurement, error) {
			return b.consume(ctx, "purchases_raw")
		},
		bare: bareRaw, check: checkRaw,
	}
}

func checkRaw(ctx context.Context, b *bench) error {
	layers, err := reconcile.Count(ctx, b.up.Env)
	if err != nil {
		return err
	}
	if layers.Raw.Distinct != b.truth.Accepted {
		return fmt.Errorf("RAW holds %d rows, should be %d", layers.Raw.Distinct, b.truth.Accepted)
	}
	return nil
}

// rawRow is a row of RAW as a Go struct, the form in which parquet-go writes fastest.
type rawRow struct {
	ID          *string `parquet:"id,optional"`
	ProductID   *string `parquet:"product_id,optional,dict"`
	CustomerID  *int64  `parquet:"customer_id,optional"`
	SellerID    *int64  `parquet:"seller_id,optional"`
	Quantity    *int64  `parquet:"quantity,optional"`
	PriceAtTime *int64  `parquet:"price_at_time,optional,decimal(4:18)"`
	PurchasedAt *int64  `parquet:"purchased_at,optional,timestamp(microsecond)"`
	Deleted     bool    `parquet:"deleted"`
	Topic       string  `parquet:"_topic,dict"`
	Partition   int32   `parquet:"_partition"`
	Offset      int64   `parquet:"_offset"`
	Timestamp   int64   `parquet:"_timestamp,timestamp(microsecond)"`
	Value       []byte  `parquet:"_value"`
}

func bareRaw(ctx context.Context, b *bench) (measurement, error) {
	batches, err := b.decoded("purchases")
	if err != nil {
		return measurement{}, err
	}
	values, err := b.validRows()
	if err != nil {
		return measurement{}, err
	}
	store, err := openStore(b)
	if err != nil {
		return measurement{}, err
	}
	var objects [][]rawRow
	for _, batch := range batches {
		objects = append(objects, rawRowsByDay(batch, values)...)
	}
	return bare(int64(len(values)), func() error {
		var buffer bytes.Buffer
		writer := parquet.NewGenericWriter[rawRow](&buffer, parquet.Compression(&zstd.Codec{Level: zstd.SpeedFastest}))
		for i, rows := range objects {
			buffer.Reset()
			writer.Reset(&buffer)
			for len(rows) > 0 {
				n := min(len(rows), 1000)
				if _, err := writer.Write(rows[:n]); err != nil {
					return fmt.Errorf("writing Parquet: %w", err)
				}
				rows = rows[n:]
			}
			if err := writer.Close(); err != nil {
				return fmt.Errorf("closing Parquet: %w", err)
			}
			key := fmt.Sprintf("bench/%05d.parquet", i)
			if _, err := store.PutObject(ctx, "shop-raw-data", key, &buffer, int64(buffer.Len()), minio.PutObjectOptions{}); err != nil {
				return fmt.Errorf("putting object: %w", err)
			}
		}
		return nil
	})
}

func rawRowsByDay(batch *columns.Batch, values []row) [][]rawRow {
	byDay := map[int32][]rawRow{}
	text := func(column, i int) *string { s := string(batch.Columns[column].Text.At(i)); return &s }
	number := func(column, i int) *int64 { return &batch.Columns[column].Int[i] }
	for i := range batch.Len {
		byDay[batch.Day[i]] = append(byDay[batch.Day[i]], rawRow{
			ID: text(0, i), ProductID: text(1, i), CustomerID: number(2, i), SellerID: number(3, i), Quantity: number(4, i),
			PriceAtTime: number(5, i), PurchasedAt: number(6, i), Topic: "purchases",
			Offset: batch.Position[i].Offset, Value: values[batch.Source[i]].json,
		})
	}
	days := make([][]rawRow, 0, len(byDay))
	for _, rows := range byDay {
		days = append(days, rows)
	}
	return days
}

func openStore(b *bench) (*minio.Client, error) {
	endpoint, err := url.Parse(b.up.Env[env.S3Endpoint])
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", env.S3Endpoint, err)
	}
	client, err := minio.New(endpoint.Host, &minio.Options{
		Creds: credentials.NewStaticV4(b.up.Env[env.S3AccessKey], b.up.Env[env.S3SecretKey], ""), Region: b.up.Env[env.S3Region],
	})
	if err != nil {
		return nil, fmt.Errorf("opening S3: %w", err)
	}
	return client, nil
}
