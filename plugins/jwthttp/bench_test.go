package jwthttp_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/redpanda-data/benthos/v4/public/service"
)

func purchaseBody(n int, withIDs bool) []byte {
	var b bytes.Buffer
	b.WriteString(`{"purchases":[`)
	for i := range n {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteByte('{')
		if withIDs {
			fmt.Fprintf(&b, `"id":"0190f3c2-7b1a-7c3d-8e4f-%012d",`, i)
		}
		fmt.Fprintf(&b, `"product_id":"%d","customer_id":%d,"seller_id":%d,"quantity":%d,"price_at_time":%d.%02d,"purchased_at":"2025-11-%02dT08:26:00Z"}`,
			85123+i%97, 17850+i%1000, 1+i%50, 1+i%12, 1+i%300, i%100, 1+i%28)
	}
	b.WriteString(`]}`)
	return b.Bytes()
}

// BenchmarkBulkToAck is a body of 1,000 purchases through the handler to a consumer that acknowledges.
func BenchmarkBulkToAck(b *testing.B) {
	for _, ids := range []bool{true, false} {
		b.Run("ids="+strconv.FormatBool(ids), func(b *testing.B) {
			shop := newShop(b)
			shop.run(b, input(purchases), func(_ context.Context, batch service.MessageBatch) error { return nil })
			body, header := purchaseBody(1000, ids), shop.header(b)
			b.SetBytes(int64(len(body)))
			b.ReportAllocs()
			used := cpuSeconds(b)
			for b.Loop() {
				r, _ := http.NewRequest(http.MethodPost, bulkPath, bytes.NewReader(body))
				r.Header = header
				w := discard{header: http.Header{}}
				shop.server.ServeHTTP(&w, r)
				if w.status != 0 && w.status != 200 {
					b.Fatal(w.status)
				}
			}
			b.ReportMetric(1000*float64(b.N)/(cpuSeconds(b)-used), "rows/cpu-s")
		})
	}
}

// BenchmarkToKafka posts over connections of real HTTP into an embedded broker; what is measured is
// client, API, stream and broker together.
func BenchmarkToKafka(b *testing.B) {
	for _, rows := range []int{1000, 1} {
		b.Run(strconv.Itoa(rows), func(b *testing.B) {
			shop := newShop(b)
			broker := startKafka(b)
			shop.runPipeline(b, "purchases_ingest.yaml", broker)
			shop.listen(b)
			body, token := purchaseBody(rows, true), shop.token(b)
			connections := 8
			if rows == 1 {
				connections = 64
			}
			client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: connections}}
			var left atomic.Int64
			left.Store(int64(b.N))
			var wg sync.WaitGroup
			b.SetBytes(int64(len(body)))
			used := cpuSeconds(b)
			b.ResetTimer()
			for range connections {
				wg.Go(func() {
					for left.Add(-1) >= 0 {
						r, _ := http.NewRequest(http.MethodPost, shop.url+bulkPath, bytes.NewReader(body))
						r.Header.Set("Content-Type", "application/json")
						r.Header.Set("Authorization", "Bearer "+token)
						resp, err := client.Do(r)
						if err != nil {
							b.Error(err)
							return
						}
						_, _ = io.Copy(io.Discard, resp.Body)
						_ = resp.Body.Close()
						if resp.StatusCode != http.StatusOK {
							b.Error(resp.Status)
						}
					}
				})
			}
			wg.Wait()
			b.ReportMetric(float64(rows)*float64(b.N)/b.Elapsed().Seconds(), "rows/s")
			b.ReportMetric(float64(rows)*float64(b.N)/(cpuSeconds(b)-used), "rows/cpu-s")
		})
	}
}

// cpuSeconds is what this process has used, which others on the machine do not blur.
func cpuSeconds(b *testing.B) float64 {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano()).Seconds()
}

type discard struct {
	header http.Header
	status int
}

func (d *discard) Header() http.Header         { return d.header }
func (d *discard) WriteHeader(s int)           { d.status = s }
func (d *discard) Write(b []byte) (int, error) { return len(b), nil }
