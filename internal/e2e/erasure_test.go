package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/shop-connect/shop-connect/internal/env"
	"github.com/shop-connect/shop-connect/internal/objectstore"
	"github.com/shop-connect/shop-connect/internal/reconcile"
	"github.com/shop-connect/shop-connect/internal/store"
)

// traces are what nobody but the person has.
type traces []string

var (
	zephyrine = traces{"zephyrine", "quillfeather", "zq@maiden.example", "zq@married.example", "+44 117 496 0852", "zq-nickname", "zq-sealand", "zq-collectors"}
	balthazar = traces{"balthazar", "ottersgill", "bo@maiden.example", "bo@otters.example", "+44 117 496 0077", "bo-nickname", "bo-sealand", "bo-collectors"}
)

// A person is put through every layer, in every way in that there is, and is then nowhere, while every count
// and every statistic is what it was.
func TestAnErasedPersonIsInNoByteOfAnyLayer(t *testing.T) {
	dataDir, s := newErasureShop(t)
	id := s.livePerson(zephyrine)
	other := s.livePerson(balthazar)
	s.analyse(id, other)
	before := s.settle()
	counted := s.countPeople()
	for _, person := range []traces{zephyrine, balthazar} {
		found := strings.Join(s.search(person), "\n")
		for _, place := range []string{"shop-raw-data", "shop-stage-data", "shop-quarantine", "analytics", "customers/", "customers.rejected/", "table customers", "table idempotency"} {
			if !strings.Contains(found, place) {
				t.Fatalf("the test has not put %q into %s, only into\n%s", person, place, found)
			}
		}
	}

	s.badErasures()
	run := s.parse(s.want(t, http.StatusAccepted, "DELETE", fmt.Sprintf("/customers/%d?erase=true", id), ""))
	s.want(t, 404, "GET", fmt.Sprintf("/customers/%d", id), "")
	if again := s.parse(s.want(t, http.StatusAccepted, "DELETE", fmt.Sprintf("/customers/%d?erase=true", id), "")); again.ID != run.ID && !s.show(run.ID).Status.Final() {
		t.Errorf("while run %s is at work, another one, %s, was started", run.ID, again.ID)
	}
	s.lateEvents(id, zephyrine)
	run = s.erased(run.ID)
	for _, layer := range []string{"kafka", "raw", "stage", "quarantine", "postgresql", "iceberg"} {
		if done := run.Report["layers"].(map[string]any)[layer].(map[string]any); done["rows"].(float64) == 0 {
			t.Errorf("the report says of %s: %v", layer, done)
		}
	}
	s.want(t, 404, "GET", fmt.Sprintf("/customers/%d", id), "")
	s.want(t, 404, "DELETE", fmt.Sprintf("/customers/%d", id), "")
	if answer := s.want(t, 200, "GET", fmt.Sprintf("/customers/%d", other), ""); !strings.Contains(answer, "Ottersgill") {
		t.Errorf("another customer is %s", answer)
	}

	t.Run("what came late is erased by another run, which changes nothing else", func(t *testing.T) {
		last := s.erased(s.parse(s.want(t, http.StatusAccepted, "DELETE", fmt.Sprintf("/customers/%d?erase=true", id), "")).ID)
		third := s.erased(s.start(fmt.Sprintf(`{"name":"erase_customer","params":{"customer_id":"%d"}}`, id)).ID)
		if third.RowsIn != 0 || third.Objects != 0 {
			t.Errorf("erasing for the third time did %+v", third)
		}
		if found := s.search(zephyrine); len(found) > 0 {
			t.Errorf("after %+v the person is in %q", last, found)
		}
	})
	s.sameCounts(before, counted)
	s.analysed(other)

	t.Run("a run that is killed is gone on with", func(t *testing.T) {
		s.want(t, http.StatusAccepted, "DELETE", fmt.Sprintf("/customers/%d?erase=true", other), "")
		s.up.Kill()
		s.restart(dataDir)
		s.want(t, 404, "GET", fmt.Sprintf("/customers/%d", other), "")
		// the run that was killed is answered until the ledger knows that it is dead
		for run = s.show(s.parse(s.want(t, http.StatusAccepted, "DELETE", fmt.Sprintf("/customers/%d?erase=true", other), "")).ID); run.Status != store.Succeeded; {
			run = s.end(s.parse(s.want(t, http.StatusAccepted, "DELETE", fmt.Sprintf("/customers/%d?erase=true", other), "")).ID)
		}
		if found := s.search(balthazar); len(found) > 0 {
			t.Errorf("the person is in %q", found)
		}
		s.sameCounts(before, counted)
	})
	s.want(t, 404, "GET", fmt.Sprintf("/customers/%d", other), "")

	// what a server holds in memory is in its files once it has stopped
	s.stopped = true
	if err := s.up.Stop(); err != nil {
		t.Fatal(err)
	}
	for _, person := range []traces{zephyrine, balthazar} {
		for _, file := range searchFiles(t, dataDir, person) {
			t.Errorf("a file holds %s", file)
		}
	}
}

// erasureShop is a shop with people in it.
type erasureShop struct {
	*batchShop
	pipelines string
	producer  *kgo.Client
	stopped   bool
}

func newErasureShop(t *testing.T) (dataDir string, s *erasureShop) {
	t.Helper()
	dataDir = t.TempDir()
	pipelines, err := filepath.Abs(pipelinesDir)
	if err != nil {
		t.Fatal(err)
	}
	s = &erasureShop{batchShop: &batchShop{t: t}, pipelines: pipelines}
	s.restart(dataDir)
	t.Cleanup(func() {
		if !s.stopped {
			_ = s.up.Stop()
		}
	})
	s.want(t, 201, "POST", "/products", `{"id":"lamp","name":"Lamp","category":"light","price":19.99,"stock":1000}`)
	s.want(t, 201, "POST", "/customers", `{"first_name":"Ann","last_name":"Lee","email":"ann@example.org"}`)
	return dataDir, s
}

func (s *erasureShop) restart(dataDir string) {
	s.t.Helper()
	up := startUp(s.t, dataDir, s.pipelines)
	objects, err := objectstore.Config{
		Endpoint: up.Env[env.S3Endpoint], Region: up.Env[env.S3Region], AccessKey: up.Env[env.S3AccessKey], SecretKey: up.Env[env.S3SecretKey],
	}.Client()
	if err != nil {
		s.t.Fatal(err)
	}
	producer, err := kgo.NewClient(kgo.SeedBrokers(strings.Split(up.Env[env.KafkaBrokers], ",")...))
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(producer.Close)
	s.up, s.objects, s.client, s.producer = up, objects, newClient(s.t, up), producer
}

func (s *erasureShop) produce(topic, key, value string) {
	s.t.Helper()
	if err := s.producer.ProduceSync(s.t.Context(), &kgo.Record{Topic: topic, Key: []byte(key), Value: []byte(value)}).FirstErr(); err != nil {
		s.t.Fatal(err)
	}
}

func title(text string) string { return strings.ToUpper(text[:1]) + text[1:] }

// livePerson makes a customer and has them leave traces in all ways; it returns their number.
func (s *erasureShop) livePerson(p traces) (id int64) {
	s.t.Helper()
	first, last, former, email, phone := title(p[0]), title(p[1]), p[2], p[3], p[4]
	created := s.withKey("POST", "/customers", fmt.Sprintf(`{"first_name":%q,"last_name":%q,"email":%q}`, first, last, former), "key-of-"+p[7][:2])
	var c struct {
		ID int64 `json:"customer_id"`
	}
	if err := json.Unmarshal([]byte(created), &c); err != nil || c.ID == 0 {
		s.t.Fatal(err, created)
	}
	s.want(s.t, 200, "PUT", fmt.Sprintf("/customers/%d", c.ID), fmt.Sprintf(`{"email":%q,"phone":%q,"country":%q,"segment":%q}`, email, phone, p[6], p[7]))
	// refused at the edge: a row that breaks the contract, and one whose address is taken
	s.want(s.t, 200, "POST", "/customers/bulk-postgres", fmt.Sprintf(
		`{"customers":[{"first_name":%q,"last_name":"","email":%q},{"first_name":%q,"last_name":%q,"email":%q},{"first_name":"Bo","last_name":"Ray","email":"bo-of-%s@example.org"}]}`,
		first, email, first, last, strings.ToUpper(email), last[:3]))
	// what other producers write: of other types, with more members, without a number, no JSON at all
	key := fmt.Sprint(c.ID)
	s.produce("customers", key, fmt.Sprintf(`{"customer_id":%d,"first_name":%q,"last_name":%q,"email":%q,"nickname":%q,"country":%q}`, c.ID, first, last, email, p[5], p[6]))
	s.produce("customers", key, fmt.Sprintf(`{"customer_id":%d,"first_name":%q,"email":12}`, c.ID, first))
	s.produce("customers", email, fmt.Sprintf(`{"first_name":%q,"last_name":%q,"email":%q}`, first, last, email))
	s.produce("customers", "x", fmt.Sprintf(`%s;%s;%s`, first, last, former))
	for n := range 3 {
		s.want(s.t, 201, "POST", "/purchases", fmt.Sprintf(`{"id":"%s-%d","product_id":"lamp","customer_id":%d,"seller_id":1,"quantity":2}`, last[:3], n, c.ID))
		s.want(s.t, 201, "POST", "/purchases", fmt.Sprintf(`{"id":"ann-%s-%d","product_id":"lamp","customer_id":1,"seller_id":1,"quantity":1}`, last[:3], n))
	}
	return c.ID
}

// analyse makes tables that a shop may have in ClickHouse, with customers in them.
func (s *erasureShop) analyse(ids ...int64) {
	s.t.Helper()
	db := s.clickhouse()
	defer db.Close()
	statements := []string{
		"CREATE TABLE known_customers (customer_id Int64, country Nullable(String)) ENGINE = MergeTree ORDER BY customer_id",
		"CREATE TABLE sales_by_customer (id String, customer_id Int64, customer_country Nullable(String), customer_segment LowCardinality(String)) ENGINE = MergeTree ORDER BY id",
	}
	for _, id := range ids {
		statements = append(statements, fmt.Sprintf("INSERT INTO known_customers VALUES (%d, 'Ruritania')", id),
			fmt.Sprintf("INSERT INTO sales_by_customer VALUES ('sale-%d', %d, NULL, 'ruritanian')", id, id))
	}
	for _, statement := range statements {
		if _, err := db.ExecContext(s.t.Context(), statement); err != nil {
			s.t.Fatal(statement, err)
		}
	}
}

// analysed says that only one customer is known yet, and that all sales are.
func (s *erasureShop) analysed(id int64) {
	s.t.Helper()
	db := s.clickhouse()
	defer db.Close()
	known := texts(s.t, db, "SELECT toString(customer_id) FROM known_customers")
	sales := texts(s.t, db, "SELECT customer_segment FROM sales_by_customer ORDER BY customer_segment")
	if fmt.Sprint(known) != fmt.Sprintf("[%d]", id) || fmt.Sprint(sales) != "[ ruritanian]" {
		s.t.Errorf("ClickHouse knows customers %v and sales to %q", known, sales)
	}
}

func (s *erasureShop) withKey(method, path, body, key string) string {
	s.t.Helper()
	request, err := http.NewRequestWithContext(s.t.Context(), method, s.url+path, strings.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	request.Header = http.Header{"Content-Type": {"application/json"}, "Authorization": {"Bearer " + s.token}, "Idempotency-Key": {key}}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		s.t.Fatal(err)
	}
	defer response.Body.Close()
	var text strings.Builder
	if err := response.Write(&text); err != nil {
		s.t.Fatal(err)
	}
	_, answer, _ := strings.Cut(text.String(), "\r\n\r\n")
	return strings.TrimSpace(answer)
}

// settle brings everything into every layer, and returns what the layers of purchases hold then.
func (s *erasureShop) settle() (layers reconcile.Layers) {
	s.t.Helper()
	s.succeed(`{"name":"process_purchases_from_api"}`)
	s.succeed(`{"name":"process_kafka_data"}`)
	s.succeed(`{"name":"export_customers_to_raw","params":{"full":true}}`)
	s.succeed(`{"name":"copy_raw_to_stage","params":{"entity":"all"}}`)
	eventually(s.t, time.Minute, "every layer has all purchases, and quarantine all refused rows", func() (ok bool, seen string) {
		var err error
		layers, err = reconcile.Count(s.t.Context(), s.up.Env)
		ok = err == nil && layers.Raw.Distinct == 12 && layers.Stage.Rows == 12 && layers.ClickHouse.IDs == 12 && layers.Iceberg.IDs == 12 &&
			layers.Daily().Rows == 12 && s.quarantined() >= 10
		return ok, fmt.Sprintf("%+v, %s, %v", layers, s.want(s.t, 200, "GET", "/quarantine?entity=customers&all=true", ""), err)
	})
	return layers
}

// quarantined counts rows of customers that are refused, whatever became of them.
func (s *erasureShop) quarantined() (rows int64) {
	var counts struct {
		Counts []store.QuarantineCount `json:"counts"`
	}
	_ = json.Unmarshal([]byte(s.want(s.t, 200, "GET", "/quarantine?entity=customers&all=true", "")), &counts)
	for _, c := range counts.Counts {
		rows += c.Rows
	}
	return rows
}

// people is how many rows there are of customers.
type people struct{ raw, stage, quarantined int64 }

func (s *erasureShop) countPeople() (p people) {
	s.t.Helper()
	_, p.raw = s.rows("shop-raw-data", "customers/")
	_, p.stage = s.rows("shop-stage-data", "customers/")
	p.quarantined = s.quarantined()
	return p
}

// sameCounts says that statistics are what they were, and that no row vanished: deletions came on top.
func (s *erasureShop) sameCounts(before reconcile.Layers, counted people) {
	s.t.Helper()
	after, err := reconcile.Count(s.t.Context(), s.up.Env)
	if err != nil || fmt.Sprint(after) != fmt.Sprint(before) {
		s.t.Errorf("the layers were\n%+v\nand are\n%+v, %v", before, after, err)
	}
	s.succeed(`{"name":"process_kafka_data"}`)
	s.succeed(`{"name":"copy_raw_to_stage","params":{"entity":"all","full":true}}`)
	now := s.countPeople()
	if now.raw < counted.raw || now.stage < counted.stage || now.quarantined != counted.quarantined || now.raw-counted.raw != now.stage-counted.stage {
		s.t.Errorf("rows of customers were %+v and are %+v", counted, now)
	}
}

func (s *erasureShop) erased(id string) store.Run {
	s.t.Helper()
	run := s.end(id)
	if run.Status != store.Succeeded || !run.Reconciles() {
		s.t.Fatalf("got %+v", run)
	}
	return run
}

func (s *erasureShop) badErasures() {
	s.t.Helper()
	s.want(s.t, 404, "DELETE", "/customers/987654?erase=true", "")
	s.want(s.t, 422, "DELETE", "/customers/0?erase=true", "")
	s.want(s.t, 422, "DELETE", "/customers/1?erase=perhaps", "")
	s.want(s.t, 200, "GET", "/customers/1", "")
	for _, params := range []string{`{}`, `{"customer_id":"me"}`, `{"customer_id":"0"}`, `{"customer_id":"1","everybody":true}`} {
		if status, answer := s.do("POST", "/runs", `{"name":"erase_customer","params":`+params+`}`); status != 422 {
			s.t.Errorf("%s: answer is %d %s", params, status, answer)
		}
	}
}

// lateEvents come from a producer who has not heard of the erasure.
func (s *erasureShop) lateEvents(id int64, p traces) {
	s.t.Helper()
	s.produce("customers", fmt.Sprint(id), fmt.Sprintf(`{"customer_id":%d,"first_name":%q,"last_name":%q,"email":%q}`, id, p[0], p[1], p[2]))
}
