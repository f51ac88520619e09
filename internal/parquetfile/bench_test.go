package parquetfile_test

import (
	"fmt"
	"io"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/parquet-go/parquet-go"

	"github.com/shop-connect/shop-connect/internal/columns"
	"github.com/shop-connect/shop-connect/internal/parquetfile"
)

// bareRow is what WriteFile writes of a purchase, for parquet-go's own generic writer.
type bareRow struct {
	ID          *string `parquet:"id,optional"`
	ProductID   *string `parquet:"product_id,optional,dict"`
	CustomerID  *int64  `parquet:"customer_id,optional"`
	SellerID    *int64  `parquet:"seller_id,optional"`
	Quantity    *int64  `parquet:"quantity,optional"`
	PriceAtTime *int64  `parquet:"price_at_time,optional,decimal(4:18)"`
	PurchasedAt *int64  `parquet:"purchased_at,optional,timestamp(microsecond)"`
	Deleted     bool    `parquet:"deleted"`
	Topic       string  `parquet:"_topic,dict"`
	Partition   int32   `parquet:"_partition,dict"`
	Offset      int64   `parquet:"_offset,delta"`
	Timestamp   int64   `parquet:"_timestamp,delta"`
	Value       []byte  `parquet:"_value"`
}

const benchRows = 100_000

func benchBatch(tb testing.TB) (*columns.Batch, [][]byte) {
	tb.Helper()
	c := purchases(tb)
	decoder, batch := columns.NewDecoder(c, columns.Typed, time.UTC), columns.NewBatch(c, benchRows)
	random := rand.New(rand.NewPCG(1, 2))
	values := make([][]byte, benchRows)
	at := time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)
	for i := range values {
		at = at.Add(time.Duration(random.IntN(900)) * time.Millisecond)
		values[i] = fmt.Appendf(nil, `{"id":"%08x-%04x-7%03x-9d52-%012x","product_id":"P%05d","customer_id":%d,"seller_id":%d,"quantity":%d,"price_at_time":%d.%02d,"purchased_at":%q}`,
			at.UnixMilli()>>16, at.UnixMilli()&0xffff, random.IntN(4096), random.Uint64()&0xffffffffffff, int(random.ExpFloat64()*400), random.IntN(100_000), random.IntN(200),
			1+random.IntN(9), random.IntN(500), random.IntN(100), at.Format("2006-01-02T15:04:05.000Z"))
		pos := columns.Position{Topic: "purchases", Partition: 3, Offset: int64(1_000_000 + i), Timestamp: at.UnixMicro()}
		if reasons, err := decoder.Append(batch, values[i], pos, i); err != nil || reasons != nil {
			tb.Fatal(reasons, err)
		}
	}
	return batch, values
}

func allRows(b *columns.Batch) []int32 {
	rows := make([]int32, b.Len)
	for i := range rows {
		rows[i] = int32(i)
	}
	return rows
}

type counter int64

func (c *counter) Write(b []byte) (int, error) { *c += counter(len(b)); return len(b), nil }

func BenchmarkWriteFile(b *testing.B) {
	batch, values := benchBatch(b)
	rows := allRows(batch)
	for _, compression := range []parquetfile.Compression{parquetfile.Zstd, parquetfile.Snappy, parquetfile.Uncompressed} {
		b.Run(string(compression), func(b *testing.B) {
			writer := layout(b).NewWriter(compression)
			var size counter
			for b.Loop() {
				size = 0
				if err := writer.WriteFile(&size, batch, rows, func(row int32) []byte { return values[row] }); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.N)*benchRows/b.Elapsed().Seconds(), "rows/s")
			b.ReportMetric(float64(size)/benchRows, "bytes/row")
		})
	}
}

// BenchmarkGenericWriter is the bare library doing the same work: the limit to measure against.
func BenchmarkGenericWriter(b *testing.B) {
	batch, values := benchBatch(b)
	rows := make([]bareRow, batch.Len)
	col := batch.Columns
	for i := range rows {
		id, product := string(col[0].Text.At(i)), string(col[1].Text.At(i))
		rows[i] = bareRow{
			ID: &id, ProductID: &product, CustomerID: &col[2].Int[i], SellerID: &col[3].Int[i], Quantity: &col[4].Int[i],
			PriceAtTime: &col[5].Int[i], PurchasedAt: &col[6].Int[i], Topic: "purchases", Partition: 3,
			Offset: batch.Position[i].Offset, Timestamp: batch.Position[i].Timestamp, Value: values[i],
		}
	}
	for _, compression := range []parquetfile.Compression{parquetfile.Zstd, parquetfile.Snappy, parquetfile.Uncompressed} {
		b.Run(string(compression), func(b *testing.B) {
			// the first option is the schema, which is the struct's own here
			writer := parquet.NewGenericWriter[bareRow](io.Discard, layout(b).WriterOptions(compression)[1:]...)
			var size counter
			for b.Loop() {
				size = 0
				writer.Reset(&size)
				for i := 0; i < len(rows); i += 1000 {
					if _, err := writer.Write(rows[i : i+1000]); err != nil {
						b.Fatal(err)
					}
				}
				if err := writer.Close(); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.N)*benchRows/b.Elapsed().Seconds(), "rows/s")
			b.ReportMetric(float64(size)/benchRows, "bytes/row")
		})
	}
}
