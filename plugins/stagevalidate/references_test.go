package stagevalidate

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/redpanda-data/benthos/v4/public/service"

	"github.com/shop-connect/shop-connect/internal/contract"
	"github.com/shop-connect/shop-connect/internal/store"
)

// know enters customers, sellers and products in the database.
func (l *lake) know(customers, sellers []int64, products ...string) {
	l.Helper()
	for table, keys := range map[string]any{"customers": customers, "sellers": sellers, "products": products} {
		insert := map[string]string{
			"customers": `INSERT INTO customers (customer_id, first_name, last_name, email) SELECT k, 'A', 'B', k || '@example.com' FROM unnest($1::bigint[]) AS k`,
			"sellers":   `INSERT INTO sellers (id, name, email, phone, address) SELECT k, 'A', 'a@example.com', '1', 'B' FROM unnest($1::bigint[]) AS k`,
			"products":  `INSERT INTO products (id, name, category, price, stock) SELECT k, 'A', 'B', 1, 1 FROM unnest($1::text[]) AS k`,
		}[table]
		if _, err := l.ledger.Pool().Exec(l.Context(), insert, keys); err != nil {
			l.Fatal(err)
		}
	}
}

// knowGood enters what the good rows refer to.
func (l *lake) knowGood() {
	l.Helper()
	var products []string
	for n := range 10 {
		products = append(products, fmt.Sprintf("prod-%d", n))
	}
	l.know([]int64{7}, []int64{3}, products...)
}

// refuseUnknown makes a contract of purchases that refuses unknown references.
func (l *lake) refuseUnknown() *processor {
	l.Helper()
	text, err := os.ReadFile(contractPath)
	if err != nil {
		l.Fatal(err)
	}
	path := filepath.Join(l.TempDir(), "purchases.yaml")
	if err := os.WriteFile(path, bytes.ReplaceAll(text, []byte("unknown: warn"), []byte("unknown: refuse")), 0o600); err != nil {
		l.Fatal(err)
	}
	l.yaml = strings.Replace(l.yaml, contractPath, path, 1)
	return l.newProcessor()
}

// row is a row with references; the product stands as JSON writes it.
func row(offset int64, product string, customer, seller int64) rawRow {
	return rawRow{offset, fmt.Sprintf(`{"id":"p-%d","product_id":"%s","customer_id":%d,"seller_id":%d,"quantity":6,"price_at_time":"19.9900","purchased_at":"2026-01-02T05:20:48Z"}`, offset, product, customer, seller)}
}

func (l *lake) wantWarnings(got, want map[string]int64) {
	l.Helper()
	if !maps.Equal(got, want) {
		l.Fatalf("warnings are %v, want %v", got, want)
	}
}

func TestUnknownReferencesAreCountedAndTheirRowsPass(t *testing.T) {
	l := newLake(t)
	l.know([]int64{1, 2, 1 << 40}, []int64{3}, "known")
	rows := []rawRow{
		row(0, "known", 1, 3), row(1, "unknown", 2, 3), row(2, "known", 99, 3), row(3, "unknown", 1<<40, 4),
		{4, `{"id":"p-4","deleted":true}`},
		{5, `{"id":"p-5","product_id":"unknown","customer_id":98,"seller_id":5,"quantity":0}`}, // refused, for its quantity
		row(6, `a\u0000b`, 97, 6), // refused, for what no layer keeps
	}
	const run = "01900000-0000-7000-8000-00000000000b"
	if err := l.ledger.CreateRun(t.Context(), run, "copy", nil); err != nil {
		t.Fatal(err)
	}
	clean := l.put(rawKey(day, 100), encode(t, "purchases", row(100, "unknown", 97, 3), row(101, "known", 1, 3)))
	mixed := l.put(rawKey(day, 0), encode(t, "purchases", rows...))
	for _, msg := range []*service.Message{clean, mixed} {
		msg.MetaSetMut(store.MetaRunID, run)
	}
	reports := l.process(l.processor, clean, mixed)
	l.wantWarnings(reports[0].Warnings, map[string]int64{"product_id": 1, "customer_id": 1})
	l.wantWarnings(reports[1].Warnings, map[string]int64{"product_id": 2, "customer_id": 1, "seller_id": 1})
	if r := reports[1]; r.RowsOut != 5 || r.RowsRefused != 2 {
		t.Fatalf("got %+v", r)
	}
	if !bytes.Equal(l.get(l.stage, reports[0].StageKey), l.get(l.raw, rawKey(day, 100))) {
		t.Error("an object whose rows all pass was not copied as it is")
	}
	entry, err := l.ledger.Run(t.Context(), run)
	if err != nil {
		t.Fatal(err)
	}
	l.wantWarnings(entry.Warnings, map[string]int64{"purchases.product_id": 3, "purchases.customer_id": 2, "purchases.seller_id": 1})
}

func TestUnknownReferencesAreRefusedWhereTheContractSaysSo(t *testing.T) {
	l := newLake(t)
	l.know([]int64{7}, []int64{3}, "prod-1")
	r := l.process(l.refuseUnknown(), l.put(rawKey(day, 0), encode(t, "purchases",
		row(0, "prod-1", 7, 3), row(1, "prod-2", 8, 3), row(2, "prod-1", 7, -3), row(3, "prod-1", 7, 4))))[0]
	if r.RowsOut != 1 || r.RowsRefused != 3 || len(r.Warnings) > 0 {
		t.Fatalf("got %+v", r)
	}
	want := [][]contract.Reason{
		{
			{Field: "product_id", Rule: contract.RuleReference, Message: `must be known among products, is "prod-2"`},
			{Field: "customer_id", Rule: contract.RuleReference, Message: `must be known among customers, is "8"`},
		},
		{{Field: "seller_id", Rule: contract.RuleRange, Message: "must be at least 1, is -3"}},
		{{Field: "seller_id", Rule: contract.RuleReference, Message: `must be known among sellers, is "4"`}},
	}
	for i, refused := range l.refusedRows() {
		var got []contract.Reason
		if err := json.Unmarshal([]byte(refused.Reasons), &got); err != nil || fmt.Sprint(got) != fmt.Sprint(want[i]) {
			t.Errorf("row %d: got %v, want %v (%v)", i, got, want[i], err)
		}
	}
}

func TestACustomerWhoCameJustBeforeThePurchaseIsKnown(t *testing.T) {
	for name, processor := range map[string]func(l *lake) *processor{
		"warn":   func(l *lake) *processor { return l.processor },
		"refuse": func(l *lake) *processor { return l.refuseUnknown() },
	} {
		t.Run(name, func(t *testing.T) {
			l := newLake(t)
			l.knowGood()
			p := processor(l)
			// the keys are read for the first object
			if r := l.process(p, l.put(rawKey(day, 0), encode(t, "purchases", goodRows(0, 9)...)))[0]; r.RowsOut != 10 || len(r.Warnings) > 0 {
				t.Fatalf("got %+v", r)
			}
			l.know([]int64{8}, []int64{4}, "new")
			r := l.process(p, l.put(rawKey(day, 10), encode(t, "purchases", row(10, "new", 8, 4), row(11, "prod-1", 7, 3))))[0]
			if r.RowsOut != 2 || len(r.Warnings) > 0 {
				t.Fatalf("got %+v", r)
			}
		})
	}
}

func TestI8ALatePurchaseOfADeletedCustomerRefersToNoStranger(t *testing.T) {
	l := newLake(t)
	l.knowGood()
	if err := l.ledger.DeleteCustomer(t.Context(), 7); err != nil {
		t.Fatal(err)
	}
	if err := l.ledger.DeleteProduct(t.Context(), "prod-1"); err != nil {
		t.Fatal(err)
	}
	if r := l.process(l.refuseUnknown(), l.put(rawKey(day, 0), encode(t, "purchases", goodRows(0, 9)...)))[0]; r.RowsOut != 10 {
		t.Fatalf("got %+v", r)
	}
}

func TestMoreUnknownKeysThanAreLookedUpForAWarningAreCounted(t *testing.T) {
	l := newLake(t)
	l.knowGood()
	l.process(l.processor, l.put(rawKey(day, 0), encode(t, "purchases", good(0))))
	var rows []rawRow
	for offset := range int64(3 * maxDoubts) {
		rows = append(rows, row(1+offset, fmt.Sprintf("unknown-%d", offset), 1000+offset, 3))
	}
	r := l.process(l.processor, l.put(rawKey(day, 1), encode(t, "purchases", rows...)))[0]
	l.wantWarnings(r.Warnings, map[string]int64{"product_id": 3 * maxDoubts, "customer_id": 3 * maxDoubts})
}

func TestTroubleWithTheKeysIsNoFaultOfTheObject(t *testing.T) {
	l := newLake(t)
	l.knowGood()
	msg := l.put(rawKey(day, 0), encode(t, "purchases", goodRows(0, 9)...))
	if _, err := l.ledger.Pool().Exec(t.Context(), `ALTER TABLE customers RENAME TO elsewhere`); err != nil {
		t.Fatal(err)
	}
	batches, err := l.processor.ProcessBatch(t.Context(), service.MessageBatch{msg}.Copy())
	if err != nil {
		t.Fatal(err)
	}
	if err := batches[0][0].GetError(); err == nil || !strings.Contains(err.Error(), "customers") {
		t.Fatalf("got %v", err)
	}
	if _, err := l.ledger.Pool().Exec(t.Context(), `ALTER TABLE elsewhere RENAME TO customers`); err != nil {
		t.Fatal(err)
	}
	if r := l.process(l.processor, msg)[0]; r.RowsOut != 10 || len(r.Warnings) > 0 {
		t.Fatalf("got %+v", r)
	}
}

func TestAReferenceToWhatHasNoKeysIsAFaultOfTheConfig(t *testing.T) {
	path := filepath.Join(t.TempDir(), "purchases.yaml")
	text := "entity: purchases\nversion: 1\nkey: id\nfields:\n  - { name: id, type: string }\n" +
		"  - { name: gift_of, type: string, references: purchases }\n  - { name: customer_id, type: string, references: customers }\n"
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := loadLayouts(path)
	for _, want := range []string{`"gift_of"`, "products, customers or sellers", `"customer_id"`, "no values of type string"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v does not say %s", err, want)
		}
	}
}

// BenchmarkReferences is the work on one object whose references are known, or all unknown.
func BenchmarkReferences(b *testing.B) {
	const rows = 400_000
	content := encode(b, "purchases", benchRows(rows, 0)...)
	for _, known := range []bool{true, false} {
		b.Run(fmt.Sprintf("known=%v", known), func(b *testing.B) {
			l := newLake(b)
			if known {
				l.knowMany()
			}
			f := memoryFile(b, content)
			f.source.ctx = b.Context()
			f.source.object.seen = time.Now()
			place, err := f.readPlace()
			if err != nil {
				b.Fatal(err)
			}
			p := l.open()
			before := cpuTime(b)
			for b.Loop() {
				x := &examiner{file: f, place: place, now: time.Now(), directory: p.directory}
				found, err := x.examine(nil)
				if found.close(); err != nil || found.counts.RowsIn != rows || (len(found.warnings) == 0) != known {
					b.Fatal(found.counts, found.warnings, err)
				}
			}
			b.ReportMetric(rows*float64(b.N)/(cpuTime(b)-before).Seconds(), "rows/cpu-s")
		})
	}
}

// knowMany enters what the rows of the benchmarks refer to, and more.
func (l *lake) knowMany() {
	l.Helper()
	for _, insert := range []string{
		`INSERT INTO customers (customer_id, first_name, last_name, email) SELECT k, 'A', 'B', k || '@example.com' FROM generate_series(1, 500000) AS k`,
		`INSERT INTO sellers (id, name, email, phone, address) SELECT k, 'A', 'a@example.com', '1', 'B' FROM generate_series(1, 1000) AS k`,
		`INSERT INTO products (id, name, category, price, stock) SELECT 'prod-' || k, 'A', 'B', 1, 1 FROM generate_series(0, 1000) AS k`,
	} {
		if _, err := l.ledger.Pool().Exec(l.Context(), insert); err != nil {
			l.Fatal(err)
		}
	}
}
