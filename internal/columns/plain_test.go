package columns

import (
	"bytes"
	"encoding/json"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/shop-connect/shop-connect/internal/contract"
)

func load(t testing.TB, entity string) *contract.Contract {
	t.Helper()
	raw, err := os.ReadFile("../../pipelines/contracts/" + entity + ".yaml")
	if err != nil {
		t.Fatal(err)
	}
	c, err := contract.Parse(raw)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

var plainRows = []string{
	`{"id":"p-1","product_id":"85123A","customer_id":17850,"seller_id":3,"quantity":6,"price_at_time":2.55,"purchased_at":"2010-12-01T08:26:00"}`,
	`{"product_id":456,"customer_id":17850,"seller_id":3,"quantity":6.0e0,"price_at_time":"2.5500","purchased_at":null}, {"id":1}`,
	` { "id" : "кружка" , "id":"b", "note" : -0.5E+7, "flag":true, "quantity":0 } `,
	`{"id":"1","name":"Mug","category":"Kitchen","price":2.5,"stock":3}`,
	`{}`, `{"quantity":1}x`,
}

var otherRows = []string{
	`{"id":"a\u0062"}`, `{"i\u0064":"a"}`, `{"id":{}}`, `{"other":[1]}`, `{"id":"p-1","deleted":true}`, `{"quantity":007}`, `{"quantity":1.}`, `{"quantity":-}`,
	`{"quantity":1e}`, `{"quantity":"1"}`, `{"quantity":1.5}`, `{"quantity":99999999999999999999}`, `{"product_id":1.0}`, `{"product_id":-0}`, `{"product_id":9999999999999999999}`,
	`{"id":"a}`, `{"id":"a"`, `{"id"}`, `{"id":}`, `{"id":nul}`, `{,}`, `{"id":"a",}`, `{"id":"a" "quantity":1}`, `{"id":tru}`, `{"other":fals}`, "{\"id\":\"\x01\"}", "{\"id\":\"\xff\"}",
	"{\"\xff\":1}", `{"purchased_at":"yesterday"}`, `{"price_at_time":1.23456}`, `[]`, ``, `{`, `"`, `{"id":true}`,
}

func TestPlainRowsAreReadInOnePass(t *testing.T) {
	for i, row := range plainRows {
		entity := map[bool]string{true: "products", false: "purchases"}[i == 3]
		if NewDecoder(load(t, entity), Valid, time.UTC).plain([]byte(row)) == 0 {
			t.Errorf("not plain: %s", row)
		}
	}
	for _, row := range otherRows {
		if n := NewDecoder(load(t, "purchases"), Valid, time.UTC).plain([]byte(row)); n > 0 {
			t.Errorf("plain up to %d: %s", n, row)
		}
	}
}

// What a row says does not depend on the row before it, whose names are remembered.
func TestRowsOfOtherShapesFollowEachOther(t *testing.T) {
	rows := slices.Concat(plainRows, otherRows, []string{
		`{"id":"x","note":"a","quantity":1}`, `{"id":"x","quantity":1,"note":"a"}`, `{"id":"x" , "note" :"a", "quantity"  : 1}`,
		`{"note":"x","id":"a","quantity":1}`, `{"id":"x","notes":"a","quantity":1}`, `{"id":"x","deleted":false,"quantity":1}`, `{"id":"x","note"`,
		`{"id":"x","` + strings.Repeat("long", 40) + `":"a","quantity":1,"seller_id":2}`,
	})
	c := load(t, "purchases")
	for _, before := range rows {
		for _, row := range rows {
			used, fresh := NewDecoder(c, Valid, time.UTC), NewDecoder(c, Valid, time.UTC)
			used.plain([]byte(before))
			if got, want := used.plain([]byte(row)), fresh.plain([]byte(row)); got != want {
				t.Errorf("%s behind %s: plain up to %d, should be %d", row, before, got, want)
			}
			if !slices.Equal(used.cells, fresh.cells) {
				t.Errorf("%s behind %s: %+v, should be %+v", row, before, used.cells, fresh.cells)
			}
		}
	}
}

// FuzzPlain holds the quick way of reading a row against the JSON library's.
func FuzzPlain(f *testing.F) {
	for _, row := range append(plainRows, otherRows...) {
		f.Add([]byte(row))
	}
	var pairs [][2]*Decoder
	for _, entity := range []string{"purchases", "products", "customers", "purchase_product_facts"} {
		c := load(f, entity)
		now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
		quick, sure := NewDecoder(c, Valid, time.UTC), NewDecoder(c, Valid, time.UTC)
		quick.SetNow(now)
		sure.SetNow(now)
		pairs = append(pairs, [2]*Decoder{quick, sure})
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, pair := range pairs {
			quick, sure := pair[0], pair[1]
			n, reasons := quick.DecodeFirst(data)
			if n == 0 {
				continue
			}
			if !json.Valid(data[:n]) {
				t.Fatalf("%q is no JSON", data[:n])
			}
			if want := sure.decode(data[:n]); !slices.Equal(reasons, want) {
				t.Fatalf("%q: reasons %v, should be %v", data[:n], reasons, want)
			}
			for i := range quick.cells {
				a, b := quick.cells[i], sure.cells[i]
				if a.set != b.set || a.value != b.value || !bytes.Equal(quick.Text(i), sure.Text(i)) {
					t.Fatalf("%q: %s is %+v %q, should be %+v %q", data[:n], quick.contract.Fields[i].Name, a, quick.Text(i), b, sure.Text(i))
				}
			}
		}
	})
}

func BenchmarkDecode(b *testing.B) {
	row := []byte(plainRows[0])
	for name, read := range map[string]func(*Decoder) []contract.Reason{
		"plain": func(d *Decoder) []contract.Reason { return d.Decode(row) },
		"any":   func(d *Decoder) []contract.Reason { return d.decode(row) },
	} {
		b.Run(name, func(b *testing.B) {
			d := NewDecoder(load(b, "purchases"), Valid, time.UTC)
			b.SetBytes(int64(len(row)))
			for b.Loop() {
				if len(read(d)) > 0 {
					b.Fatal("refused")
				}
			}
		})
	}
}
