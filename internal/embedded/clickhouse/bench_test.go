package clickhouse

import (
	"fmt"
	"testing"
	"time"

	ch "github.com/ClickHouse/clickhouse-go/v2"
	"github.com/google/uuid"
	"github.com/shopspring/decimal"
)

// BenchmarkNativeInsert sends batches of a purchases-like table from the client's columns to the engine's parts.
func BenchmarkNativeInsert(b *testing.B) {
	const rows = 100_000
	s := start(b, b.TempDir())
	conn := s.dial(b, ch.CompressionNone)
	s.query(b, `CREATE TABLE purchases (id String, product_id String, customer_id Int64, seller_id Int64, quantity Int64,
		price Decimal(18,4), purchased_at DateTime64(6,'UTC')) ENGINE = MergeTree PARTITION BY toYYYYMM(purchased_at) ORDER BY (toDate(purchased_at), id)`)
	ids, products := make([]string, rows), make([]string, rows)
	customers, sellers, quantities := make([]int64, rows), make([]int64, rows), make([]int64, rows)
	prices, times := make([]decimal.Decimal, rows), make([]time.Time, rows)
	for i := range rows {
		ids[i] = uuid.Must(uuid.NewV7()).String()
		products[i] = fmt.Sprint(i * 7919 % 5000)
		customers[i], sellers[i], quantities[i] = int64(i*31%100_000), int64(i%500), int64(1+i%9)
		prices[i] = decimal.New(int64(i*12_345%9_999_999), -4)
		times[i] = time.Date(2026, 1, 15, 0, 0, 0, 0, time.UTC).Add(time.Duration(i) * time.Millisecond)
	}
	b.ResetTimer()
	for b.Loop() {
		batch, err := conn.PrepareBatch(b.Context(), "INSERT INTO purchases")
		if err != nil {
			b.Fatal(err)
		}
		for i, column := range []any{ids, products, customers, sellers, quantities, prices, times} {
			if err := batch.Column(i).Append(column); err != nil {
				b.Fatal(err)
			}
		}
		if err := batch.Send(); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N)*rows/b.Elapsed().Seconds(), "rows/s")
}
