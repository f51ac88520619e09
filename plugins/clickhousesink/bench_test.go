package clickhousesink

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/google/uuid"
	"github.com/redpanda-data/benthos/v4/public/service"
	"github.com/shopspring/decimal"

	"github.com/shop-connect/shop-connect/internal/columns"
)

const benchRows = 50_000

// benchBatch makes a batch of new purchases of six partitions and a week.
func benchBatch(first int64) service.MessageBatch {
	batch := make(service.MessageBatch, benchRows)
	start := time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC)
	for i := range batch {
		id, _ := uuid.NewV7()
		at := start.Add(time.Duration(i*7919%604_800) * time.Second)
		batch[i] = event{
			partition: i % 6, offset: first + int64(i/6), at: delivered,
			value: fmt.Sprintf(`{"id":%q,"product_id":"%d","customer_id":%d,"seller_id":%d,"quantity":%d,"price_at_time":%d.%02d,"purchased_at":%q}`,
				id, i%2000, i%30_000+1, i%50+1, i%9+1, i%300+1, i%100, at.Format(time.RFC3339)),
		}.message()
	}
	return batch
}

// cpu is what the process has used since it began.
func cpu(b *testing.B, pid int) time.Duration {
	b.Helper()
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		b.Skip("measuring CPU needs /proc")
	}
	fields := strings.Fields(string(stat)[strings.LastIndexByte(string(stat), ')')+2:])
	user, _ := strconv.ParseInt(fields[11], 10, 64)
	system, _ := strconv.ParseInt(fields[12], 10, 64)
	return time.Duration(user+system) * 10 * time.Millisecond
}

// measure runs batches and reports rows per second, and the CPU of both sides for each row.
func measure(b *testing.B, batches []service.MessageBatch, f func(i int)) {
	b.Helper()
	server, self := cpu(b, serverPID), cpu(b, os.Getpid())
	b.ResetTimer()
	for i := range batches {
		f(i)
	}
	b.StopTimer()
	rows := float64(len(batches) * benchRows)
	b.ReportMetric(rows/b.Elapsed().Seconds(), "rows/s")
	b.ReportMetric(float64((cpu(b, os.Getpid())-self).Nanoseconds())/rows, "ns-sink/row")
	b.ReportMetric(float64((cpu(b, serverPID)-server).Nanoseconds())/rows, "ns-server/row")
}

func batches(b *testing.B) []service.MessageBatch {
	made := make([]service.MessageBatch, b.N)
	for i := range made {
		made[i] = benchBatch(int64(i) * benchRows)
	}
	return made
}

// The sink as shipped: day index, cancellations, touched days.
func BenchmarkPurchases(b *testing.B) {
	_, dsn := shop(b)
	out, made := sink(b, dsn, nil), batches(b)
	measure(b, made, func(i int) {
		if err := out.WriteBatch(b.Context(), made[i]); err != nil {
			b.Fatal(err)
		}
	})
}

// The sink on a table whose key has no day.
func BenchmarkWithoutDayIndex(b *testing.B) {
	_, dsn := shop(b)
	out, made := sink(b, dsn, map[string]any{fieldDayIndex: "", fieldDaysTouched: "", fieldSliceColumn: ""}), batches(b)
	measure(b, made, func(i int) {
		if err := out.WriteBatch(b.Context(), made[i]); err != nil {
			b.Fatal(err)
		}
	})
}

// The engine alone: finished blocks into one table.
func BenchmarkBareNativeInsert(b *testing.B) {
	conn, dsn := shop(b)
	out, made := sink(b, dsn, nil), batches(b)
	blocks := make([][]byte, len(made))
	for i := range made {
		w := newWorkspace(out.cfg)
		if _, err := w.decode(made[i], out.refused); err != nil {
			b.Fatal(err)
		}
		blocks[i] = w.block.rows(w.rows, out.tables.nullable, &out.cfg, nil)
	}
	measure(b, made, func(i int) {
		if err := newWorkspace(out.cfg).insert(b.Context(), conn, out.tables.insertRows, blocks[i]); err != nil {
			b.Fatal(err)
		}
	})
}

// clickhouse-go's own columnar batches of rows that are decoded already.
func BenchmarkBareClickHouseGo(b *testing.B) {
	conn, dsn := shop(b)
	out, made := sink(b, dsn, nil), batches(b)
	rows := make([]*columns.Batch, len(made))
	for i := range made {
		w := newWorkspace(out.cfg)
		if _, err := w.decode(made[i], out.refused); err != nil {
			b.Fatal(err)
		}
		rows[i] = w.rows
	}
	measure(b, made, func(i int) {
		if err := insertByColumn(b, conn, rows[i]); err != nil {
			b.Fatal(err)
		}
	})
}

func insertByColumn(b *testing.B, conn driver.Conn, rows *columns.Batch) error {
	batch, err := conn.PrepareBatch(b.Context(), "INSERT INTO analytics.purchases (id, product_id, customer_id, seller_id, quantity, price_at_time, purchased_at, purchase_date, version, is_deleted)")
	if err != nil {
		return err
	}
	texts, versions := [2][]string{}, make([]uint64, rows.Len)
	prices, times, days := make([]decimal.Decimal, rows.Len), make([]time.Time, rows.Len), make([]time.Time, rows.Len)
	for i := range rows.Len {
		for column := range texts {
			texts[column] = append(texts[column], string(rows.Columns[column].Text.At(i)))
		}
		prices[i], times[i] = decimal.New(rows.Columns[5].Int[i], -4), time.UnixMicro(rows.Columns[6].Int[i]).UTC()
		days[i], versions[i] = time.Unix(int64(rows.Day[i])*86_400, 0).UTC(), uint64(rows.Position[i].Offset)
	}
	for column, values := range []any{
		texts[0], texts[1], rows.Columns[2].Int, rows.Columns[3].Int, rows.Columns[4].Int, prices, times, days, versions, make([]uint8, rows.Len),
	} {
		if err := batch.Column(column).Append(values); err != nil {
			return err
		}
	}
	return batch.Send()
}
