package load

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"math/big"
	"testing"
	"time"
)

var testEnd = time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)

func newTestGenerator(t testing.TB, rows int64, change func(*GeneratorConfig)) *Generator {
	t.Helper()
	c := DefaultGenerator(rows, testEnd)
	if change != nil {
		change(&c)
	}
	g, err := NewGenerator(c)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// drain returns every row of a source, and whether the source calls it valid.
func drain(t testing.TB, s Source) (rows [][]byte, valid []bool) {
	t.Helper()
	for {
		row, ok, err := s.Append(nil)
		if errors.Is(err, io.EOF) {
			return rows, valid
		}
		if err != nil {
			t.Fatal(err)
		}
		rows, valid = append(rows, row), append(valid, ok)
	}
}

func TestGeneratorGivesTheSameRowsForTheSameSeed(t *testing.T) {
	first, _ := drain(t, newTestGenerator(t, 20_000, nil))
	second, _ := drain(t, newTestGenerator(t, 20_000, nil))
	other, _ := drain(t, newTestGenerator(t, 20_000, func(c *GeneratorConfig) { c.Seed = 2 }))
	same := 0
	for i := range first {
		if !bytes.Equal(first[i], second[i]) {
			t.Fatalf("row %d differs between two runs of one seed:\n%s\n%s", i, first[i], second[i])
		}
		if bytes.Equal(first[i], other[i]) {
			same++
		}
	}
	if same > 0 {
		t.Errorf("%d rows are the same under another seed", same)
	}
}

// recount reads rows the slow way, by the rules of the contract, and adds up what the generator claims.
func recount(t *testing.T, rows [][]byte) Truth {
	t.Helper()
	truth := Truth{}
	type account struct {
		purchases, items int64
		revenue          *big.Rat
	}
	seen, days := map[string]string{}, map[string]*account{}
	for _, row := range rows {
		truth.Sent++
		if !json.Valid(row) {
			t.Fatalf("a row is not JSON: %s", row)
		}
		p, ok := accepted(row)
		if !ok {
			truth.Refused++
			continue
		}
		truth.Accepted++
		if before, again := seen[p.id]; again {
			if before != string(row) {
				t.Errorf("id %s was sent twice with different content:\n%s\n%s", p.id, before, row)
			}
			continue
		}
		seen[p.id] = string(row)
		truth.Distinct++
		truth.Items += p.quantity
		d := days[p.day]
		if d == nil {
			d = &account{revenue: new(big.Rat)}
			days[p.day] = d
		}
		d.purchases++
		d.items += p.quantity
		d.revenue.Add(d.revenue, new(big.Rat).Mul(p.price, new(big.Rat).SetInt64(p.quantity)))
	}
	total := new(big.Rat)
	for day, d := range days {
		truth.Days = append(truth.Days, Day{Date: day, Purchases: d.purchases, Items: d.items, Revenue: amountOf(t, d.revenue)})
		total.Add(total, d.revenue)
	}
	truth.Revenue = amountOf(t, total)
	return truth
}

func amountOf(t *testing.T, r *big.Rat) Amount {
	t.Helper()
	a, err := ParseAmount(r.FloatString(4))
	if err != nil {
		t.Fatal(err)
	}
	return a
}

type purchase struct {
	id, day  string
	quantity int64
	price    *big.Rat
}

func accepted(row []byte) (purchase, bool) {
	var raw struct {
		ID          string          `json:"id"`
		Product     string          `json:"product_id"`
		Customer    *int64          `json:"customer_id"`
		Seller      *int64          `json:"seller_id"`
		Quantity    *int64          `json:"quantity"`
		Price       json.RawMessage `json:"price_at_time"`
		PurchasedAt string          `json:"purchased_at"`
	}
	if json.Unmarshal(row, &raw) != nil {
		return purchase{}, false
	}
	at, err := time.Parse("2006-01-02T15:04:05", raw.PurchasedAt)
	if err != nil || at.Year() < 2000 || raw.Product == "" || raw.Customer == nil || raw.Seller == nil || raw.Quantity == nil || *raw.Quantity < 1 {
		return purchase{}, false
	}
	text := string(bytes.Trim(raw.Price, `"`))
	price, ok := new(big.Rat).SetString(text)
	if !ok || price.Sign() <= 0 {
		return purchase{}, false
	}
	if _, decimals, _ := bytes.Cut([]byte(text), []byte(".")); len(decimals) > 4 {
		return purchase{}, false
	}
	return purchase{id: raw.ID, day: at.Format(time.DateOnly), quantity: *raw.Quantity, price: price}, true
}

func TestGeneratorTruthEqualsAnIndependentRecount(t *testing.T) {
	for name, change := range map[string]func(*GeneratorConfig){
		"as usual":           nil,
		"everything happens": func(c *GeneratorConfig) { c.Bad, c.Duplicates, c.Late = 0.3, 0.3, 0.5 },
		"a single day":       func(c *GeneratorConfig) { c.Days, c.Late = 1, 0.5 },
		"nothing special":    func(c *GeneratorConfig) { c.Bad, c.Duplicates, c.Late = 0, 0, 0 },
	} {
		t.Run(name, func(t *testing.T) {
			g := newTestGenerator(t, 30_000, change)
			rows, valid := drain(t, g)
			for i, row := range rows {
				if _, ok := accepted(row); ok != valid[i] {
					t.Fatalf("the generator says valid=%v of %s", valid[i], row)
				}
			}
			want, got := recount(t, rows), g.Truth()
			if want.Sent != got.Sent || want.Accepted != got.Accepted || want.Refused != got.Refused ||
				want.Distinct != got.Distinct || want.Items != got.Items || want.Revenue != got.Revenue {
				t.Errorf("recounted %v, the generator says %v", want, got)
			}
			if len(want.Days) != len(got.Days) {
				t.Errorf("recounted %d days, the generator says %d", len(want.Days), len(got.Days))
			}
			for _, day := range want.Days {
				if got.Day(day.Date) != day {
					t.Errorf("recounted %v, the generator says %v", day, got.Day(day.Date))
				}
			}
		})
	}
}

func TestGeneratorKeepsTheSharesAskedFor(t *testing.T) {
	const rows = 200_000
	g := newTestGenerator(t, rows, nil)
	sent, valid := drain(t, g)
	truth := g.Truth()
	latest, late := "", 0
	for i, row := range sent {
		p, ok := accepted(row)
		if !ok || !valid[i] {
			continue
		}
		if p.day < latest {
			late++
		}
		latest = max(latest, p.day)
	}
	for _, share := range []struct {
		name       string
		count      int64
		least, top float64
	}{
		{"bad", truth.Refused, 0.018, 0.022},
		{"repeated", truth.Accepted - truth.Distinct, 0.008, 0.012},
		// Half of the late ones are late by hours and mostly stay within their day.
		{"days late", int64(late), 0.012, 0.030},
	} {
		if got := float64(share.count) / rows; got < share.least || got > share.top {
			t.Errorf("the share of %s rows is %.4f, it should be between %v and %v", share.name, got, share.least, share.top)
		}
	}
	if len(truth.Days) != DefaultDays || truth.Days[0].Date != "2026-01-30" || truth.Days[29].Date != "2026-02-28" {
		t.Errorf("the period is %d days from %s to %s", len(truth.Days), truth.Days[0].Date, truth.Days[len(truth.Days)-1].Date)
	}
}

func TestGeneratorSkewsTradeToFewProductsAndBusyHours(t *testing.T) {
	g := newTestGenerator(t, 100_000, func(c *GeneratorConfig) { c.Bad, c.Duplicates, c.Late = 0, 0, 0 })
	rows, _ := drain(t, g)
	products, hours, fine := map[string]int{}, map[string]int{}, 0
	for _, row := range rows {
		var p struct {
			Product string      `json:"product_id"`
			Price   json.Number `json:"price_at_time"`
			At      string      `json:"purchased_at"`
		}
		if err := json.Unmarshal(row, &p); err != nil {
			t.Fatal(err)
		}
		products[p.Product]++
		hours[p.At[11:13]]++
		if _, decimals, _ := bytes.Cut([]byte(p.Price), []byte(".")); len(decimals) == 4 {
			fine++
		}
	}
	top := 0
	for _, n := range products {
		top = max(top, n)
	}
	if mean := len(rows) / len(products); top < 20*mean {
		t.Errorf("the best product sold %d times, the mean is %d: that is no skew", top, mean)
	}
	if hours["20"] < 10*hours["03"] {
		t.Errorf("20 o'clock sold %d, 3 o'clock %d: that is no rhythm", hours["20"], hours["03"])
	}
	if fine < 1_000 || fine > 30_000 {
		t.Errorf("%d of %d prices have four decimals: they should be few, but not none", fine, len(rows))
	}
}

func TestGeneratorIDsAreTimeOrderedUUIDv7(t *testing.T) {
	g := newTestGenerator(t, 5_000, func(c *GeneratorConfig) { c.Bad, c.Duplicates = 0, 0 })
	rows, _ := drain(t, g)
	last := ""
	for _, row := range rows {
		p, _ := accepted(row)
		if len(p.id) != 36 || p.id[14] != '7' || !bytes.ContainsRune([]byte("89ab"), rune(p.id[19])) {
			t.Fatalf("id %q is not shaped like a UUIDv7", p.id)
		}
		if p.id <= last {
			t.Fatalf("id %s follows %s", p.id, last)
		}
		last = p.id
	}
}

func TestAnotherConfigurationNeverReusesAnID(t *testing.T) {
	rows, _ := drain(t, newTestGenerator(t, 5_000, func(c *GeneratorConfig) { c.Bad = 0 }))
	seen := map[string]bool{}
	for _, row := range rows {
		p, _ := accepted(row)
		seen[p.id] = true
	}
	for name, change := range map[string]func(*GeneratorConfig){
		"more rows":    func(c *GeneratorConfig) { c.Bad, c.Rows = 0, 6_000 },
		"more days":    func(c *GeneratorConfig) { c.Bad, c.Days = 0, 31 },
		"another seed": func(c *GeneratorConfig) { c.Bad, c.Seed = 0, 2 },
		"fewer late":   func(c *GeneratorConfig) { c.Bad, c.Late = 0, 0.01 },
	} {
		rows, _ := drain(t, newTestGenerator(t, 5_000, change))
		for _, row := range rows {
			if p, _ := accepted(row); seen[p.id] {
				t.Errorf("%s: id %s stands for two purchases", name, p.id)
				break
			}
		}
	}
}

func TestGeneratedCatalogMeetsItsContractAndHoldsEveryProductSold(t *testing.T) {
	g := newTestGenerator(t, 20_000, func(c *GeneratorConfig) { c.Bad = 0 })
	known := map[string]bool{}
	for _, row := range g.Products() {
		var p catalogEntry
		if err := json.Unmarshal(row, &p); err != nil {
			t.Fatal(err)
		}
		if price, err := ParseAmount(p.Price.String()); err != nil || price.Units().Sign() <= 0 || p.Name == "" || p.Category == "" || p.Stock < 0 {
			t.Errorf("product %s breaks its contract", row)
		}
		known[p.ID] = true
	}
	rows, _ := drain(t, g)
	for _, row := range rows {
		var p struct {
			Product string `json:"product_id"`
		}
		if err := json.Unmarshal(row, &p); err != nil || !known[p.Product] {
			t.Fatalf("a purchase of an unknown product: %s", row)
		}
	}
}

func TestGeneratorReportsAllFaultsOfItsConfigurationAtOnce(t *testing.T) {
	_, err := NewGenerator(GeneratorConfig{Rows: 0, Days: 0, Bad: 2, Late: -1})
	if err == nil {
		t.Fatal("a configuration of nothing but faults was taken")
	}
	for _, flag := range []string{flagGenerate, flagDays, flagBad, flagLate} {
		if !bytes.Contains([]byte(err.Error()), []byte("--"+flag)) {
			t.Errorf("the error does not name --%s: %v", flag, err)
		}
	}
}

func BenchmarkGenerator(b *testing.B) {
	g := newTestGenerator(b, int64(b.N), nil)
	buf := make([]byte, 0, 512)
	b.ReportAllocs()
	for b.Loop() {
		row, _, err := g.Append(buf[:0])
		if err != nil {
			g = newTestGenerator(b, 5_000_000, nil)
			continue
		}
		b.SetBytes(int64(len(row)))
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "rows/s")
}
