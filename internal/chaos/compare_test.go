package chaos

import (
	"testing"

	"github.com/RoaringBitmap/roaring/v2/roaring64"

	"github.com/shop-connect/shop-connect/internal/quarantine"
	"github.com/shop-connect/shop-connect/internal/reconcile"
)

func places(space string, offsets ...uint64) reconcile.Places {
	return reconcile.Places{space: roaring64.BitmapOf(offsets...)}
}

// counted are sound records 0 to 2 and a broken one at 3, and layers that agree with them.
func counted() (*tally, reconcile.RecordPlaces) {
	t := newTally("")
	t.good, t.bad, t.edge = places("purchases-0", 0, 1, 2), places("purchases-0", 3), places("purchases.rejected-0", 7)
	return t, reconcile.RecordPlaces{
		Raw: places("purchases-0", 0, 1, 2, 3), Stage: places("purchases-0", 0, 1, 2), StageRows: 3,
		Refused: map[string]reconcile.Places{
			quarantine.LayerStage: places("purchases-0", 3), quarantine.LayerClickHouse: places("purchases-0", 3),
			quarantine.LayerIceberg: places("purchases-0", 3), quarantine.LayerAPI: places("purchases.rejected-0", 7),
		},
	}
}

func TestARecordThatALayerLacksOrHasTwiceIsFound(t *testing.T) {
	for name, c := range map[string]struct {
		spoil              func(p *reconcile.RecordPlaces)
		lost, twice, wrong int64
	}{
		"all agree":                  {func(*reconcile.RecordPlaces) {}, 0, 0, 0},
		"RAW lacks one":              {func(p *reconcile.RecordPlaces) { p.Raw["purchases-0"].Remove(1) }, 1, 0, 0},
		"RAW has one that is none":   {func(p *reconcile.RecordPlaces) { p.Raw["purchases-0"].Add(9) }, 0, 0, 1},
		"STAGE lacks one":            {func(p *reconcile.RecordPlaces) { p.Stage["purchases-0"].Remove(1); p.StageRows-- }, 1, 0, 0},
		"STAGE has one twice":        {func(p *reconcile.RecordPlaces) { p.StageRows++ }, 0, 1, 0},
		"STAGE has a broken one":     {func(p *reconcile.RecordPlaces) { p.Stage["purchases-0"].Add(3); p.StageRows++ }, 0, 1, 1},
		"quarantine lacks one":       {func(p *reconcile.RecordPlaces) { delete(p.Refused, quarantine.LayerStage) }, 1, 0, 0},
		"a sink sets aside a sound":  {func(p *reconcile.RecordPlaces) { p.Refused[quarantine.LayerIceberg]["purchases-0"].Add(2) }, 0, 0, 1},
		"a refused row has vanished": {func(p *reconcile.RecordPlaces) { delete(p.Refused, quarantine.LayerAPI) }, 1, 0, 0},
	} {
		t.Run(name, func(t *testing.T) {
			truth, layers := counted()
			c.spoil(&layers)
			found := &comparison{}
			found.objects(truth, layers, true)
			if found.lost != c.lost || found.twice != c.twice || found.wrong != c.wrong {
				t.Errorf("found %d lost, %d twice, %d wrong: %v", found.lost, found.twice, found.wrong, found.samples)
			}
			if found.holds() != (c.lost+c.twice+c.wrong == 0) {
				t.Error("the verdict is another")
			}
		})
	}
}

func TestARowThatATableLacksOrHasTwiceIsFound(t *testing.T) {
	sale := reconcile.Sale{Quantity: 2, Units: 15_000, Day: "2024-02-29"}
	other := sale
	other.Day = "2024-03-01"
	live := map[string]reconcile.Sale{"a": sale, "b": sale}
	type entry struct {
		id string
		reconcile.Sale
	}
	for name, c := range map[string]struct {
		rows               []entry
		lost, twice, wrong int64
	}{
		"as it should be":      {[]entry{{"a", sale}, {"b", sale}}, 0, 0, 0},
		"one is lost":          {[]entry{{"a", sale}}, 1, 0, 0},
		"one is twice":         {[]entry{{"a", sale}, {"b", sale}, {"a", sale}}, 0, 1, 0},
		"a deleted one is not": {[]entry{{"a", sale}, {"b", sale}, {"c", sale}}, 0, 1, 0},
		"an old day":           {[]entry{{"a", other}, {"b", sale}}, 0, 0, 1},
	} {
		t.Run(name, func(t *testing.T) {
			found := &comparison{}
			err := found.table("table", live, func(visit func(string, reconcile.Sale)) error {
				for _, row := range c.rows {
					visit(row.id, row.Sale)
				}
				return nil
			})
			if err != nil || found.lost != c.lost || found.twice != c.twice || found.wrong != c.wrong {
				t.Errorf("found %d lost, %d twice, %d wrong, %v", found.lost, found.twice, found.wrong, err)
			}
		})
	}
}

func TestStatisticsThatAreOffAreFound(t *testing.T) {
	live := map[string]reconcile.Sale{
		"a": {Quantity: 2, Units: 15_000, Day: "2024-02-29"}, "b": {Quantity: 1, Units: 1, Day: "2024-02-29"}, "c": {Quantity: 1, Units: 10_000, Day: "2024-03-01"},
	}
	right := []reconcile.Period{
		{Name: "2024-02-29", Purchases: "2", Items: "3", Revenue: "3.0001"}, {Name: "2024-03-01", Purchases: "1", Items: "1", Revenue: "1"},
	}
	found := &comparison{}
	if err := found.statistics("daily", live, right, 10); err != nil || !found.holds() {
		t.Errorf("right statistics are taken for wrong: %v, %v", found.samples, err)
	}
	off := []reconcile.Period{right[0], {Name: "2024-03-02", Purchases: "1", Items: "1", Revenue: "1"}}
	found = &comparison{}
	if err := found.statistics("daily", live, off, 10); err != nil || found.lost != 1 || found.wrong != 1 {
		t.Errorf("found %d lost, %d wrong, %v", found.lost, found.wrong, err)
	}
}

func TestAnAcknowledgedEventThatKafkaLacksIsLost(t *testing.T) {
	b := newBook()
	rows := []row{{event: event{id: "a"}}, {event: event{id: "b"}}, {kind: brokenForAPI, text: []byte("x")}}
	b.attempt(rows)
	b.acknowledge(rows[:1])
	b.acknowledge(rows[2:])
	b.giveUp(rows[1:2])
	found := &comparison{}
	found.kafka(b, newTally(""))
	if found.lost != 2 {
		t.Errorf("%d lost, want the two that were acknowledged: %v", found.lost, found.samples)
	}
}
