package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/shop-connect/shop-connect/internal/env"
)

const (
	// sales are made at a steady rate, whatever the answers take.
	salesRate     = 500
	salesDuration = 20 * time.Second
	sales         = salesRate * int(salesDuration/time.Second)

	// soldProducts is how many products share the sales: those of one wait for each other.
	soldProducts = 50
	fullStock    = 1_000_000

	// bareConnections are as many as the API has.
	bareConnections = 16

	relayed = 30 * time.Second
)

// apiStep sells one by one through the API, which takes stock and enters an event in one transaction. What
// counts is how long an answer takes; the rate is given.
func apiStep() step {
	s := &apiBench{}
	return step{
		name: "api", bareName: "pgx transactions", pipelines: []string{"outbox_kafka", "purchases_clickhouse"},
		prepare: s.prepare, run: s.sell, bare: s.bare, check: s.check,
	}
}

type apiBench struct {
	url, token string
	client     *http.Client
	pool       *pgxpool.Pool
	before     int64 // records of the topic
	sold       [sales]bool
	refused    error
}

func (s *apiBench) prepare(ctx context.Context, b *bench) (err error) {
	s.url = "http://" + b.up.Env[env.APIAddress] + "/api/v1"
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.MaxIdleConnsPerHost = salesRate
	s.client = &http.Client{Transport: transport, Timeout: time.Minute}
	config, err := pgxpool.ParseConfig(b.up.Env[env.PostgresDSN])
	if err != nil {
		return fmt.Errorf("reading %s: %w", env.PostgresDSN, err)
	}
	config.MaxConns = bareConnections
	if s.pool, err = pgxpool.NewWithConfig(ctx, config); err != nil {
		return fmt.Errorf("opening PostgreSQL: %w", err)
	}
	var login struct {
		AccessToken string `json:"access_token"`
	}
	if _, err := s.ask(ctx, http.MethodPost, "/token", `{"username":"admin","password":"admin"}`, &login); err != nil {
		return err
	}
	s.token = login.AccessToken
	for n := range soldProducts {
		body := fmt.Sprintf(`{"id":%q,"name":"Product","category":"bench","price":19.99,"stock":%d}`, product(n), fullStock)
		if _, err := s.ask(ctx, http.MethodPost, "/products", body, nil); err != nil {
			return err
		}
	}
	if err := b.addPipelines("outbox_kafka", "purchases_clickhouse"); err != nil {
		return err
	}
	if err := b.drained(ctx, "purchases-clickhouse"); err != nil {
		return err
	}
	// what the earlier steps left for the kernel to write would be waited for by the commits of this one
	syscall.Sync()
	return nil
}

func product(n int) string { return fmt.Sprintf("bench-%d", n%soldProducts) }

// quantity of the nth sale.
func quantity(n int) int64 { return int64(n%3 + 1) }

// ask returns the header of a good answer.
func (s *apiBench) ask(ctx context.Context, method, path, body string, answer any) (http.Header, error) {
	request, err := http.NewRequestWithContext(ctx, method, s.url+path, bytes.NewBufferString(body))
	if err != nil {
		return nil, fmt.Errorf("asking %s: %w", path, err)
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("Authorization", "Bearer "+s.token)
	response, err := s.client.Do(request)
	if err != nil {
		return nil, fmt.Errorf("asking %s: %w", path, err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		return nil, fmt.Errorf("asking %s: %w", path, err)
	}
	if response.StatusCode >= 300 {
		return nil, fmt.Errorf("asking %s: %s %s", path, response.Status, text)
	}
	if answer == nil {
		return response.Header, nil
	}
	if err := json.Unmarshal(text, answer); err != nil {
		return nil, fmt.Errorf("reading the answer of %s: %w", path, err)
	}
	return response.Header, nil
}

func (s *apiBench) sell(ctx context.Context, b *bench) (measurement, error) {
	before, err := records(ctx, b, "purchases")
	if err != nil {
		return measurement{}, err
	}
	s.before = before
	latencies, took, err := openLoop(salesRate, sales, func(n int) error {
		_, err := s.ask(ctx, http.MethodPost, "/purchases", sale(n), nil)
		s.sold[n] = err == nil
		return err
	})
	s.refused = err
	b.notef("POST /purchases at %d/s for %s, from when each was due: %s.", salesRate, salesDuration, latencies)
	return measurement{rows: int64(sales), took: took}, ctx.Err()
}

func sale(n int) string {
	return fmt.Sprintf(`{"id":%q,"product_id":%q,"customer_id":%d,"seller_id":1,"quantity":%d}`, saleID(n), product(n), n%1000+1, quantity(n))
}

func saleID(n int) string { return fmt.Sprintf("bench-sale-%d", n) }

// bare does by hand what a sale changes, at the same rate.
func (s *apiBench) bare(ctx context.Context, b *bench) (measurement, error) {
	defer s.pool.Close()
	if _, err := s.pool.Exec(ctx, `
		CREATE TABLE bench_products AS SELECT id, stock FROM products;
		ALTER TABLE bench_products ADD PRIMARY KEY (id);
		CREATE TABLE bench_purchases (LIKE purchases INCLUDING ALL);
		CREATE TABLE bench_outbox (LIKE outbox INCLUDING ALL)`); err != nil {
		return measurement{}, fmt.Errorf("creating tables: %w", err)
	}
	cpu := ownCPU()
	latencies, took, err := openLoop(salesRate, sales, func(n int) error {
		return pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
			changes := &pgx.Batch{}
			changes.Queue(`INSERT INTO bench_purchases (id, product_id, customer_id, seller_id, quantity, price_at_time, purchased_at) VALUES ($1, $2, $3, 1, $4, 19.99, now())`,
				saleID(n), product(n), int64(n%1000+1), quantity(n))
			changes.Queue(`INSERT INTO bench_outbox (topic, key, payload) VALUES ('purchases', $1, $2)`, saleID(n), []byte(sale(n)))
			changes.Queue(`UPDATE bench_products SET stock = stock - $2 WHERE id = $1 AND stock >= $2`, product(n), quantity(n))
			return tx.SendBatch(ctx, changes).Close()
		})
	})
	b.notef("The same changes by pgx alone: %s.", latencies)
	return measurement{rows: int64(sales), took: took, cpu: ownCPU() - cpu}, err
}

// check reads the end state: stock, purchases, outbox and topic are exact.
func (s *apiBench) check(ctx context.Context, b *bench) error {
	var made, pieces int64
	for n, sold := range s.sold {
		if sold {
			made, pieces = made+1, pieces+quantity(n)
		}
	}
	var stock, purchases int64
	if err := s.pool.QueryRow(ctx, `SELECT (SELECT sum(stock)::bigint FROM products WHERE category = 'bench'),
		(SELECT count(*) FROM purchases WHERE product_id LIKE 'bench-%')`).Scan(&stock, &purchases); err != nil {
		return fmt.Errorf("counting: %w", err)
	}
	faults := []error{s.refused}
	if want := soldProducts*fullStock - pieces; stock != want || purchases != made {
		faults = append(faults, fmt.Errorf("stock is %d after %d purchases, should be %d after %d", stock, purchases, want, made))
	}
	for deadline := time.Now().Add(relayed); ; time.Sleep(50 * time.Millisecond) {
		var waiting int64
		if err := s.pool.QueryRow(ctx, `SELECT count(*) FROM outbox`).Scan(&waiting); err != nil {
			return fmt.Errorf("counting the outbox: %w", err)
		}
		if waiting == 0 {
			break
		}
		if time.Now().After(deadline) {
			return errors.Join(append(faults, fmt.Errorf("%d events are in the outbox %s after the last sale", waiting, relayed))...)
		}
	}
	after, err := records(ctx, b, "purchases")
	if err != nil {
		return err
	}
	if after-s.before != made {
		faults = append(faults, fmt.Errorf("%d events are in Kafka, should be %d", after-s.before, made))
	}
	return errors.Join(append(faults, s.measureReads(ctx, b))...)
}

// records is how many a topic holds.
func records(ctx context.Context, b *bench, topic string) (n int64, err error) {
	client, err := kgo.NewClient(kgo.SeedBrokers(brokers(b)...))
	if err != nil {
		return 0, fmt.Errorf("opening Kafka: %w", err)
	}
	defer client.Close()
	ends, err := kadm.NewClient(client).ListEndOffsets(ctx, topic)
	if err != nil {
		return 0, fmt.Errorf("listing offsets: %w", err)
	}
	ends.Each(func(o kadm.ListedOffset) { n += o.Offset })
	return n, nil
}
