package s3parquet_test

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/redpanda-data/benthos/v4/public/service"
)

func benchPurchase(random *rand.Rand, at time.Time) []byte {
	return fmt.Appendf(nil, `{"id":"%08x-%04x-7%03x-9d52-%012x","product_id":"P%05d","customer_id":%d,"seller_id":%d,"quantity":%d,"price_at_time":%d.%02d,"purchased_at":%q}`,
		at.UnixMilli()>>16, at.UnixMilli()&0xffff, random.IntN(4096), random.Uint64()&0xffffffffffff, int(random.ExpFloat64()*400), random.IntN(100_000),
		random.IntN(200), 1+random.IntN(9), random.IntN(500), random.IntN(100), at.Format("2006-01-02T15:04:05.000Z"))
}

// BenchmarkWriteBatch is the output and the store alone: one batch of one partition and three days.
func BenchmarkWriteBatch(b *testing.B) {
	const rows = 40_000
	s, bucket := newBucket(b)
	out := raw(b, s, bucket)
	random := rand.New(rand.NewPCG(1, 2))
	var batch service.MessageBatch
	for i := range rows {
		batch = append(batch, sent(0, i, string(benchPurchase(random, time.UnixMilli(1_700_000_000_000+int64(i)*5000)))))
	}
	b.ReportAllocs()
	n := 0
	for b.Loop() {
		for i, msg := range batch {
			msg.MetaSetMut("kafka_offset", n*rows+i)
		}
		n++
		write(b, out, batch...)
	}
	b.ReportMetric(float64(b.N)*rows/b.Elapsed().Seconds(), "rows/s")
}
