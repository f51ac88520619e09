package icebergsink

import (
	"bytes"
	"context"
	"fmt"
	"iter"
	"math/rand/v2"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/iceberg-go/table"
	"github.com/redpanda-data/benthos/v4/public/service"
)

const benchRows = 100_000

// benchBatch is purchases of about 190 bytes with ids as they come, over a number of days.
func benchBatch(n, days int) service.MessageBatch {
	random := rand.New(rand.NewPCG(uint64(n), 1))
	batch := make(service.MessageBatch, benchRows)
	for i := range batch {
		row := fmt.Sprintf(`{"id":"0190b3a2-7c1e-7b6f-%04x-%012x","product_id":"%d","customer_id":%d,"seller_id":%d,"quantity":%d,"price_at_time":%d.%02d,"purchased_at":"2024-01-%02dT%02d:26:%02dZ"}`,
			random.IntN(65536), n*benchRows+i, 10_000+random.IntN(5000), 10_000+random.IntN(50_000), 1+random.IntN(200), 1+random.IntN(20),
			1+random.IntN(300), random.IntN(100), 1+random.IntN(days), random.IntN(24), random.IntN(60))
		batch[i] = message("purchases", 0, n*benchRows+i, 1_700_000_000_000+int64(n), row)
	}
	return batch
}

// The sink, from JSON to a commit, beside iceberg-go writing the same rows that are Arrow already,
// without a commit.
func BenchmarkWriteBatch(b *testing.B) {
	for _, days := range []int{1, 28} {
		b.Run(fmt.Sprintf("sink/days=%d", days), func(b *testing.B) {
			out := newShop(b).sink()
			n := 0
			b.ReportAllocs()
			for b.Loop() {
				b.StopTimer()
				batch := benchBatch(n, days)
				n++
				b.StartTimer()
				if err := out.WriteBatch(context.Background(), batch); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(n*benchRows)/b.Elapsed().Seconds(), "rows/s")
		})
		b.Run(fmt.Sprintf("bare/days=%d", days), func(b *testing.B) {
			out := newShop(b).sink()
			if _, err := out.decode(out.work, benchBatch(0, days), 0); err != nil {
				b.Fatal(err)
			}
			rec := arrowRecord(out.schema, out.work.batch, nil)
			n := 0
			b.ReportAllocs()
			for b.Loop() {
				rec.Retain()
				for _, err := range table.WriteRecords(context.Background(), out.tbl, out.schema, one(rec)) {
					if err != nil {
						b.Fatal(err)
					}
				}
				n++
			}
			b.ReportMetric(float64(n*benchRows)/b.Elapsed().Seconds(), "rows/s")
		})
	}
}

func one(rec arrow.RecordBatch) iter.Seq2[arrow.RecordBatch, error] {
	return func(yield func(arrow.RecordBatch, error) bool) { yield(rec, nil) }
}

// What Connect takes to learn which keys a table holds, and a batch in which every tenth row is a
// correction.
func BenchmarkKeys(b *testing.B) {
	out := newShop(b).sink()
	for n := range 5 {
		if err := out.WriteBatch(context.Background(), benchBatch(n, 28)); err != nil {
			b.Fatal(err)
		}
	}
	b.Run("load", func(b *testing.B) {
		for b.Loop() {
			if err := out.loadKeys(context.Background(), out.tbl); err != nil {
				b.Fatal(err)
			}
		}
		b.ReportMetric(5*benchRows*float64(b.N)/b.Elapsed().Seconds(), "keys/s")
	})
	b.Run("corrections", func(b *testing.B) {
		n := 5
		for b.Loop() {
			b.StopTimer()
			batch, old := benchBatch(n, 28), benchBatch(n%5, 28)
			for i := 0; i < benchRows; i += 10 {
				raw, _ := old[i].AsBytes()
				batch[i].SetBytes(bytes.Replace(raw, []byte(`"quantity":`), []byte(`"quantity":1`), 1))
			}
			n++
			b.StartTimer()
			if err := out.WriteBatch(context.Background(), batch); err != nil {
				b.Fatal(err)
			}
		}
		b.ReportMetric(benchRows*float64(b.N)/b.Elapsed().Seconds(), "rows/s")
	})
}
