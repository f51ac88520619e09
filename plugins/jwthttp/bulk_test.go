package jwthttp_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redpanda-data/benthos/v4/public/service"

	"github.com/shop-connect/shop-connect/api"
	"github.com/shop-connect/shop-connect/internal/contract"
	"github.com/shop-connect/shop-connect/internal/quarantine"
	"github.com/shop-connect/shop-connect/internal/record"
)

const (
	goodRow  = `{"id":"p-1","product_id":"85123A","customer_id":17850,"seller_id":3,"quantity":6,"price_at_time":2.55,"purchased_at":"2010-12-01T08:26:00"}`
	noIDRow  = `{"product_id":"85123A","customer_id":17850,"seller_id":3,"quantity":6,"price_at_time":2.55,"purchased_at":"2010-12-01T08:26:00"}`
	bareRow  = `{"id":null, "product_id":456,"customer_id":17850,"seller_id":3,"quantity":6,"price_at_time":"2.55","purchased_at":null }`
	badRow   = `{"id":"p-2","product_id":"85123A","customer_id":17850,"seller_id":3,"quantity":0,"price_at_time":"x"}`
	goneRow  = `{"id":"p-1","deleted":true}`
	blankRow = `{}`
)

type bulkAnswer struct {
	SuccessCount int `json:"success_count"`
	ErrorCount   int `json:"error_count"`
	Errors       []struct {
		Index   int               `json:"index"`
		ID      string            `json:"id"`
		Reasons []contract.Reason `json:"reasons"`
	} `json:"errors"`
}

// collector keeps what it acknowledges, a message a row.
type collector struct {
	mu       sync.Mutex
	messages service.MessageBatch
}

func (c *collector) take(_ context.Context, batch service.MessageBatch) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	for row, err := range record.Rows(batch) {
		if err != nil {
			return err
		}
		c.messages = append(c.messages, row.Message())
	}
	return nil
}

// inOrder brings the rows of one body into its order: the refused ones come last, and say where they stood.
func (c *collector) inOrder(t testing.TB) service.MessageBatch {
	t.Helper()
	var rows, refused service.MessageBatch
	for _, m := range c.messages {
		if meta(m, quarantine.MetaBy) == "" {
			if len(refused) > 0 {
				t.Fatal("a good row comes behind refused ones")
			}
			rows = append(rows, m)
		} else {
			refused = append(refused, m)
		}
	}
	for _, m := range refused {
		_, at, _ := strings.Cut(meta(m, quarantine.MetaSource), "#")
		i, err := strconv.Atoi(at)
		if err != nil || i > len(rows) {
			t.Fatalf("a refused row stood at %q", meta(m, quarantine.MetaSource))
		}
		rows = slices.Insert(rows, i, m)
	}
	return rows
}

func text(t testing.TB, m *service.Message) string {
	t.Helper()
	b, err := m.AsBytes()
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func meta(m *service.Message, name string) string {
	v, _ := m.MetaGet(name)
	return v
}

func wantProblem(t testing.TB, w *httptest.ResponseRecorder, status int) api.Problem {
	t.Helper()
	if w.Code != status || w.Header().Get("Content-Type") != "application/problem+json" {
		t.Fatalf("answer is %d %s: %s; want a problem of status %d", w.Code, w.Header().Get("Content-Type"), w.Body, status)
	}
	if status == http.StatusServiceUnavailable && w.Header().Get("Retry-After") == "" {
		t.Error("503 without Retry-After")
	}
	return decode[api.Problem](t, w.Body)
}

func bulk(rows ...string) string { return `{"purchases":[` + strings.Join(rows, ",") + `]}` }

func TestGoodRowsBecomeMessagesOfTheirBytes(t *testing.T) {
	shop, got := newShop(t), &collector{}
	shop.run(t, input(purchases), got.take)
	w := shop.post(t, "\n{\"note\":[{}], \"purchases\" : [ "+goodRow+" ,\n\t"+goneRow+"\n] }\n")
	if w.Code != 200 || w.Body.String() != `{"success_count":2,"error_count":0,"errors":null}` {
		t.Fatalf("answer is %d %s", w.Code, w.Body)
	}
	if len(got.messages) != 2 || text(t, got.messages[0]) != goodRow || text(t, got.messages[1]) != goneRow {
		t.Fatalf("messages are %v", got.messages)
	}
	for _, m := range got.messages {
		if meta(m, record.MetaEntityID) != "p-1" {
			t.Errorf("entity id is %q", meta(m, record.MetaEntityID))
		}
	}
}

// I4: no row vanishes.
func TestI4RefusedRowsAreNamedAndKeptWithTheirBytes(t *testing.T) {
	shop, got := newShop(t), &collector{}
	shop.run(t, input(purchases), got.take)
	r := httptest.NewRequest(http.MethodPost, bulkPath, strings.NewReader(bulk(badRow, goodRow, `17`, blankRow, `{"deleted":true}`)))
	r.Header = shop.header(t)
	r.Header.Set("X-Request-Id", "req-9")
	w := httptest.NewRecorder()
	shop.server.ServeHTTP(w, r)
	answer := decode[bulkAnswer](t, w.Body)
	if w.Code != 200 || answer.SuccessCount != 1 || answer.ErrorCount != 4 || len(answer.Errors) != 4 || len(got.messages) != 5 {
		t.Fatalf("answer is %d %+v, %d messages", w.Code, answer, len(got.messages))
	}
	first := answer.Errors[0]
	if first.Index != 0 || first.ID != "p-2" || len(first.Reasons) != 2 || first.Reasons[0].Field != "price_at_time" || first.Reasons[1].Field != "quantity" {
		t.Errorf("the first refusal is %+v", first)
	}
	for _, r := range answer.Errors[2].Reasons {
		if r.Field == "id" || r.Field == "purchased_at" {
			t.Errorf("a row is refused for what the API fills in: %+v", r)
		}
	}
	rows := got.inOrder(t)
	for i, wantBytes := range map[int]string{0: badRow, 2: `17`, 3: blankRow, 4: `{"deleted":true}`} {
		m := rows[i]
		if text(t, m) != wantBytes {
			t.Errorf("row %d: bytes are %s", i, text(t, m))
		}
		if meta(m, quarantine.MetaBy) != "api" || meta(m, quarantine.MetaEntity) != "purchases" || meta(m, quarantine.MetaVersion) != "1" ||
			meta(m, quarantine.MetaSource) != fmt.Sprintf("req-9#%d", i) || !strings.Contains(meta(m, quarantine.MetaReasons), `"rule"`) {
			t.Errorf("row %d: is not marked: %q", i, meta(m, quarantine.MetaReasons))
		}
	}
	if meta(rows[1], quarantine.MetaReasons) != "" {
		t.Error("a good row is marked")
	}
}

func TestAnswerToAllKindsOfBodies(t *testing.T) {
	for _, tc := range []struct {
		name, kind, body string
		status           int
		says             string
	}{
		{"empty array", "application/json", bulk(), 200, `{"success_count":0,"error_count":0,"errors":null}`},
		{"all bad", "application/json; charset=utf-8", bulk(badRow, badRow), 200, `"success_count":0,"error_count":2`},
		{"no body", "application/json", "", 400, "empty"},
		{"white space", "application/json", " \n", 400, "empty"},
		{"not JSON", "application/json", "hello", 400, "at byte 0, line 1, column 1"},
		{"cut off", "application/json", bulk(goodRow)[:40], 400, "unexpected end"},
		{"missing comma", "application/json", "{\"purchases\":[\n" + goodRow + "\n  " + goodRow + "]}", 400, "line 3, column 3"},
		{"malformed row", "application/json", bulk(goodRow, `{"id":}`), 400, "byte"},
		{"comma behind", "application/json", bulk(goodRow, ""), 400, "byte"},
		{"two bodies", "application/json", bulk() + bulk(), 400, "byte"},
		{"garbage behind", "application/json", bulk() + "x", 400, "byte"},
		{"byte order mark", "application/json", "\ufeff" + bulk(), 400, "byte"},
		{"deep nesting", "application/json", bulk(strings.Repeat("[", 100_000)), 400, "body"},
		{"deep nesting elsewhere", "application/json", `{"x":` + strings.Repeat(`{"a":`, 40_000), 400, "body"},
		{"deep row", "application/json", bulk(strings.Repeat("[", 9_000) + strings.Repeat("]", 9_000)), 200, `"error_count":1`},
		{"array", "application/json", "[" + goodRow + "]", 422, "must be an object"},
		{"number", "application/json", "1", 422, "must be an object"},
		{"null", "application/json", "null", 422, "must be an object"},
		{"rows absent", "application/json", `{"purchase":[]}`, 422, "body.purchases"},
		{"rows null", "application/json", `{"purchases":null}`, 422, "must be an array"},
		{"rows an object", "application/json", `{"purchases":` + goodRow + `}`, 422, "must be an array"},
		{"rows twice", "application/json", `{"purchases":[],"purchases":[]}`, 422, "twice"},
		{"rows in another case", "application/json", `{"Purchases":[]}`, 422, "body.purchases"},
		{"form", "application/x-www-form-urlencoded", bulk(), 415, "application/json"},
		{"no type", "", bulk(), 415, "application/json"},
		{"broken type", "application/json;;=", bulk(), 415, "application/json"},
		{"other JSON", "application/ld+json", bulk(), 415, "application/json"},
		{"too many rows", "application/json", bulk(strings.Split(strings.Repeat("0,", 100)+"0", ",")...), 413, "100 rows"},
		{"long row", "application/json", bulk(goodRow, `"`+strings.Repeat("x", 2000)+`"`), 413, "body.purchases[1]"},
		{"oversized", "application/json", bulk(`"` + strings.Repeat("x", 300_000) + `"`), 413, "250000 bytes"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			shop, got := newShop(t), &collector{}
			shop.run(t, input(purchases+"\nmax_body_bytes: 250000\nmax_rows: 100\nmax_row_bytes: 2000"+map[bool]string{true: "0"}[tc.name == "deep row"]), got.take)
			for _, chunked := range []bool{false, true} {
				r := httptest.NewRequest(http.MethodPost, bulkPath, strings.NewReader(tc.body))
				r.Header = shop.header(t)
				r.Header["Content-Type"] = []string{tc.kind}
				if chunked {
					r.ContentLength = -1
				}
				w := httptest.NewRecorder()
				shop.server.ServeHTTP(w, r)
				body := w.Body.String()
				if tc.status != 200 {
					wantProblem(t, w, tc.status)
					if len(got.messages) > 0 {
						t.Errorf("a body that is refused leaves %d messages", len(got.messages))
					}
				}
				if w.Code != tc.status || !strings.Contains(body, tc.says) {
					t.Errorf("chunked %v: answer is %d %s; want %d with %q", chunked, w.Code, body, tc.status, tc.says)
				}
			}
		})
	}
}

func TestWhatIsMissingIsFilledInByTheContract(t *testing.T) {
	shop, got := newShop(t), &collector{}
	shop.run(t, input(purchases), got.take)
	before := time.Now().Truncate(time.Microsecond)
	if w := shop.post(t, bulk(noIDRow, bareRow, goodRow)); w.Code != 200 || !strings.Contains(w.Body.String(), `"success_count":3`) {
		t.Fatalf("answer is %d %s", w.Code, w.Body)
	}
	for i, m := range got.messages {
		var row struct {
			ID          string    `json:"id"`
			ProductID   any       `json:"product_id"`
			PurchasedAt time.Time `json:"purchased_at"`
		}
		if i == 2 {
			if text(t, m) != goodRow {
				t.Errorf("a whole row is changed: %s", text(t, m))
			}
			continue
		}
		raw := strings.ReplaceAll(text(t, m), `"2010-12-01T08:26:00"`, `"2010-12-01T08:26:00Z"`)
		if err := json.Unmarshal([]byte(raw), &row); err != nil {
			t.Fatalf("%s: %v", raw, err)
		}
		if len(row.ID) != 36 || row.ID[14] != '7' || row.ID != meta(m, record.MetaEntityID) {
			t.Errorf("row %d: id is %q, entity id %q", i, row.ID, meta(m, record.MetaEntityID))
		}
		if i == 1 && (row.PurchasedAt.Before(before) || time.Since(row.PurchasedAt) > time.Minute) {
			t.Errorf("row %d: purchased_at is %v", i, row.PurchasedAt)
		}
	}
}

func TestGeneratedIDsAreUniqueAndOrderedByTime(t *testing.T) {
	shop, got := newShop(t), &collector{}
	shop.run(t, input(purchases), got.take)
	rows := strings.Split(strings.TrimSuffix(strings.Repeat(noIDRow+"\n", 500), "\n"), "\n")
	for range 4 {
		if w := shop.post(t, bulk(rows...)); w.Code != 200 {
			t.Fatal(w.Code, w.Body)
		}
	}
	last := ""
	for _, m := range got.messages {
		id := meta(m, record.MetaEntityID)
		if id <= last {
			t.Fatalf("%q comes after %q", id, last)
		}
		if !strings.Contains(text(t, m), `"id":"`+id+`"`) {
			t.Fatalf("the id %q is not in %s", id, text(t, m))
		}
		last = id
	}
	if len(got.messages) != 2000 {
		t.Errorf("%d messages", len(got.messages))
	}
}

func TestReasonsOfARowAreBounded(t *testing.T) {
	shop, got := newShop(t), &collector{}
	shop.run(t, input(purchases), got.take)
	w := shop.post(t, bulk(`{`+strings.Repeat(`"quantity":"x",`, 5000)+`"id":"p-1"}`))
	answer := decode[bulkAnswer](t, w.Body)
	if answer.ErrorCount != 1 || len(answer.Errors[0].Reasons) > 20 || len(meta(got.messages[0], quarantine.MetaReasons)) > 4096 {
		t.Errorf("%d reasons, %d bytes of metadata", len(answer.Errors[0].Reasons), len(meta(got.messages[0], quarantine.MetaReasons)))
	}
}

func TestSingleRowIsAnsweredWithItsID(t *testing.T) {
	shop, got := newShop(t), &collector{}
	shop.run(t, input(strings.ReplaceAll(purchases, "rows_at: purchases", "")), got.take)
	if w := shop.post(t, " "+goodRow+"\n"); w.Code != 202 || w.Body.String() != `{"id":"p-1"}` {
		t.Errorf("answer is %d %s", w.Code, w.Body)
	}
	w := shop.post(t, noIDRow)
	if id := decode[map[string]string](t, w.Body)["id"]; w.Code != 202 || len(id) != 36 {
		t.Errorf("answer is %d, id %q", w.Code, id)
	}
	p := wantProblem(t, shop.post(t, badRow), http.StatusUnprocessableEntity)
	if len(p.Errors) != 2 || p.Errors[0].Location != "body.price_at_time" {
		t.Errorf("problem is %+v", p)
	}
	wantProblem(t, shop.post(t, `{"id":`), http.StatusBadRequest)
	if len(got.messages) != 3 || meta(got.messages[2], quarantine.MetaBy) != "api" {
		t.Errorf("%d messages", len(got.messages))
	}
}

func TestEndpointIsInTheOpenAPIDocument(t *testing.T) {
	shop, got := newShop(t), &collector{}
	shop.run(t, input(purchases), got.take)
	w := httptest.NewRecorder()
	shop.server.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/openapi.json", nil))
	type schema struct {
		Type       string
		Required   []string
		Properties map[string]struct {
			Items struct {
				AnyOf []struct{ Required []string }
			}
		}
	}
	doc := decode[struct {
		Paths map[string]map[string]struct {
			Security    []map[string][]string
			RequestBody struct {
				Content map[string]struct{ Schema schema }
			}
			Responses map[string]any
		}
	}](t, w.Body)
	op := doc.Paths[bulkPath]["post"]
	if op.RequestBody.Content["application/x-ndjson"].Schema.Type != "string" {
		t.Error("bodies of lines are not documented")
	}
	rows := op.RequestBody.Content["application/json"].Schema.Properties["purchases"].Items.AnyOf
	if want := "customer_id price_at_time product_id quantity seller_id"; len(rows) == 0 || strings.Join(rows[0].Required, " ") != want {
		t.Errorf("rows are %v, want one with the members %s", rows, want)
	}
	for _, status := range []string{"200", "400", "401", "403", "413", "415", "422", "503"} {
		if op.Responses[status] == nil {
			t.Errorf("answer %s is not documented", status)
		}
	}
	if len(op.Security) == 0 {
		t.Error("the token is not documented")
	}
}
