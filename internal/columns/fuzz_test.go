package columns_test

import (
	"bytes"
	"encoding/json"
	"io"
	"math/big"
	"path/filepath"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/shop-connect/shop-connect/internal/columns"
	"github.com/shop-connect/shop-connect/internal/contract"
)

// FuzzDecode compares with a slow reader that is known to be right: encoding/json for the syntax and the
// last of repeated members, math/big for numbers. What is taken has the same values there; a row that is
// refused leaves nothing behind; the fast way through plain rows and the other come to one verdict.
func FuzzDecode(f *testing.F) {
	const row = `{"id":"a","product_id":"85123A","customer_id":17850,"seller_id":3,"quantity":6,"price_at_time":2.55,"purchased_at":"2023-11-09T05:20:48Z"}`
	for _, seed := range []string{
		row, `{}`, `[]`, `null`, ``, `{"id":"\u00e9\ud83d\ude00","quantity":1e2}`, `{"id":"a","id":null,"product_id":456}`,
		`{"id":"a","deleted":true}`, `{"price_at_time":"19.9900","quantity":6.0,"customer_id":-0}`, `{"quantity":1.5}`, row + row, row + `{"":`,
		` { "id" : "x" , "other" : [ { "id" : 1 } ] , "seller_id" : 9223372036854775807 } `, `{"quantity":9223372036854775808}`,
		`{"\u0069d":"escaped name"}`, "{\"id\":\"\xff\"}", `{"price_at_time":1e-4}`, `{"price_at_time":0.00001}`, `{"deleted":false,"quantity":01}`,
	} {
		f.Add([]byte(seed))
	}
	c, err := contract.Load(filepath.Join("..", "..", "pipelines", "contracts", "purchases.yaml"))
	if err != nil {
		f.Fatal(err)
	}
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	strict, loose := columns.NewDecoder(c, columns.Valid, time.UTC), columns.NewDecoder(c, columns.Typed, time.UTC)
	strict.SetNow(now)
	loose.SetNow(now)
	f.Fuzz(func(t *testing.T, row []byte) {
		before := bytes.Clone(row)
		refusedLoosely := len(loose.Decode(row)) > 0
		reasons := strict.Decode(row)
		if !bytes.Equal(row, before) {
			t.Fatal("the row is changed")
		}
		if refusedLoosely && len(reasons) == 0 {
			t.Fatalf("%q has the wrong types and is valid", row)
		}
		members, object := slowly(row)
		if !object {
			if len(reasons) == 0 {
				t.Fatalf("%q is taken and is no JSON object", row)
			}
			return
		}
		for _, r := range reasons {
			if r.Rule == contract.RuleJSON && utf8.Valid(row) {
				t.Fatalf("%q is a JSON object, refused for %q", row, r.Message)
			}
		}
		if len(reasons) == 0 {
			compare(t, c, strict, members, row)
		}
		// spaces, and the order of looking, make no difference
		if again := strict.Decode(append([]byte(" "), append(bytes.Clone(row), '\n')...)); (len(again) == 0) != (len(reasons) == 0) {
			t.Fatalf("%q: %v, and between spaces %v", row, reasons, again)
		}
	})
}

// slowly reads one JSON object with the standard library; of repeated members the last counts.
func slowly(row []byte) (members map[string]any, object bool) {
	read := json.NewDecoder(bytes.NewReader(row))
	read.UseNumber()
	var value any
	if err := read.Decode(&value); err != nil {
		return nil, false
	}
	if _, err := read.Token(); err != io.EOF {
		return nil, false
	}
	members, object = value.(map[string]any)
	return members, object
}

func compare(t *testing.T, c *contract.Contract, d *columns.Decoder, members map[string]any, row []byte) {
	t.Helper()
	deleted, _ := members["deleted"].(bool)
	if d.Deleted() != deleted {
		t.Fatalf("%q: deleted is %v, want %v", row, d.Deleted(), deleted)
	}
	for i := range c.Fields {
		field := &c.Fields[i]
		value := members[field.Name]
		if deleted && i != c.Key && i != c.EventTime {
			value = nil
		}
		if d.Has(i) != (value != nil) {
			t.Fatalf("%q: %s is there: %v, want %v", row, field.Name, d.Has(i), value)
		}
		if value == nil {
			continue
		}
		switch field.Type {
		case contract.String:
			want, isText := value.(string)
			if number, isNumber := value.(json.Number); isNumber && field.AcceptInteger {
				want, isText = exactly(t, string(number), 1).String(), true
			}
			if !isText || string(d.Text(i)) != want {
				t.Fatalf("%q: %s is %q, want %v", row, field.Name, d.Text(i), value)
			}
		case contract.Int64, contract.Decimal:
			unit := int64(1)
			if field.Type == contract.Decimal {
				unit = 10_000
			}
			text, isText := value.(string)
			if number, isNumber := value.(json.Number); isNumber {
				text, isText = string(number), true
			}
			if !isText || exactly(t, text, unit).Cmp(big.NewInt(d.Int(i))) != 0 {
				t.Fatalf("%q: %s is %d, want %v times %d", row, field.Name, d.Int(i), value, unit)
			}
		case contract.Timestamp:
			text, _ := value.(string)
			if want, err := time.Parse(time.RFC3339Nano, text); err == nil && want.UnixMicro() != d.Int(i) {
				t.Fatalf("%q: %s is %d, want %d", row, field.Name, d.Int(i), want.UnixMicro())
			}
		}
	}
}

// exactly returns a number times a unit, without limits.
func exactly(t *testing.T, text string, unit int64) *big.Int {
	t.Helper()
	v, ok := new(big.Rat).SetString(text)
	if !ok {
		t.Fatalf("%q is no number", text)
	}
	if v.Mul(v, big.NewRat(unit, 1)); !v.IsInt() {
		t.Fatalf("%q times %d is not whole", text, unit)
	}
	return v.Num()
}
