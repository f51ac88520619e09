package columns_test

import (
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/shop-connect/shop-connect/internal/columns"
	"github.com/shop-connect/shop-connect/internal/contract"
)

func purchases(t testing.TB) *contract.Contract {
	t.Helper()
	c, err := contract.Load(filepath.Join("..", "..", "pipelines", "contracts", "purchases.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

const good = `{"id":"p-1","product_id":"85123A","customer_id":17850,"seller_id":3,"quantity":6,"price_at_time":2.55,"purchased_at":"2010-12-01T08:26:00"}`

func TestRowsBecomeColumns(t *testing.T) {
	c := purchases(t)
	d, b := columns.NewDecoder(c, columns.Valid, time.UTC), columns.NewBatch(c, 4)
	for i, row := range []string{
		good,
		` {"quantity":6.0,"price_at_time":"2.5500","purchased_at":"2010-12-01T10:26:00+02:00","seller_id":3,"customer_id":17850,"product_id":456,"unknown":{"a":[1]}} `,
		`{"id":"p-1","deleted":true,"quantity":"whatever"}`,
	} {
		reasons, err := d.Append(b, []byte(row), columns.Position{Topic: "purchases", Partition: 2, Offset: 40 + int64(i), Timestamp: 14_945 * 86_400_000_000}, i)
		if err != nil || len(reasons) > 0 {
			t.Fatalf("row %d: %v %v", i, reasons, err)
		}
	}
	price, quantity, at := c.Index("price_at_time"), c.Index("quantity"), c.Index("purchased_at")
	if got := b.Columns[price].Int; got[0] != 25500 || got[1] != 25500 || !b.Columns[price].Null[2] {
		t.Errorf("prices %v %v", got, b.Columns[price].Null)
	}
	if got := b.Columns[quantity].Int; got[0] != 6 || got[1] != 6 || b.Columns[quantity].Nulls != 1 {
		t.Errorf("quantities %v", got)
	}
	if got := b.Columns[at].Int; got[0] != got[1] {
		t.Errorf("the same moment in two zones differs: %v", got)
	}
	if key := string(b.Key(1)); key != "purchases-2-41" {
		t.Errorf("id of a record without one: %q", key)
	}
	if id := string(b.Columns[c.Index("product_id")].Text.At(1)); id != "456" {
		t.Errorf("integer product id: %q", id)
	}
	if b.Day[0] != 14944 || b.Day[2] != 14945 || !b.Deleted[2] || b.Deleted[0] {
		t.Errorf("days %v deleted %v", b.Day, b.Deleted)
	}
}

func TestRefusedRowsLeaveNoTraceAndSayEveryReason(t *testing.T) {
	c := purchases(t)
	for name, tc := range map[string]struct {
		row     string
		reasons []string
	}{
		"not JSON":            {`hello`, []string{"json"}},
		"cut off":             {good[:len(good)-5], []string{"json"}},
		"array":               {`[1]`, []string{"json"}},
		"two objects":         {good + good, []string{"json"}},
		"garbage behind":      {good + `x}`, []string{"json"}},
		"string begun behind": {good + `"x`, []string{"json"}},
		"empty":               {``, []string{"json"}},
		"empty object":        {`{}`, []string{"product_id:required", "customer_id:required", "seller_id:required", "quantity:required", "price_at_time:required", "purchased_at:required"}},
		"zero quantity":       {`{"product_id":"a","customer_id":1,"seller_id":1,"quantity":0,"price_at_time":1,"purchased_at":"2020-01-01"}`, []string{"quantity:range"}},
		"everything at once":  {`{"product_id":"","customer_id":-1,"seller_id":"x","quantity":1.5,"price_at_time":0.00001,"purchased_at":"soon"}`, []string{"seller_id:type", "quantity:type", "price_at_time:type", "purchased_at:type", "product_id:length", "customer_id:range"}},
		"price zero":          {`{"product_id":"a","customer_id":1,"seller_id":1,"quantity":1,"price_at_time":0,"purchased_at":"2020-01-01"}`, []string{"price_at_time:range"}},
		"price NaN":           {`{"product_id":"a","customer_id":1,"seller_id":1,"quantity":1,"price_at_time":"NaN","purchased_at":"2020-01-01"}`, []string{"price_at_time:type"}},
		"price of 15 digits":  {`{"product_id":"a","customer_id":1,"seller_id":1,"quantity":1,"price_at_time":123456789012345,"purchased_at":"2020-01-01"}`, []string{"price_at_time:type"}},
		"far future":          {`{"product_id":"a","customer_id":1,"seller_id":1,"quantity":1,"price_at_time":1,"purchased_at":"9999-01-01"}`, []string{"purchased_at:range"}},
		"year 1":              {`{"product_id":"a","customer_id":1,"seller_id":1,"quantity":1,"price_at_time":1,"purchased_at":"0001-01-01T00:00:00Z"}`, []string{"purchased_at:range"}},
		"30 February":         {`{"product_id":"a","customer_id":1,"seller_id":1,"quantity":1,"price_at_time":1,"purchased_at":"2020-02-30"}`, []string{"purchased_at:type"}},
		"invalid UTF-8":       {"{\"product_id\":\"\xff\",\"customer_id\":1,\"seller_id\":1,\"quantity\":1,\"price_at_time\":1,\"purchased_at\":\"2020-01-01\"}", []string{"product_id:type"}},
		"U+0000 in a text":    {strings.Replace(good, "85123A", `85\u0000123A`, 1), []string{"product_id:type"}},
		"U+0000 in an id":     {`{"id":"\u0000","deleted":true}`, []string{"id:type"}},
		"repeated faults":     {`{"quantity":"a","quantity":"b","quantity":"c","deleted":1,"deleted":2,"product_id":"a","customer_id":1,"seller_id":1,"price_at_time":1,"purchased_at":"2020-01-01"}`, []string{"quantity:type", "deleted:type"}},
		"deletion of nothing": {`{"id":"","deleted":true}`, []string{"id:length"}},
		"deletion without id": {`{"deleted":true}`, []string{"id:required"}},
	} {
		t.Run(name, func(t *testing.T) {
			d, b := columns.NewDecoder(c, columns.Valid, time.UTC), columns.NewBatch(c, 1)
			reasons, err := d.Append(b, []byte(tc.row), columns.Position{}, 0)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, r := range reasons {
				if r.Field == "" {
					got = append(got, r.Rule)
				} else {
					got = append(got, r.Field+":"+r.Rule)
				}
				if r.Message == "" {
					t.Errorf("no message for %v", r)
				}
			}
			if len(got) != len(tc.reasons) {
				t.Fatalf("reasons %v, want %v", reasons, tc.reasons)
			}
			for i := range got {
				if got[i] != tc.reasons[i] {
					t.Errorf("reasons %v, want %v", got, tc.reasons)
				}
			}
			if b.Len != 0 || len(b.Columns[0].Text.Data) != 0 {
				t.Error("a refused row left something in the batch")
			}
		})
	}
}

func TestNaiveTimesAndDaysAreTheShops(t *testing.T) {
	shop, err := time.LoadLocation("Asia/Yekaterinburg")
	if err != nil {
		t.Fatal(err)
	}
	c := purchases(t)
	d, b := columns.NewDecoder(c, columns.Valid, shop), columns.NewBatch(c, 1)
	row := `{"product_id":"a","customer_id":1,"seller_id":1,"quantity":1,"price_at_time":1,"purchased_at":"2023-11-09T03:20:48"}`
	if reasons, err := d.Append(b, []byte(row), columns.Position{}, 0); err != nil || reasons != nil {
		t.Fatal(reasons, err)
	}
	want := time.Date(2023, 11, 8, 22, 20, 48, 0, time.UTC)
	if got := b.Columns[c.Index("purchased_at")].Int[0]; got != want.UnixMicro() {
		t.Errorf("moment %v, want %v", time.UnixMicro(got).UTC(), want)
	}
	if got := time.Unix(int64(b.Day[0])*86_400, 0).UTC().Format(time.DateOnly); got != "2023-11-09" {
		t.Errorf("business day %s, want 2023-11-09", got)
	}
}

func BenchmarkDecodePurchase(b *testing.B) {
	c := purchases(b)
	d, batch := columns.NewDecoder(c, columns.Valid, time.UTC), columns.NewBatch(c, 1000)
	row := []byte(`{"id":"0190b3a2-7c1e-7b6f-9d52-1f0a2b3c4d5e","product_id":"85123A","customer_id":17850,"seller_id":3,"quantity":6,"price_at_time":2.55,"purchased_at":"2010-12-01T08:26:00"}`)
	b.ReportAllocs()
	for b.Loop() {
		if batch.Len == 1000 {
			batch.Reset()
		}
		if reasons, _ := d.Append(batch, row, columns.Position{}, 0); reasons != nil {
			b.Fatal(reasons)
		}
	}
}

func TestOfARepeatedMemberTheLastValueCounts(t *testing.T) {
	c := purchases(t)
	d, b := columns.NewDecoder(c, columns.Valid, time.UTC), columns.NewBatch(c, 1)
	row := `{"quantity":"many","quantity":2,"product_id":"a","customer_id":1,"seller_id":1,"price_at_time":1,"purchased_at":"2020-01-01"}`
	if reasons, err := d.Append(b, []byte(row), columns.Position{}, 0); err != nil || len(reasons) > 0 {
		t.Fatal(reasons, err)
	}
	if got := b.Columns[c.Index("quantity")].Int[0]; got != 2 {
		t.Errorf("quantity %d", got)
	}
}

func TestHowFarAheadIsMeasuredFromTheRecord(t *testing.T) {
	c := purchases(t)
	for ahead, valid := range map[time.Duration]bool{23 * time.Hour: true, 25 * time.Hour: false} {
		d, b := columns.NewDecoder(c, columns.Valid, time.UTC), columns.NewBatch(c, 1)
		sent := time.Date(2024, 5, 1, 12, 0, 0, 0, time.UTC)
		row := `{"product_id":"a","customer_id":1,"seller_id":1,"quantity":1,"price_at_time":1,"purchased_at":"` + sent.Add(ahead).Format(time.RFC3339) + `"}`
		reasons, err := d.Append(b, []byte(row), columns.Position{Topic: "purchases", Timestamp: sent.UnixMicro()}, 0)
		if err != nil || (len(reasons) == 0) != valid {
			t.Errorf("%s ahead: %v %v", ahead, reasons, err)
		}
	}
}
