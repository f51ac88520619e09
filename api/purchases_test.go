package api_test

import (
	"database/sql"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/ClickHouse/clickhouse-go/v2"

	"github.com/shop-connect/shop-connect/api"
	"github.com/shop-connect/shop-connect/internal/analytics"
	"github.com/shop-connect/shop-connect/internal/auth"
	"github.com/shop-connect/shop-connect/internal/env"
	"github.com/shop-connect/shop-connect/internal/provision"
	"github.com/shop-connect/shop-connect/internal/testservers"
)

// newPurchaseShop sells lamps, of which it has three; the ClickHouse of the DSN has purchases of old.
func newPurchaseShop(t *testing.T, clickhouseDSN string) *shop {
	t.Helper()
	s := newShop(t)
	reader, err := analytics.Open(clickhouseDSN)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = reader.Close() })
	s.config.Analytics = reader
	s.Server = newServer(t, func(c *api.Config) { c.Shop = &s.config })
	s.want(201, "POST", "/products", strings.Replace(lamp, "{", `{"id":"lamp",`, 1))
	return s
}

const away = "http://shop:secret@127.0.0.1:1/analytics"

// purchasesOfOld fills an empty ClickHouse.
func purchasesOfOld(t *testing.T) (dsn string) {
	t.Helper()
	vars := testservers.Env(t)
	if err := provision.All(t.Context(), vars); err != nil {
		t.Fatal(err)
	}
	options, err := clickhouse.ParseDSN(vars[env.ClickHouseDSN])
	if err != nil {
		t.Fatal(err)
	}
	db := clickhouse.OpenDB(options)
	defer db.Close()
	for _, statement := range []string{
		`TRUNCATE TABLE purchases`, `TRUNCATE TABLE purchase_day_index`,
		`INSERT INTO purchases (id, product_id, customer_id, seller_id, quantity, price_at_time, purchased_at, purchase_date, version, is_deleted) VALUES
			('old-1', 'lamp', 7, 8, 2, 10.5001, '2026-01-02 03:04:05.678901', '2026-01-02', 2, 0), ('old-2', 'pen', 7, 8, 1, 0.1, '2026-02-02 03:04:05', '2026-02-02', 2, 0),
			('old-3', 'lamp', 9, 8, 1, 99999999999999.9999, '2026-03-02 03:04:05', '2026-03-02', 2, 0)`,
		`INSERT INTO purchase_day_index (id, day, version) SELECT id, purchase_date, version FROM purchases`,
	} {
		execute(t, db, statement)
	}
	return vars[env.ClickHouseDSN]
}

func execute(t *testing.T, db *sql.DB, statement string) {
	t.Helper()
	if _, err := db.ExecContext(t.Context(), statement); err != nil {
		t.Fatal(err)
	}
}

func (s *shop) wantStock(want float64) {
	s.t.Helper()
	if lamp := s.want(200, "GET", "/products/lamp", ""); lamp["stock"] != want {
		s.t.Errorf("the stock is %v, want %v", lamp["stock"], want)
	}
}

const twoLamps = `{"product_id":"lamp","customer_id":1,"seller_id":2,"quantity":2}`

func TestAPurchaseIsSoldAndShownAtOnce(t *testing.T) {
	s := newPurchaseShop(t, away) // it needs no ClickHouse
	w := s.do("POST", "/purchases/", twoLamps)
	var sold struct {
		ID          string      `json:"id"`
		Price       json.Number `json:"price_at_time"`
		Total       json.Number `json:"total_price"`
		PurchasedAt string      `json:"purchased_at"`
		PurchaseTS  string      `json:"purchase_ts"`
	}
	if err := json.Unmarshal(w.Body.Bytes(), &sold); err != nil || w.Code != 201 {
		t.Fatal(w.Code, w.Body, err)
	}
	if len(sold.ID) != 36 || sold.Price != "19.99" || sold.Total != "39.98" || sold.PurchasedAt == "" || sold.PurchaseTS != sold.PurchasedAt {
		t.Errorf("sold is %s", w.Body)
	}
	path := strings.TrimPrefix(w.Header().Get("Location"), "/api/v1")
	if shown := s.do("GET", path, ""); shown.Body.String() != w.Body.String() {
		t.Errorf("sold is %s, shown is %s", w.Body, shown.Body)
	}
	s.wantStock(1)
	if at := s.refused(409, "POST", "/purchases", twoLamps); !slices.Equal(at, []string{"body.quantity"}) {
		t.Errorf("faults at %v", at)
	}
	if at := s.refused(404, "POST", "/purchases", strings.Replace(twoLamps, "lamp", "pen", 1)); !slices.Equal(at, []string{"body.product_id"}) {
		t.Errorf("faults at %v", at)
	}
	s.wantStock(1)
	s.want(204, "DELETE", path, "")
	s.refused(404, "GET", path, "")
	s.wantStock(3)
}

func TestTheLastPiecesAreSoldOnce(t *testing.T) {
	s := newPurchaseShop(t, away)
	var sold atomic.Int64
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() {
			switch w := s.do("POST", "/purchases", strings.Replace(twoLamps, `:2}`, `:1}`, 1)); w.Code {
			case 201:
				sold.Add(1)
			case 409:
			default:
				t.Errorf("answer is %d %s", w.Code, w.Body)
			}
		})
	}
	wg.Wait()
	if sold.Load() != 3 {
		t.Errorf("%d are sold", sold.Load())
	}
	s.wantStock(0)
}

func TestI3APurchaseSentTwiceUnderItsIdIsSoldOnce(t *testing.T) {
	s := newPurchaseShop(t, away)
	body := strings.Replace(twoLamps, "{", `{"id":"mine/1","price_at_time":"12.3450","purchased_at":"2026-01-02T03:04:05",`, 1)
	first := s.do("POST", "/purchases", body)
	if again := s.do("POST", "/purchases", body); first.Code != 201 || again.Code != 201 || again.Body.String() != first.Body.String() {
		t.Fatalf("first %d %s, then %d %s", first.Code, first.Body, again.Code, again.Body)
	}
	for _, part := range []string{`"price_at_time":12.345,`, `"total_price":24.69,`, `"purchased_at":"2026-01-02T02:04:05Z"`} {
		if !strings.Contains(first.Body.String(), part) {
			t.Errorf("%s is not in %s", part, first.Body)
		}
	}
	s.wantStock(1)
	if at := s.refused(409, "POST", "/purchases", strings.Replace(body, `"customer_id":1`, `"customer_id":2`, 1)); !slices.Equal(at, []string{"body.id"}) {
		t.Errorf("faults at %v", at)
	}
	s.want(200, "GET", "/purchases/mine%2F1", "")
	s.want(204, "DELETE", "/purchases/mine%2F1", "")
}

func TestEveryFaultOfAPurchaseIsNamed(t *testing.T) {
	s := newPurchaseShop(t, away)
	for body, want := range map[string][]string{
		`{}`: {"body.product_id", "body.customer_id", "body.seller_id", "body.quantity"},
		`{"product_id":true,"customer_id":"1","seller_id":0,"quantity":0}`:                             {"body.product_id", "body.customer_id", "body.seller_id", "body.quantity"},
		`{"product_id":"lamp","customer_id":1,"seller_id":2,"quantity":1.5,"price_at_time":0.00001}`:   {"body.quantity", "body.price_at_time"},
		`{"product_id":"lamp","customer_id":1,"seller_id":2,"quantity":1,"purchased_at":"2099-01-01"}`: {"body.purchased_at"},
		`{"product_id":"lamp","customer_id":1,"seller_id":2,"quantity":1,"price_at_time":-1}`:          {"body.price_at_time"},
		`{"id":"","product_id":"a\u0000b","customer_id":1,"seller_id":2,"quantity":1}`:                 {"body.id", "body.product_id"},
		`{"id":"a","deleted":true}`: {"body.deleted"},
	} {
		if at := s.refused(422, "POST", "/purchases", body); !slices.Equal(at, want) {
			t.Errorf("%s: faults at %v, want %v", body, at, want)
		}
	}
	s.wantStock(3)
}

func TestPurchasesSentInBulkAreShownListedAndDeleted(t *testing.T) {
	s := newPurchaseShop(t, purchasesOfOld(t))
	const old = `{"id":"old-1","product_id":"lamp","customer_id":7,"seller_id":8,"quantity":2,"price_at_time":10.5001,` +
		`"purchased_at":"2026-01-02T03:04:05.678901Z","total_price":21.0002,"purchase_ts":"2026-01-02T03:04:05.678901Z"}`
	if w := s.do("GET", "/purchases/old-1", ""); w.Code != 200 || strings.TrimSpace(w.Body.String()) != old {
		t.Errorf("answer is %d %s", w.Code, w.Body)
	}
	for query, want := range map[string]string{
		"": "old-3 old-2 old-1", "?customer_id=7": "old-2 old-1", "?product_id=lamp": "old-3 old-1", "?product_id=lamp&customer_id=7": "old-1",
		"?skip=1&limit=1": "old-2", "?customer_id=8": "",
	} {
		if got := strings.Join(ids(t, s.do("GET", "/purchases"+query, "")), " "); got != want {
			t.Errorf("%q lists %s, want %s", query, got, want)
		}
	}
	page := s.do("GET", "/purchases?limit=1&product_id=lamp", "")
	next := strings.TrimPrefix(strings.TrimSuffix(page.Header().Get("Link"), `>; rel="next"`), "</api/v1")
	if got := ids(t, s.do("GET", next, "")); !slices.Equal(got, []string{"old-1"}) {
		t.Errorf("behind %s is %v", next, got)
	}
	s.want(204, "DELETE", "/purchases/old-1", "")
	s.refused(404, "GET", "/purchases/old-1", "") // though ClickHouse has not heard of it
	s.refused(404, "DELETE", "/purchases/old-1", "")
	s.wantStock(3)
	var event string
	if err := s.store.Pool().QueryRow(t.Context(), `SELECT convert_from(payload, 'UTF8') FROM outbox WHERE key = 'old-1'`).Scan(&event); err != nil {
		t.Fatal(err)
	}
	if event != `{"id":"old-1","deleted":true,"purchased_at":"2026-01-02T03:04:05.678901Z"}` {
		t.Errorf("the event is %s", event)
	}
	for _, id := range []string{"unknown", "a%00b", "%ff", "a'b", "%5C"} {
		s.refused(404, "GET", "/purchases/"+id, "")
		s.refused(404, "DELETE", "/purchases/"+id, "")
	}
	for _, query := range []string{"cursor=x", "limit=0", "customer_id=x", "skip=-1", "product_id=" + strings.Repeat("x", 201)} {
		s.refused(422, "GET", "/purchases?"+query, "")
	}
	if got := ids(t, s.do("GET", "/purchases?product_id=%ff%00%27", "")); len(got) > 0 {
		t.Errorf("a product that cannot be has %v", got)
	}
}

func TestThePurchaseIsWhatTheLatestEventSaysWhoeverSentIt(t *testing.T) {
	dsn := purchasesOfOld(t)
	s := newPurchaseShop(t, dsn)
	options, err := clickhouse.ParseDSN(dsn)
	if err != nil {
		t.Fatal(err)
	}
	db := clickhouse.OpenDB(options)
	defer db.Close()
	// as the sink of the stream does it: first where to look, then the row
	event := func(id string, version, quantity, deleted int, row bool) {
		t.Helper()
		execute(t, db, fmt.Sprintf(`INSERT INTO purchase_day_index (id, day, version, seen_at) VALUES ('%s', '2026-01-02', %d, now64(9))`, id, version))
		if row {
			execute(t, db, fmt.Sprintf(`INSERT INTO purchases (id, product_id, customer_id, seller_id, quantity, price_at_time, purchased_at, purchase_date, version, is_deleted) VALUES
				('%s', 'lamp', 1, 2, %d, 19.99, '2026-01-02 03:04:05', '2026-01-02', %d, %d)`, id, quantity, version, deleted))
		}
	}
	sell := func(id string) {
		t.Helper()
		s.want(201, "POST", "/purchases", fmt.Sprintf(`{"id":%q,"product_id":"lamp","customer_id":1,"seller_id":2,"quantity":1,"purchased_at":"2026-01-02T03:04:05Z"}`, id))
		if _, err := s.store.Pool().Exec(t.Context(), `UPDATE purchases SET created_at = now() - interval '3 seconds' WHERE id = $1`, id); err != nil {
			t.Fatal(err)
		}
	}
	wantQuantity := func(id string, want float64) {
		t.Helper()
		if got := s.want(200, "GET", "/purchases/"+id, "")["quantity"]; got != want {
			t.Errorf("%s has quantity %v, want %v", id, got, want)
		}
	}
	sell("corrected")
	wantQuantity("corrected", 1) // ClickHouse has not heard of it
	event("corrected", 10, 1, 0, true)
	event("corrected", 10, 1, 0, true) // delivered twice
	wantQuantity("corrected", 1)
	event("corrected", 12, 7, 0, false) // on its way
	wantQuantity("corrected", 1)
	event("corrected", 12, 7, 0, true)
	wantQuantity("corrected", 7)

	sell("deleted")
	event("deleted", 20, 1, 0, true)
	event("deleted", 22, 0, 1, true)
	s.refused(404, "GET", "/purchases/deleted", "")

	// what was sent in bulk under the id before is not what was sold, whenever ClickHouse hears of it
	event("known", 30, 5, 0, true)
	execute(t, db, `ALTER TABLE purchase_day_index UPDATE seen_at = now64(9) - INTERVAL 1 HOUR WHERE id = 'known' SETTINGS mutations_sync = 2`)
	wantQuantity("known", 5)
	sell("known")
	wantQuantity("known", 1)
	event("known", 32, 1, 0, true)
	wantQuantity("known", 1)
	event("known", 34, 6, 0, true)
	wantQuantity("known", 6)
	s.wantStock(0)
}

func TestAPurchaseThatWasSoldIsShownThoughClickHouseIsAway(t *testing.T) {
	s := newPurchaseShop(t, away)
	id := s.want(201, "POST", "/purchases", twoLamps)["id"].(string)
	if _, err := s.store.Pool().Exec(t.Context(), `UPDATE purchases SET created_at = now() - interval '1 day'`); err != nil {
		t.Fatal(err)
	}
	s.want(200, "GET", "/purchases/"+id, "")
}

func ids(t *testing.T, w interface{ Result() *http.Response }) (ids []string) {
	t.Helper()
	r := w.Result()
	defer r.Body.Close()
	var page []struct {
		ID string `json:"id"`
	}
	if err := json.NewDecoder(r.Body).Decode(&page); err != nil || r.StatusCode != http.StatusOK {
		t.Fatal(r.StatusCode, err)
	}
	for _, p := range page {
		ids = append(ids, p.ID)
	}
	return ids
}

func TestPurchasesAnswer503WhileClickHouseIsAway(t *testing.T) {
	s := newPurchaseShop(t, away)
	for _, request := range []string{"GET /purchases", "GET /purchases/unknown", "DELETE /purchases/unknown"} {
		method, path, _ := strings.Cut(request, " ")
		if w := s.do(method, path, ""); wantProblem(t, w, 503).Detail == "" || w.Header().Get("Retry-After") == "" {
			t.Errorf("%s: %s", request, w.Body)
		}
	}
}

func TestPurchasesNeedTheScopeOfWhatIsDone(t *testing.T) {
	s := newPurchaseShop(t, away)
	for scope, requests := range map[string][]string{
		auth.ScopeRead: {"POST /purchases", "DELETE /purchases/a"}, auth.ScopeWrite: {"GET /purchases", "GET /purchases/a"},
	} {
		s.allow(scope)
		for _, request := range requests {
			method, path, _ := strings.Cut(request, " ")
			wantProblem(t, s.do(method, path, twoLamps), http.StatusForbidden)
		}
	}
}
