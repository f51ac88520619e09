package main

import (
	"context"
	"database/sql"
	"fmt"
	"iter"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/decimal128"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/iceberg-go"
	icebergcatalog "github.com/apache/iceberg-go/catalog"
	catalogsql "github.com/apache/iceberg-go/catalog/sql"
	"github.com/apache/iceberg-go/table"
	_ "github.com/jackc/pgx/v5/stdlib" // database/sql driver pgx

	_ "github.com/shop-connect/shop-connect/internal/icebergio" // s3:// locations

	"github.com/shop-connect/shop-connect/internal/columns"
	"github.com/shop-connect/shop-connect/internal/env"
	"github.com/shop-connect/shop-connect/internal/reconcile"
)

// icebergStep moves the topic, joined with its products, into analytics.purchase_product_facts.
func icebergStep() step {
	return step{
		name: "iceberg", bareName: "iceberg-go WriteRecords", pipelines: []string{"purchases_iceberg"},
		run: func(ctx context.Context, b *bench) (measurement, error) {
			return b.consume(ctx, "purchases_iceberg")
		},
		bare: bareIceberg, check: checkIceberg,
	}
}

func checkIceberg(ctx context.Context, b *bench) error {
	layers, err := reconcile.Count(ctx, b.up.Env)
	if err != nil {
		return err
	}
	if layers.Iceberg.Rows != b.truth.Distinct || layers.Iceberg.Revenue != b.truth.Revenue {
		return fmt.Errorf("the Iceberg table holds %d purchases (revenue %s), should be %d (%s)",
			layers.Iceberg.Rows, layers.Iceberg.Revenue, b.truth.Distinct, b.truth.Revenue)
	}
	return nil
}

func bareIceberg(ctx context.Context, b *bench) (measurement, error) {
	batches, err := b.decoded("purchases")
	if err != nil {
		return measurement{}, err
	}
	target, err := bareIcebergTable(ctx, b)
	if err != nil {
		return measurement{}, err
	}
	schema, err := table.SchemaToArrowSchema(target.Schema(), nil, true, false)
	if err != nil {
		return measurement{}, fmt.Errorf("building Arrow schema: %w", err)
	}
	records := make([]arrow.RecordBatch, len(batches))
	for i, batch := range batches {
		records[i] = arrowRecord(schema, batch)
	}
	return bare(b.truth.Accepted, func() error {
		for _, record := range records {
			once := func(yield func(arrow.RecordBatch, error) bool) { yield(record, nil) }
			tx := target.NewTransaction()
			var files []iceberg.DataFile
			for file, err := range table.WriteRecords(ctx, target, schema, iter.Seq2[arrow.RecordBatch, error](once)) {
				if err != nil {
					return fmt.Errorf("writing records: %w", err)
				}
				files = append(files, file)
			}
			if err := tx.AddDataFiles(ctx, files, nil); err != nil {
				return fmt.Errorf("adding files: %w", err)
			}
			if target, err = tx.Commit(ctx); err != nil {
				return fmt.Errorf("committing: %w", err)
			}
		}
		return nil
	})
}

func bareIcebergTable(ctx context.Context, b *bench) (*table.Table, error) {
	db, err := sql.Open("pgx", b.up.Env[env.PostgresDSN])
	if err != nil {
		return nil, fmt.Errorf("opening PostgreSQL: %w", err)
	}
	catalog, err := catalogsql.NewCatalog("shop", db, catalogsql.Postgres, iceberg.Properties{
		"warehouse": "s3://analytics/", "s3.endpoint": b.up.Env[env.S3Endpoint], "s3.region": b.up.Env[env.S3Region],
		"s3.access-key-id": b.up.Env[env.S3AccessKey], "s3.secret-access-key": b.up.Env[env.S3SecretKey],
	})
	if err != nil {
		return nil, fmt.Errorf("opening catalog: %w", err)
	}
	schema := iceberg.NewSchema(0,
		iceberg.NestedField{ID: 1, Name: "id", Type: iceberg.PrimitiveTypes.String, Required: true},
		iceberg.NestedField{ID: 2, Name: "product_id", Type: iceberg.PrimitiveTypes.String},
		iceberg.NestedField{ID: 3, Name: "customer_id", Type: iceberg.PrimitiveTypes.Int64},
		iceberg.NestedField{ID: 4, Name: "seller_id", Type: iceberg.PrimitiveTypes.Int64},
		iceberg.NestedField{ID: 5, Name: "quantity", Type: iceberg.PrimitiveTypes.Int64},
		iceberg.NestedField{ID: 6, Name: "price_at_time", Type: iceberg.DecimalTypeOf(18, 4)},
		iceberg.NestedField{ID: 7, Name: "purchased_at", Type: iceberg.PrimitiveTypes.TimestampTz},
		iceberg.NestedField{ID: 8, Name: "purchase_date", Type: iceberg.PrimitiveTypes.Date, Required: true},
	)
	byDay := iceberg.NewPartitionSpec(iceberg.PartitionField{
		SourceIDs: []int{8}, FieldID: 1000, Name: "purchase_date", Transform: iceberg.IdentityTransform{},
	})
	created, err := catalog.CreateTable(ctx, table.Identifier{"analytics", "bench_facts"}, schema,
		icebergcatalog.WithPartitionSpec(&byDay), icebergcatalog.WithProperties(iceberg.Properties{"format-version": "2"}))
	if err != nil {
		return nil, fmt.Errorf("creating table: %w", err)
	}
	return created, nil
}

func arrowRecord(schema *arrow.Schema, batch *columns.Batch) arrow.RecordBatch {
	builder := array.NewRecordBuilder(memory.DefaultAllocator, schema)
	defer builder.Release()
	for c := range batch.Columns {
		column := &batch.Columns[c]
		for i := range batch.Len {
			switch field := builder.Field(c).(type) {
			case *array.StringBuilder:
				field.Append(string(column.Text.At(i)))
			case *array.Decimal128Builder:
				field.Append(decimal128.FromI64(column.Int[i]))
			case *array.TimestampBuilder:
				field.Append(arrow.Timestamp(column.Int[i]))
			case *array.Int64Builder:
				field.Append(column.Int[i])
			}
		}
	}
	days := builder.Field(len(batch.Columns)).(*array.Date32Builder)
	for i := range batch.Len {
		days.Append(arrow.Date32(batch.Day[i]))
	}
	return builder.NewRecordBatch()
}
