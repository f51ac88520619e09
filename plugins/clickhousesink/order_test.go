package clickhousesink

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redpanda-data/benthos/v4/public/service"
)

// TestI3I5I6I8StatisticsAreThoseOfTheBooksHoweverTheEventsAreDelivered writes random events of few ids: purchases that
// move between hours, days, products and customers, are deleted, also before they came, and come back; and products
// that come after their purchases, move to other categories, are deleted and come back. Batches overlap, repeat and
// overtake each other. Then every table must be what the books say, to the last decimal.
func TestI3I5I6I8StatisticsAreThoseOfTheBooksHoweverTheEventsAreDelivered(t *testing.T) {
	for seed := range uint64(6) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			random := rand.New(rand.NewPCG(seed, 1))
			zone, err := time.LoadLocation([]string{"UTC", "Asia/Kathmandu", "America/New_York"}[seed%3])
			if err != nil {
				t.Fatal(err)
			}
			truth := books{zone: zone, sales: map[string]sale{}, products: map[string]goods{}}
			conn, dsn := shop(t)
			sales := sink(t, dsn, map[string]any{fieldTimezone: zone.String()})
			products := shippedSink(t, dsn, "products_clickhouse.yaml", nil)

			deliver := func(out *output, batches []service.MessageBatch, lanes int) *sync.WaitGroup {
				var running sync.WaitGroup
				for lane := range lanes {
					running.Go(func() {
						for i := lane; i < len(batches); i += lanes {
							if err := out.WriteBatch(t.Context(), batches[i]); err != nil {
								t.Error(err)
							}
						}
					})
				}
				return &running
			}
			bought := deliver(sales, randomBatches(random, truth.randomSales(random, 400)), 2)
			compute(t, dsn) // in the midst of it
			known := deliver(products, randomBatches(random, truth.randomProducts(random, 40)), 1)
			bought.Wait()
			compute(t, dsn)
			known.Wait()
			compare(t, truth, func(query string) []string { return lines(t, conn, query) })

			// What the background merges leave, and what is computed once more, must be the same.
			execute(t, conn, "OPTIMIZE TABLE analytics.purchases FINAL", "OPTIMIZE TABLE analytics.products FINAL",
				"INSERT INTO analytics.purchase_slices_touched (day, slice) SELECT DISTINCT purchase_date, slice FROM analytics.purchases")
			compute(t, dsn)
			execute(t, conn, "OPTIMIZE TABLE analytics.purchase_sums FINAL")
			compare(t, truth, func(query string) []string { return lines(t, conn, query) })
			if due := lines(t, conn, "SELECT count() FROM analytics.purchase_slices_due"); due[0] != "0" {
				t.Errorf("%s slices are still due", due[0])
			}
		})
	}
}

func compare(t *testing.T, truth books, ask func(query string) []string) {
	t.Helper()
	for query, want := range truth.statistics() {
		slices.Sort(want)
		if got := slices.Sorted(slices.Values(ask(query))); !slices.Equal(got, want) {
			t.Errorf("%s\n%s\nwant\n%s", query, strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
	}
}

// randomSales makes events of few ids, each in the partition of its id, and keeps the books. Offsets leap, so that
// the events of a day lie in several slices.
func (b books) randomSales(random *rand.Rand, n int) []event {
	events := make([]event, n)
	var offsets [2]int64
	start := time.Date(2024, 1, 30, 0, 0, 0, 0, time.UTC)
	for i := range events {
		number := random.IntN(60)
		id, partition := fmt.Sprint("id-", number), number%2
		offset := offsets[partition]
		offsets[partition] += 1 + int64(random.IntN(2))*int64(random.IntN(1<<16))
		at := start.AddDate(0, random.IntN(3)*random.IntN(3), random.IntN(4)).Add(time.Duration(random.Int64N(int64(24 * time.Hour)))).Truncate(time.Microsecond)
		now := sale{offset: offset, at: at, product: fmt.Sprint("p", random.IntN(9)), customer: 1 + random.IntN(12), quantity: 1 + random.Int64N(9), price: 1 + random.Int64N(10_000_000)}
		switch random.IntN(6) {
		case 0:
			events[i], now.gone = deleted(offset, id, ""), true
		case 1:
			events[i], now.gone = deleted(offset, id, at.Format(time.RFC3339Nano)), true
		default:
			events[i] = event{offset: offset, value: fmt.Sprintf(`{"id":%q,"product_id":%q,"customer_id":%d,"seller_id":1,"quantity":%d,"price_at_time":%s,"purchased_at":%q}`,
				id, now.product, now.customer, now.quantity, amount(now.price), at.Format(time.RFC3339Nano))}
		}
		events[i].partition, events[i].at = partition, delivered.Add(time.Duration(random.IntN(72))*time.Hour)
		b.sales[id] = now
	}
	return events
}

// randomProducts leaves some products unknown, and keeps of a deleted one what it was.
func (b books) randomProducts(random *rand.Rand, n int) []event {
	events := make([]event, n)
	for i := range events {
		id := fmt.Sprint("p", random.IntN(7))
		now := goods{offset: int64(i), name: fmt.Sprint("n", i), category: fmt.Sprint("c", random.IntN(3))}
		events[i] = event{offset: now.offset, at: delivered, value: fmt.Sprintf(`{"id":%q,"deleted":true}`, id)}
		if random.IntN(4) > 0 {
			events[i].value = fmt.Sprintf(`{"id":%q,"name":%q,"category":%q,"price":1,"stock":1}`, id, now.name, now.category)
			b.products[id] = now
		}
	}
	return events
}

// randomBatches covers all events with runs of them, some twice, in no order.
func randomBatches(random *rand.Rand, events []event) []service.MessageBatch {
	var batches []service.MessageBatch
	for start := 0; start < len(events); {
		end := min(start+1+random.IntN(40), len(events))
		for range 1 + random.IntN(2) {
			batch := make(service.MessageBatch, 0, end-start)
			for _, e := range events[start:end] {
				batch = append(batch, e.message())
			}
			batches = append(batches, batch)
		}
		start = max(start+1, end-random.IntN(5))
		if end == len(events) {
			break
		}
	}
	random.Shuffle(len(batches), func(i, j int) { batches[i], batches[j] = batches[j], batches[i] })
	return batches
}
