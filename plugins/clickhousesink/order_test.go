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

// books keeps the truth about purchases: the latest event of each id.
type books map[string]sale

type sale struct {
	offset   int64
	day      string
	quantity int
	gone     bool
}

// TestStatisticsAreThoseOfTheBooksHoweverTheEventsAreDelivered writes random events of few ids, which move
// between days, are deleted and come back, in batches that overlap, repeat and overtake each other.
func TestStatisticsAreThoseOfTheBooksHoweverTheEventsAreDelivered(t *testing.T) {
	for seed := range uint64(6) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			random := rand.New(rand.NewPCG(seed, 1))
			events, truth := randomEvents(random, 400)
			conn, dsn := shop(t)
			out := sink(t, dsn, nil)

			batches := randomBatches(random, events)
			var lanes sync.WaitGroup
			for lane := range 2 {
				lanes.Go(func() {
					for i := lane; i < len(batches); i += 2 {
						if err := out.WriteBatch(t.Context(), batches[i]); err != nil {
							t.Error(err)
						}
					}
				})
			}
			compute(t, dsn) // in the midst of it
			lanes.Wait()
			compute(t, dsn)

			want := truth.days()
			got := lines(t, conn, "SELECT purchase_date, total_purchases, total_items, total_revenue FROM analytics.daily_purchase_stats ORDER BY 1")
			if !slices.Equal(got, want) {
				t.Errorf("days\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
			}
		})
	}
}

func randomEvents(random *rand.Rand, n int) ([]event, books) {
	truth := books{}
	events := make([]event, n)
	for i := range events {
		id, day, quantity := fmt.Sprint("id-", random.IntN(40)), fmt.Sprintf("2024-%02d-%02d", 1+random.IntN(3), 1+random.IntN(3)), 1+random.IntN(9)
		at := day + "T12:00:00Z"
		offset := int64(i)
		switch random.IntN(6) {
		case 0:
			events[i] = deleted(offset, id, "")
			truth[id] = sale{offset: offset, gone: true}
		case 1:
			events[i] = deleted(offset, id, at)
			truth[id] = sale{offset: offset, gone: true}
		default:
			events[i] = bought(offset, id, at, "2.5", quantity)
			truth[id] = sale{offset: offset, day: day, quantity: quantity}
		}
		events[i].at = delivered.Add(time.Duration(random.IntN(72)) * time.Hour)
	}
	return events, truth
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

// days are the lines of the statistics.
func (b books) days() []string {
	purchases, items := map[string]int{}, map[string]int{}
	for _, s := range b {
		if !s.gone {
			purchases[s.day]++
			items[s.day] += s.quantity
		}
	}
	var days []string
	for day := range purchases {
		revenue := strings.TrimSuffix(fmt.Sprintf("%d.%d", items[day]*25/10, items[day]*25%10), ".0")
		days = append(days, fmt.Sprintf("%s|%d|%d|%s", day, purchases[day], items[day], revenue))
	}
	slices.Sort(days)
	return days
}
