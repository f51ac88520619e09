package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"

	"github.com/shop-connect/shop-connect/internal/env"
)

const (
	freshRate   = 20_000 // purchases a second
	freshBody   = 200    // purchases a request
	freshFor    = 30 * time.Second
	freshWarmUp = 5 * time.Second
	freshMarks  = 4 // a second
	freshLooks  = 25 * time.Millisecond
	// freshAtOnce is how many requests are on their way; the API refuses a client more than some.
	freshAtOnce  = 8
	freshTimeout = time.Minute
)

// firstMark is the day of the first mark; the others are on the days behind it. No load has purchases there.
var firstMark = time.Date(2001, 1, 1, 0, 0, 0, 0, time.UTC)

// freshnessStep sells at a steady rate and, in between, marked purchases, each on a business day of its own. It times how
// long after the API's answer the day of a mark is in daily_purchase_stats, where a reader would look. A mark is a purchase
// like the others, in the same topic, batches and computations.
func freshnessStep() step {
	s := &freshness{}
	return step{
		name: "freshness", alone: true,
		pipelines: []string{"purchases_raw", "purchases_iceberg", "purchases_clickhouse", "products_clickhouse", "clickhouse_stats"},
		prepare:   s.prepare, run: s.run, check: s.check,
	}
}

type freshness struct {
	token  string
	bodies [][]byte
	sold   atomic.Int64

	mu sync.Mutex
	// answered is when the API answered for the mark on a day; seen is how long after that it was there.
	answered map[string]time.Time
	seen     latencies
}

func (s *freshness) prepare(ctx context.Context, b *bench) (err error) {
	if s.token, err = b.token(ctx); err != nil {
		return err
	}
	s.answered = map[string]time.Time{}
	for n := range 50 {
		var body bytes.Buffer
		for i := range freshBody {
			k := n*freshBody + i
			fmt.Fprintf(&body, `{"product_id":"fresh-%d","customer_id":%d,"seller_id":%d,"quantity":%d,"price_at_time":%d.%02d}`+"\n", k*k%2000, 1+k*7919%20_000, 1+k%20, 1+k%5, 1+k%300, k%100)
		}
		s.bodies = append(s.bodies, body.Bytes())
	}
	// all streams are at work before the clock runs
	if err := b.addPipelines(freshnessStep().pipelines...); err != nil {
		return err
	}
	for _, group := range []string{"purchases-raw", "purchases-iceberg", "purchases-clickhouse"} {
		if err := s.post(ctx, b, s.bodies[0]); err != nil {
			return err
		}
		if err := b.drained(ctx, group); err != nil {
			return err
		}
	}
	return nil
}

func (s *freshness) post(ctx context.Context, b *bench, body []byte) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+b.up.Env[env.APIAddress]+"/api/v1/purchases/bulk-kafka", bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("selling: %w", err)
	}
	request.Header.Set("Content-Type", "application/x-ndjson")
	request.Header.Set("Authorization", "Bearer "+s.token)
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return fmt.Errorf("selling: %w", err)
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != http.StatusOK || !bytes.Contains(answer, []byte(`"error_count":0`)) {
		return fmt.Errorf("selling: the answer is %s %.200s %w", response.Status, answer, err)
	}
	s.sold.Add(int64(bytes.Count(body, []byte("\n"))))
	return nil
}

func (s *freshness) run(ctx context.Context, b *bench) (measurement, error) {
	conn, err := openClickHouse(b)
	if err != nil {
		return measurement{}, err
	}
	defer conn.Close()
	ctx, cancel := context.WithTimeout(ctx, freshWarmUp+freshFor+freshTimeout)
	defer cancel()
	const requests = freshRate / freshBody
	times := int((freshWarmUp + freshFor).Seconds() * requests)
	marks := int(freshFor.Seconds() * freshMarks)

	var looking, marking error
	var work sync.WaitGroup
	work.Go(func() { looking = s.look(ctx, conn, marks) })
	work.Go(func() {
		time.Sleep(freshWarmUp)
		_, _, marking = openLoop(freshMarks, marks, func(n int) error { return s.mark(ctx, b, n) })
	})
	turns := make(chan struct{}, freshAtOnce)
	answers, took, selling := openLoop(requests, times, func(n int) error {
		turns <- struct{}{}
		defer func() { <-turns }()
		return s.post(ctx, b, s.bodies[n%len(s.bodies)])
	})
	work.Wait()
	if err := errors.Join(selling, marking, looking); err != nil {
		return measurement{}, err
	}
	sorted(s.seen)
	b.notef("freshness: from the API's answer to daily_purchase_stats, of %d purchases among %d/s: %s. The answers themselves, each for %d purchases: %s.",
		len(s.seen), freshRate, s.seen, freshBody, answers)
	return measurement{rows: int64(times * freshBody), took: took}, nil
}

// mark sells one purchase on a day of its own.
func (s *freshness) mark(ctx context.Context, b *bench, n int) error {
	day := firstMark.AddDate(0, 0, n).Format(time.DateOnly)
	body := fmt.Sprintf(`{"product_id":"fresh-mark","customer_id":1,"seller_id":1,"quantity":1,"price_at_time":1,"purchased_at":"%sT12:00:00Z"}`+"\n", day)
	if err := s.post(ctx, b, []byte(body)); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.answered[day] = time.Now()
	return nil
}

// look asks for the days of marks until all have been seen.
func (s *freshness) look(ctx context.Context, conn clickhouse.Conn, marks int) error {
	for found := map[string]bool{}; len(found) < marks; time.Sleep(freshLooks) {
		var days []struct {
			Day string `ch:"day"`
		}
		query := "SELECT toString(purchase_date) AS day FROM analytics.daily_purchase_stats WHERE purchase_date BETWEEN ? AND ?"
		if err := conn.Select(ctx, &days, query, firstMark.Format(time.DateOnly), firstMark.AddDate(0, 0, marks).Format(time.DateOnly)); err != nil {
			return fmt.Errorf("looking for %d more marks: %w", marks-len(found), err)
		}
		now := time.Now()
		s.mu.Lock()
		for _, d := range days {
			if answered, known := s.answered[d.Day]; known && !found[d.Day] {
				found[d.Day] = true
				s.seen = append(s.seen, now.Sub(answered))
			}
		}
		s.mu.Unlock()
	}
	return nil
}

// check counts all that was sold, once the statistics have caught up.
func (s *freshness) check(ctx context.Context, b *bench) error {
	conn, err := openClickHouse(b)
	if err != nil {
		return err
	}
	defer conn.Close()
	var rows uint64
	for deadline := time.Now().Add(freshTimeout); ; time.Sleep(100 * time.Millisecond) {
		if err := conn.QueryRow(ctx, "SELECT sum(total_purchases) FROM analytics.top_products WHERE startsWith(product_id, 'fresh-')").Scan(&rows); err != nil {
			return fmt.Errorf("counting: %w", err)
		}
		if int64(rows) == s.sold.Load() {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("the statistics hold %d purchases, %d were sold", rows, s.sold.Load())
		}
	}
}
