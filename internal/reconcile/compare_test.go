package reconcile

import (
	"strings"
	"testing"

	"github.com/shop-connect/shop-connect/internal/load"
)

func amount(t *testing.T, text string) load.Amount {
	t.Helper()
	a, err := load.ParseAmount(text)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// agreeing returns a truth and layers that hold exactly it.
func agreeing(t *testing.T) (load.Truth, Layers) {
	days := []load.Day{
		{Date: "2026-01-01", Purchases: 60, Items: 80, Revenue: amount(t, "1000.5")},
		{Date: "2026-01-02", Purchases: 35, Items: 40, Revenue: amount(t, "0.0001")},
	}
	sales := Sales{Rows: 95, IDs: 95, Items: 120, Revenue: amount(t, "1000.5001")}
	truth := load.Truth{Sent: 100, Accepted: 97, Refused: 3, Distinct: 95, Items: 120, Revenue: sales.Revenue, Days: days}
	return truth, Layers{
		Raw: Records{Rows: 99, Distinct: 97}, Stage: Records{Rows: 96, Distinct: 96},
		Quarantined: map[string]int64{"api": 3, "stage": 1},
		ClickHouse:  sales, Iceberg: sales, ByCategory: sales, ByCustomer: sales,
		Days: append([]load.Day(nil), days...),
	}
}

func TestEveryLineHoldsWhereAllLayersAgree(t *testing.T) {
	lines := Compare(agreeing(t))
	if !Hold(lines) {
		t.Errorf("layers that agree were marked: %+v", lines)
	}
}

func TestAnInequalityMarksItsLine(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*Layers)
		claims []string
	}{
		"a record lost before RAW":         {func(l *Layers) { l.Raw.Distinct-- }, []string{"accepted = RAW"}},
		"a record lost before STAGE":       {func(l *Layers) { l.Stage.Rows--; l.Stage.Distinct-- }, []string{"accepted = RAW"}},
		"a record twice in STAGE":          {func(l *Layers) { l.Stage.Rows++ }, []string{"accepted = RAW", "STAGE rows"}},
		"one record lost, another twice":   {func(l *Layers) { l.Stage.Distinct-- }, []string{"STAGE rows"}},
		"a refused row lost":               {func(l *Layers) { l.Quarantined["api"]-- }, []string{"refused at the edge"}},
		"a purchase twice in ClickHouse":   {func(l *Layers) { l.ClickHouse.Rows++ }, []string{"distinct accepted"}},
		"one lost, another twice":          {func(l *Layers) { l.Iceberg.IDs-- }, []string{"distinct ids"}},
		"an item too many in Iceberg":      {func(l *Layers) { l.Iceberg.Items++ }, []string{"items"}},
		"a ten-thousandth off in Iceberg":  {func(l *Layers) { l.Iceberg.Revenue = amount(t, "1000.5") }, []string{"revenue"}},
		"a purchase without a category":    {func(l *Layers) { l.ByCategory.Rows-- }, []string{"distinct accepted = sold by category"}},
		"a customer who spent too much":    {func(l *Layers) { l.ByCustomer.Revenue = amount(t, "1001") }, []string{"revenue = by category"}},
		"revenue of one day in another's":  {func(l *Layers) { l.Days[0].Revenue, l.Days[1].Revenue = l.Days[1].Revenue, l.Days[0].Revenue }, []string{"days sold on"}},
		"a day missing in the statistics":  {func(l *Layers) { l.Days = l.Days[:1] }, []string{"distinct accepted", "items", "revenue", "days sold on"}},
		"a row refused by a table's sink":  {func(l *Layers) { l.ClickHouse.Rows--; l.ClickHouse.IDs-- }, []string{"distinct accepted", "distinct ids"}},
		"everything twice in the day view": {func(l *Layers) { l.Days = append(l.Days, l.Days...) }, []string{"distinct accepted", "items", "revenue", "days sold on"}},
	} {
		t.Run(name, func(t *testing.T) {
			truth, layers := agreeing(t)
			c.change(&layers)
			lines := Compare(truth, layers)
			if Hold(lines) {
				t.Fatal("nothing was marked")
			}
			var marked []string
			for _, l := range lines {
				if !l.Holds {
					marked = append(marked, l.Claim)
				}
			}
			for i, want := range c.claims {
				if len(marked) != len(c.claims) || !strings.HasPrefix(marked[i], want) {
					t.Fatalf("marked are %q, should be %q", marked, c.claims)
				}
			}
		})
	}
}

func TestPrintMarksWhatDiffers(t *testing.T) {
	truth, layers := agreeing(t)
	layers.Iceberg.Revenue = amount(t, "1000.5")
	var out strings.Builder
	if err := Print(&out, Compare(truth, layers)); err != nil {
		t.Fatal(err)
	}
	table := strings.Join(strings.Fields(out.String()), " ")
	for _, want := range []string{
		"✓ sent = accepted + refused 100 = 97 + 3 ✓",
		"✗ revenue = ClickHouse = daily statistics = Iceberg 1000.5001 = 1000.5001 = 1000.5001 = 1000.50 DIFFERS ✓",
	} {
		if !strings.Contains(table, want) {
			t.Errorf("the table lacks %q:\n%s", want, out.String())
		}
	}
}
