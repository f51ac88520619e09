package stagevalidate

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/redpanda-data/benthos/v4/public/service"

	"github.com/shop-connect/shop-connect/internal/parquetfile"
	"github.com/shop-connect/shop-connect/internal/store"
)

// benchRows makes rows of a believable shop, a share of them bad, spread evenly.
func benchRows(n int, bad float64) []rawRow {
	random := rand.New(rand.NewPCG(1, 2))
	rows := make([]rawRow, n)
	for i := range rows {
		quantity := 1 + random.IntN(9)
		if random.Float64() < bad {
			quantity = -quantity
		}
		rows[i] = rawRow{int64(i), fmt.Sprintf(
			`{"id":"0190%04x-%04x-7%03x-8%03x-%012x","product_id":"prod-%d","customer_id":%d,"seller_id":%d,"quantity":%d,"price_at_time":"%d.%02d","purchased_at":"2026-01-02T%02d:%02d:%02dZ"}`,
			i>>16, i&0xffff, random.IntN(4096), random.IntN(4096), random.Int64N(1<<48), random.IntN(1000), 1+random.IntN(50000), 1+random.IntN(200), quantity,
			random.IntN(500), 1+random.IntN(98), random.IntN(24), random.IntN(60), random.IntN(60))}
	}
	return rows
}

func BenchmarkStage(b *testing.B) {
	const rows = 400_000
	for _, share := range []struct {
		name string
		bad  float64
	}{{"clean", 0}, {"2_percent_bad", 0.02}} {
		b.Run(share.name, func(b *testing.B) {
			l := newLake(b)
			msg := l.put(rawKey(day, 0), encode(b, "purchases", benchRows(rows, share.bad)...))
			size, _ := msg.MetaGet(metaSize)
			bytes, _ := strconv.ParseInt(size, 10, 64)
			b.SetBytes(bytes)
			var cpu time.Duration
			b.ResetTimer()
			for i := range b.N {
				b.StopTimer()
				// the same object on another day is another object
				again := msg.Copy()
				key := rawKey("bench-"+strconv.Itoa(i), 0)
				if err := l.open().copy(b.Context(), object{bucket: l.raw, key: rawKey(day, 0)}, store.Target{Bucket: l.raw, Key: key}, nil); err != nil {
					b.Fatal(err)
				}
				info, err := l.client.StatObject(b.Context(), l.raw, key, minio.StatObjectOptions{})
				if err != nil {
					b.Fatal(err)
				}
				again.MetaSetMut(metaKey, key)
				again.MetaSetMut(metaETag, info.ETag)
				b.StartTimer()
				before := cpuTime(b)
				if r := l.process(l.processor, again)[0]; r.RowsIn != rows {
					b.Fatalf("got %+v", r)
				}
				cpu += cpuTime(b) - before
			}
			b.ReportMetric(float64(rows)*float64(b.N)/cpu.Seconds(), "rows/cpu-s")
			b.ReportMetric(float64(rows)*float64(b.N)/b.Elapsed().Seconds(), "rows/s")
		})
	}
}

// BenchmarkExamine is the work on one object without the store and the ledger.
func BenchmarkExamine(b *testing.B) {
	const rows = 400_000
	for _, share := range []struct {
		name string
		bad  float64
	}{{"clean", 0}, {"2_percent_bad", 0.02}} {
		b.Run(share.name, func(b *testing.B) {
			f := memoryFile(b, encode(b, "purchases", benchRows(rows, share.bad)...))
			before := cpuTime(b)
			for b.Loop() {
				place, err := f.readPlace()
				if err != nil {
					b.Fatal(err)
				}
				x := &examiner{file: f, place: place, compression: parquetfile.Zstd, now: time.Now()}
				found, err := x.examine(nil)
				found.close()
				if err != nil || found.counts.RowsIn != rows {
					b.Fatal(found.counts, err)
				}
			}
			b.ReportMetric(rows*float64(b.N)/(cpuTime(b)-before).Seconds(), "rows/cpu-s")
		})
	}
}

// cpuTime is what this process has used of all processors; the servers are other processes.
func cpuTime(b *testing.B) time.Duration {
	b.Helper()
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		b.Fatal(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

// BenchmarkKnownObjects is a run with nothing to do.
func BenchmarkKnownObjects(b *testing.B) {
	l := newLake(b)
	msg := l.put(rawKey(day, 0), encode(b, "purchases", goodRows(0, 9)...))
	l.process(l.processor, msg)
	batch := make(service.MessageBatch, 1000)
	for i := range batch {
		batch[i] = msg
	}
	for b.Loop() {
		if _, err := l.processor.ProcessBatch(b.Context(), batch.Copy()); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(len(batch))*float64(b.N)/b.Elapsed().Seconds(), "objects/s")
}
