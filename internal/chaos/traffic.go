package chaos

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/shop-connect/shop-connect/internal/env"
	"github.com/shop-connect/shop-connect/internal/provision"
)

const (
	topicPurchases = "purchases"

	httpClients = 6
	bulkRows    = 25
	badShare    = 40 // one in so many rows
)

// traffic is the continuous load: clients of the API, and a producer that writes to Kafka past it.
type traffic struct {
	book   *book
	client *shopClient
	kafka  *kgo.Client
	rate   int
	minds  []*invention // one for each client; the last is the producer's

	stop context.CancelFunc
	done sync.WaitGroup
}

func newTraffic(cfg Config, vars map[string]string, urls []string, b *book, prefix string) (*traffic, error) {
	kafka, err := kgo.NewClient(
		kgo.SeedBrokers(strings.Split(vars[env.KafkaBrokers], ",")...),
		kgo.DefaultProduceTopic(topicPurchases),
		kgo.RecordDeliveryTimeout(patience),
		kgo.MaxBufferedRecords(20_000),
	)
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", env.KafkaBrokers, err)
	}
	t := &traffic{book: b, kafka: kafka, rate: cfg.Rate, client: newShopClient(urls, cfg.User, cfg.Password, httpClients)}
	for i := range httpClients + 1 {
		t.minds = append(t.minds, newInvention(cfg.Seed, prefix, i))
	}
	return t, nil
}

// stock makes the products that are sold.
func (t *traffic) stock(ctx context.Context) error {
	for n := range products {
		body := fmt.Sprintf(`{"id":%q,"name":"Chaos %d","category":"chaos","price":1.5,"stock":%d}`, productID(n), n, stockEach)
		if r := t.client.send(ctx, false, http.MethodPost, "/api/v1/products", []byte(body)); r.status != http.StatusCreated && r.status != http.StatusConflict {
			return fmt.Errorf("making product %s: the answer is %d: %s", productID(n), r.status, r.body)
		}
	}
	return nil
}

// start lets the load begin; it goes on until halt.
func (t *traffic) start(ctx context.Context) {
	ctx, t.stop = context.WithCancel(ctx)
	each := max(1, t.rate/(httpClients+1)) // rows a second
	for i, mind := range t.minds {
		t.done.Go(func() {
			for ctx.Err() == nil {
				began := time.Now()
				var rows int
				if i == httpClients {
					rows = t.produce(ctx, mind, max(1, each/4))
				} else {
					rows = t.request(context.WithoutCancel(ctx), mind)
				}
				pause(ctx, time.Duration(rows)*time.Second/time.Duration(each)-time.Since(began))
			}
		})
	}
}

// halt ends the load and returns once every request has its answer, or has been given up.
func (t *traffic) halt() {
	if t.stop == nil {
		return
	}
	t.stop()
	t.done.Wait()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	_ = t.kafka.Flush(ctx) // each record's own promise tells
	t.stop = nil
}

// request sends one request of a client and returns how many rows it was about.
func (t *traffic) request(ctx context.Context, mind *invention) int {
	switch n := mind.random.IntN(20); {
	case n < 6:
		return t.bulk(ctx, mind)
	case n < 15:
		return t.one(ctx, mind)
	case n < 19 || len(mind.sold) == 0:
		return t.sell(ctx, mind)
	default:
		return t.cancelSale(ctx, mind)
	}
}

func (t *traffic) bulk(ctx context.Context, mind *invention) int {
	var rows []row
	var texts [][]byte
	for range 1 + mind.random.IntN(2*bulkRows) {
		r := mind.next()
		if mind.random.IntN(badShare) == 0 {
			r = mind.bad(brokenForAPI)
		}
		rows, texts = append(rows, r), append(texts, r.text)
	}
	t.book.attempt(rows)
	body := append(append([]byte(`{"purchases":[`), bytes.Join(texts, []byte(","))...), `]}`...)
	r := t.client.send(ctx, mind.hasty(), http.MethodPost, "/api/v1/purchases/bulk-kafka", body)
	if r.status == 0 {
		t.book.giveUp(rows)
		return len(rows)
	}
	accepted, refused, err := refusedIndexes(r.body)
	if err != nil {
		t.book.violatef("a bulk body was answered %d: %s", r.status, trimLine(string(r.body)))
		return len(rows)
	}
	bad := 0
	for i, row := range rows {
		if row.kind == sound {
			continue
		}
		if bad >= len(refused) || refused[bad] != i {
			t.book.violatef("row %d of a bulk body is broken and was not refused: %s", i, row.text)
			return len(rows)
		}
		bad++
	}
	if bad != len(refused) || accepted+bad != len(rows) {
		t.book.violatef("a bulk body of %d rows, %d of them broken, was answered with %d accepted and %d refused", len(rows), bad, accepted, len(refused))
		return len(rows)
	}
	t.book.acknowledge(rows)
	return len(rows)
}

// one sends a purchase a request.
func (t *traffic) one(ctx context.Context, mind *invention) int {
	rows := []row{mind.next()}
	t.book.attempt(rows)
	t.answered(rows, t.client.send(ctx, mind.hasty(), http.MethodPost, "/api/v1/purchases/events", rows[0].text))
	return 1
}

// sell makes a purchase that takes stock: it goes through PostgreSQL.
func (t *traffic) sell(ctx context.Context, mind *invention) int {
	rows := []row{mind.fresh()}
	t.book.attempt(rows)
	if t.answered(rows, t.client.send(ctx, mind.hasty(), http.MethodPost, "/api/v1/purchases", rows[0].text)) {
		mind.sold = append(mind.sold, rows[0].event.id)
	}
	return 1
}

// cancelSale deletes a purchase that was sold.
func (t *traffic) cancelSale(ctx context.Context, mind *invention) int {
	at := mind.random.IntN(len(mind.sold))
	rows := []row{{event: event{id: mind.sold[at], deleted: true}}}
	mind.sold = append(mind.sold[:at], mind.sold[at+1:]...)
	t.book.attempt(rows)
	r := t.client.send(ctx, mind.hasty(), http.MethodDelete, "/api/v1/purchases/"+rows[0].event.id, nil)
	if r.status == http.StatusNotFound && r.attempts > 1 {
		r.status = http.StatusNoContent // an earlier attempt has done it
	}
	t.answered(rows, r)
	return 1
}

func (t *traffic) answered(rows []row, r reply) bool {
	switch {
	case r.status >= 200 && r.status < 300:
		t.book.acknowledge(rows)
		return true
	case r.status == 0:
		t.book.giveUp(rows)
	default:
		t.book.violatef("purchase %s was answered %d after %d attempts: %s", rows[0].event.id, r.status, r.attempts, trimLine(string(r.body)))
	}
	return false
}

// produce writes rows to Kafka as another program of the shop would.
func (t *traffic) produce(ctx context.Context, mind *invention, n int) int {
	rows := make([]row, n)
	for i := range rows {
		rows[i] = mind.next()
		if mind.random.IntN(badShare) == 0 {
			rows[i] = mind.bad(brokenInKafka)
		}
	}
	t.book.attempt(rows)
	for _, r := range rows {
		key := r.event.id
		if key == "" {
			key = string(r.text[:min(len(r.text), 30)])
		}
		t.kafka.Produce(context.WithoutCancel(ctx), &kgo.Record{Key: []byte(key), Value: r.text}, func(_ *kgo.Record, err error) {
			if err != nil {
				t.book.giveUp([]row{r})
				return
			}
			t.book.acknowledge([]row{r})
		})
	}
	return n
}

func (t *traffic) close() { t.kafka.Close() }

// rejectedTopic carries what the API and the sinks refuse.
func rejectedTopic() string { return provision.Rejected(topicPurchases) }
