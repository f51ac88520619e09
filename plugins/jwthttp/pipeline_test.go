package jwthttp_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/shop-connect/shop-connect/internal/quarantine"
)

// consume reads so many records of some topics, by topic.
func consume(t testing.TB, broker string, n int, topics ...string) map[string][]*kgo.Record {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(broker), kgo.ConsumeTopics(topics...), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	records := map[string][]*kgo.Record{}
	for n > 0 {
		fetches := client.PollFetches(t.Context())
		if err := fetches.Err(); err != nil {
			t.Fatal(err)
		}
		fetches.EachRecord(func(r *kgo.Record) {
			records[r.Topic] = append(records[r.Topic], r)
			n--
		})
	}
	return records
}

// I1 and I4, over real connections: what is answered is in Kafka, good rows under their id, refused
// rows with their bytes and reasons.
func TestI1PurchasesOfAnAnsweredBodyAreInKafka(t *testing.T) {
	shop, broker := newShop(t), startKafka(t)
	shop.runPipeline(t, "purchases_ingest.yaml", broker)
	shop.listen(t)
	r, err := http.NewRequest(http.MethodPost, shop.url+bulkPath+"/", strings.NewReader(bulk(goodRow, badRow, noIDRow, goneRow)))
	if err != nil {
		t.Fatal(err)
	}
	r.Header = shop.header(t)
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	answer := decode[bulkAnswer](t, resp.Body)
	if resp.StatusCode != http.StatusOK || answer.SuccessCount != 3 || answer.ErrorCount != 1 || answer.Errors[0].Index != 1 {
		t.Fatalf("answer is %d %+v", resp.StatusCode, answer)
	}
	records := consume(t, broker, 4, "purchases", "purchases.rejected")
	if len(records["purchases"]) != 3 || len(records["purchases.rejected"]) != 1 {
		t.Fatalf("%d purchases, %d refused", len(records["purchases"]), len(records["purchases.rejected"]))
	}
	partitions := map[string]int32{}
	for _, r := range records["purchases"] {
		if key := string(r.Key); !strings.Contains(string(r.Value), `"id":"`+key+`"`) {
			t.Errorf("key %q of %s", key, r.Value)
		}
		if p, seen := partitions[string(r.Key)]; seen && p != r.Partition {
			t.Error("events of one purchase are in two partitions")
		}
		partitions[string(r.Key)] = r.Partition
		if len(r.Headers) > 0 {
			t.Errorf("a good row has headers: %v", r.Headers)
		}
	}
	refused := records["purchases.rejected"][0]
	headers := map[string]string{}
	for _, h := range refused.Headers {
		headers[h.Key] = string(h.Value)
	}
	if string(refused.Value) != badRow || headers[quarantine.MetaBy] != "api" || !strings.Contains(headers[quarantine.MetaReasons], "quantity") ||
		headers[quarantine.MetaSource] == "" || headers[quarantine.MetaEntity] != "purchases" || headers[quarantine.MetaVersion] != "1" {
		t.Errorf("the refused row is %s %v", refused.Value, headers)
	}
}

func TestProductsReachTheirTopic(t *testing.T) {
	shop, broker := newShop(t), startKafka(t)
	shop.mountedAt = "/api/v1/products/bulk-s3"
	shop.runPipeline(t, "products_ingest.yaml", broker)
	body := `{"products":[{"id":456,"name":"Mug","category":"Kitchen","price":2.5,"stock":3},{"name":"","category":"Kitchen","price":2.5,"stock":3}]}`
	r := httptest.NewRequest(http.MethodPost, shop.mountedAt, strings.NewReader(body))
	r.Header = shop.header(t)
	w := httptest.NewRecorder()
	shop.server.ServeHTTP(w, r)
	if answer := decode[bulkAnswer](t, w.Body); w.Code != 200 || answer.SuccessCount != 1 || answer.ErrorCount != 1 {
		t.Fatalf("answer is %d %+v", w.Code, answer)
	}
	records := consume(t, broker, 2, "products", "products.rejected")
	if len(records["products"]) != 1 || string(records["products"][0].Key) != "456" || len(records["products.rejected"]) != 1 {
		t.Errorf("records are %v", records)
	}
}

// postTo sends a body to an endpoint with a good token.
func (s *shop) postTo(t testing.TB, path, body string) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequest(http.MethodPost, path, strings.NewReader(body))
	r.Header = s.header(t)
	w := httptest.NewRecorder()
	s.server.ServeHTTP(w, r)
	return w
}

// I1, for one purchase a request: many that come together are each in Kafka once, under their own ids.
func TestI1EachEventThatIsAcceptedIsInKafkaOnce(t *testing.T) {
	shop, broker := newShop(t), startKafka(t)
	shop.mountedAt = "/api/v1/purchases/events"
	shop.runPipeline(t, "purchase_events_ingest.yaml", broker)
	const clients, each = 16, 25
	ids := make(chan string, clients*each)
	var sending sync.WaitGroup
	for c := range clients {
		sending.Go(func() {
			for i := range each {
				body, own := noIDRow, ""
				if i%2 == 0 {
					own = fmt.Sprintf("c%d-%d", c, i)
					body = strings.Replace(goodRow, "p-1", own, 1)
				}
				w := shop.postTo(t, shop.mountedAt, body)
				id := decode[map[string]string](t, w.Body)["id"]
				if w.Code != http.StatusAccepted || own != "" && id != own || id == "" {
					t.Errorf("answer to %q is %d, id %q", own, w.Code, id)
				}
				ids <- id
			}
		})
	}
	sending.Wait()
	close(ids)
	p := wantProblem(t, shop.postTo(t, shop.mountedAt, badRow), http.StatusUnprocessableEntity)
	if len(p.Errors) != 2 {
		t.Errorf("problem is %+v", p)
	}
	records := consume(t, broker, clients*each+1, "purchases", "purchases.rejected")
	if refused := records["purchases.rejected"]; len(refused) != 1 || string(refused[0].Value) != badRow {
		t.Errorf("refused rows are %v", refused)
	}
	keys := map[string]int{}
	for _, r := range records["purchases"] {
		keys[string(r.Key)]++
	}
	for id := range ids {
		if keys[id] != 1 {
			t.Errorf("the event %q is there %d times", id, keys[id])
		}
	}
}

// What the comment in purchases_ingest.yaml says.
func TestRowsCanBeChangedOneByOneOnceTheyAreSplit(t *testing.T) {
	shop, broker := newShop(t), startKafka(t)
	shop.runPipelineWith(t, "purchases_ingest.yaml", broker, "processors: []", `processors:
    - split_rows: {}
    - mapping: |
        root = if @refused_reasons == null { this.assign({"channel": "web"}) }`)
	w := shop.post(t, bulk(goodRow, badRow, strings.Replace(goodRow, "p-1", "p-3", 1), "17"))
	if answer := decode[bulkAnswer](t, w.Body); w.Code != 200 || answer.SuccessCount != 2 || answer.ErrorCount != 2 {
		t.Fatalf("answer is %d %+v", w.Code, answer)
	}
	records := consume(t, broker, 4, "purchases", "purchases.rejected")
	for _, r := range records["purchases"] {
		if !strings.Contains(string(r.Value), `"channel":"web"`) || !strings.Contains(string(r.Value), `"id":"`+string(r.Key)+`"`) {
			t.Errorf("record %s is %s", r.Key, r.Value)
		}
	}
	if len(records["purchases"]) != 2 || len(records["purchases.rejected"]) != 2 {
		t.Errorf("%d purchases, %d refused", len(records["purchases"]), len(records["purchases.rejected"]))
	}
	for _, r := range records["purchases.rejected"] {
		if value := string(r.Value); value != badRow && value != "17" {
			t.Errorf("the refused row is %s", value)
		}
	}
}

func TestAbsentKafkaIsAnswered503InBoundedTime(t *testing.T) {
	shop := newShop(t)
	shop.runPipelineWith(t, "purchases_ingest.yaml", "127.0.0.1:1", "timeout: 15s", "timeout: 300ms")
	start := time.Now()
	wantProblem(t, shop.post(t, bulk(goodRow)), http.StatusServiceUnavailable)
	if took := time.Since(start); took > 5*time.Second {
		t.Errorf("it took %v", took)
	}
}
