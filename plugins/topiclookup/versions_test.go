package topiclookup_test

import (
	"fmt"
	"testing"

	"github.com/redpanda-data/benthos/v4/public/service"

	"github.com/shop-connect/shop-connect/internal/record"
)

func dimensions(addr string) string {
	return fmt.Sprintf(`
topic_lookup:
  seed_brokers: [%q]
  at: purchased_at
  lookups:
    - {topic: products, contract: %q, on: product_id, add: {name: name}, known: product_known}
    - {topic: sellers, contract: %q, on: seller_id, add: {seller: name}, known: seller_known}
    - {topic: customers, contract: %q, on: customer_id, add: {country: country}, known: customer_known}
`, addr, contractOf("products"), contractOf("sellers"), contractOf("customers"))
}

func rowsOf(t *testing.T, batch service.MessageBatch) (rows []string) {
	t.Helper()
	for row, err := range record.Rows(batch) {
		if err != nil {
			t.Fatal(err)
		}
		rows = append(rows, string(row.Value))
	}
	return rows
}

func TestARowGetsWhatWasTrueAtItsTime(t *testing.T) {
	addr, produce := startKafka(t)
	product := func(name, since string) string {
		return fmt.Sprintf(`{"id":"7","name":%q,"category":"c","price":1,"stock":3,"updated_at":%q}`, name, since)
	}
	produce("7", product("old", "2026-01-01T00:00:00Z"))
	produce("7", product("new", "2026-03-01T00:00:00Z"))
	produce("7", product("between", "2026-02-01T00:00:00Z")) // it comes late
	produce("7", product("between", "2026-02-02T00:00:00Z")) // only its stock has changed
	produce("7", `{"id":"7","deleted":true,"updated_at":"2026-04-01T00:00:00Z"}`)
	produce("7", product("again", "2026-05-01T00:00:00Z"))
	join := newConfiguredStream(t, dimensions(addr))
	for at, want := range map[string]string{
		"2025-01-01T00:00:00Z": "old", "2026-01-01T00:00:00Z": "old", "2026-01-31T23:59:59.999999Z": "old",
		"2026-02-01T00:00:00Z": "between", "2026-02-20T00:00:00Z": "between", "2026-03-01T00:00:00": "new",
		"2026-04-02T00:00:00Z": "", "2026-05-01T00:00:00Z": "again", "2030-01-01T00:00:00Z": "again", "not a time": "again",
	} {
		row := fmt.Sprintf(`{"product_id":7,"purchased_at":%q`, at)
		added := fmt.Sprintf(`,"name":%q,"product_known":true`, want)
		if want == "" {
			added = `,"name":null,"product_known":false`
		}
		got := rowsOf(t, join(service.MessageBatch{service.NewMessage([]byte(row + "}"))}))
		check(t, got, row+added+`,"seller":null,"seller_known":false,"country":null,"customer_known":false}`)
	}
}

func TestARowIsJoinedWithSeveralTopics(t *testing.T) {
	addr, produce := startKafka(t)
	produce("sellers/1", `{"id":1,"name":"Lamps Ltd"}`)
	produce("customers/1", `{"customer_id":1,"first_name":"Ada","last_name":"K","email":"a@b","country":"UK"}`)
	produce("customers/2", `{"customer_id":2,"first_name":"Bob","last_name":"K","email":"b@b"}`)
	join := newConfiguredStream(t, dimensions(addr))
	check(t, rowsOf(t, join(service.MessageBatch{
		service.NewMessage([]byte(`{"product_id":"7","seller_id":1,"customer_id":1}`)),
		service.NewMessage([]byte(`{"seller_id":"1","customer_id":2}`)),
		service.NewMessage([]byte(`{}`)),
	})),
		`{"product_id":"7","seller_id":1,"customer_id":1,"name":null,"product_known":false,"seller":"Lamps Ltd","seller_known":true,"country":"UK","customer_known":true}`,
		`{"seller_id":"1","customer_id":2,"name":null,"product_known":false,"seller":"Lamps Ltd","seller_known":true,"country":null,"customer_known":true}`,
		`{"name":null,"product_known":false,"seller":null,"seller_known":false,"country":null,"customer_known":false}`)
	// a change is seen by the next row
	for i := range 20 {
		produce("sellers/1", fmt.Sprintf(`{"id":1,"name":"name %d"}`, i))
		check(t, rowsOf(t, join(service.MessageBatch{service.NewMessage([]byte(`{"seller_id":1}`))})),
			fmt.Sprintf(`{"seller_id":1,"name":null,"product_known":false,"seller":"name %d","seller_known":true,"country":null,"customer_known":false}`, i))
	}
}
