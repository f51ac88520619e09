package chaos

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/RoaringBitmap/roaring/v2/roaring64"

	"github.com/shop-connect/shop-connect/internal/load"
	"github.com/shop-connect/shop-connect/internal/progress"
	"github.com/shop-connect/shop-connect/internal/quarantine"
	"github.com/shop-connect/shop-connect/internal/reconcile"
)

// comparison is how every layer stands to the truth.
type comparison struct {
	lines []reconcile.Line
	// lost and twice are summed over all layers; wrong rows have other content than they should.
	lost, twice, wrong int64
	// samples name some of the rows in question.
	samples []string
}

func (c *comparison) holds() bool { return reconcile.Hold(c.lines) }

func (c *comparison) add(claim string, held, lost, twice, wrong int64) {
	c.lost, c.twice, c.wrong = c.lost+lost, c.twice+twice, c.wrong+wrong
	figures := fmt.Sprintf("%s; %d lost, %d twice", progress.Thousands(held), lost, twice)
	if wrong > 0 {
		figures += fmt.Sprintf(", %d wrong", wrong)
	}
	c.lines = append(c.lines, reconcile.Line{Claim: claim, Figures: figures, Holds: lost+twice+wrong == 0})
}

func (c *comparison) samplef(format string, args ...any) {
	if len(c.samples) < 30 {
		c.samples = append(c.samples, fmt.Sprintf(format, args...))
	}
}

// compare holds every layer against the truth. It may be asked again until the layers have caught up.
func compare(ctx context.Context, b *book, t *tally, counter *reconcile.Counter, staged bool) (*comparison, error) {
	if err := t.read(ctx, b); err != nil {
		return nil, err
	}
	c := &comparison{}
	c.kafka(b, t)
	places, err := counter.RecordPlaces(ctx)
	if err != nil {
		return nil, err
	}
	c.objects(t, places, staged)
	daily, monthly, err := counter.Statistics(ctx)
	if err != nil {
		return nil, err
	}
	err = errors.Join(
		c.table("ClickHouse = the last event of each purchase", t.live, func(visit func(string, reconcile.Sale)) error {
			return counter.ClickHouseRows(ctx, visit)
		}),
		c.table("Iceberg = the last event of each purchase", t.live, func(visit func(string, reconcile.Sale)) error {
			return counter.IcebergRows(ctx, visit)
		}),
		c.statistics("daily statistics", t.live, daily, len("2006-01-02")),
		c.statistics("monthly statistics", t.live, monthly, len("2006-01")),
	)
	return c, err
}

// kafka compares what was promised with what is there.
func (c *comparison) kafka(b *book, t *tally) {
	b.mu.Lock()
	defer b.mu.Unlock()
	var acked, lost int64
	for e, f := range b.events {
		if f.acked {
			acked++
		}
		if f.acked && f.seen == 0 {
			lost++
			c.samplef("acknowledged and not in Kafka: %+v", e)
		}
	}
	for _, texts := range []map[string]*fate{b.broken, b.refused} {
		for text, f := range texts {
			if f.acked {
				acked++
			}
			if f.acked && f.seen == 0 {
				lost++
				c.samplef("acknowledged and not in Kafka: %s", text)
			}
		}
	}
	c.add("acknowledged events are in Kafka", acked, lost, 0, 0)
	for _, text := range t.strange {
		c.samplef("nobody has sent %s", text)
	}
	c.add("records of Kafka were sent by somebody", t.records, 0, 0, int64(len(t.strange)))
}

// objects compares the layers of Parquet objects with the records of Kafka.
func (c *comparison) objects(t *tally, p reconcile.RecordPlaces, staged bool) {
	all := union(t.good, t.bad)
	refusedRaw := p.Refused[quarantine.LayerRaw]
	c.add("RAW + its quarantine = records of Kafka", count(p.Raw)+count(refusedRaw),
		c.missing("RAW", all, union(p.Raw, refusedRaw)), both(p.Raw, refusedRaw), c.missing("Kafka", p.Raw, all))
	for _, layer := range []string{quarantine.LayerClickHouse, quarantine.LayerIceberg} {
		c.add(layer+"'s quarantine = broken records", count(p.Refused[layer]),
			c.missing(layer+"'s quarantine", t.bad, p.Refused[layer]), 0, c.missing("the broken records", p.Refused[layer], t.bad))
	}
	c.add("the API's quarantine = rows it refused", count(p.Refused[quarantine.LayerAPI]),
		c.missing("the API's quarantine", t.edge, p.Refused[quarantine.LayerAPI]), 0, c.missing("the refused rows", p.Refused[quarantine.LayerAPI], t.edge))
	if !staged {
		return
	}
	aside := union(refusedRaw, p.Refused[quarantine.LayerStage])
	c.add("STAGE = sound records, each once", p.StageRows,
		c.missing("STAGE", t.good, p.Stage), p.StageRows-count(p.Stage), c.missing("the sound records", p.Stage, t.good))
	c.add("quarantine of RAW and STAGE = broken records", count(aside),
		c.missing("quarantine", t.bad, aside), both(p.Stage, aside), c.missing("the broken records", aside, t.bad))
}

// table compares a table with one row per purchase.
func (c *comparison) table(claim string, live map[string]reconcile.Sale, read func(visit func(string, reconcile.Sale)) error) error {
	found := make(map[string]struct{}, len(live))
	var rows, twice, wrong int64
	err := read(func(id string, s reconcile.Sale) {
		rows++
		if _, again := found[id]; again {
			twice++
			c.samplef("%s: %s is there twice", claim, id)
			return
		}
		found[id] = struct{}{}
		switch want, ok := live[id]; {
		case !ok:
			twice++ // deleted, or never sold: it counts though it must not
			c.samplef("%s: %s should not be there", claim, id)
		case want != s:
			wrong++
			c.samplef("%s: %s is %+v and should be %+v", claim, id, s, want)
		}
	})
	if err != nil {
		return err
	}
	var lost int64
	for id := range live {
		if _, ok := found[id]; !ok {
			lost++
			c.samplef("%s: %s is missing", claim, id)
		}
	}
	c.add(claim, rows, lost, twice, wrong)
	return nil
}

// statistics compares the sums of days or months; period is how much of a date names one.
func (c *comparison) statistics(claim string, live map[string]reconcile.Sale, have []reconcile.Period, period int) error {
	type sums struct {
		purchases, items int64
		revenue          load.Amount
	}
	want := map[string]sums{}
	for _, s := range live {
		w := want[s.Day[:period]]
		w.purchases, w.items, w.revenue = w.purchases+1, w.items+s.Quantity, w.revenue.AddProduct(s.Units, s.Quantity)
		want[s.Day[:period]] = w
	}
	var wrong int64
	for _, p := range have {
		w := want[p.Name]
		delete(want, p.Name)
		revenue, err := load.ParseAmount(p.Revenue)
		if err != nil {
			return fmt.Errorf("reading the %s of %s: %w", claim, p.Name, err)
		}
		if p.Purchases != fmt.Sprint(w.purchases) || p.Items != fmt.Sprint(w.items) || revenue != w.revenue {
			wrong++
			c.samplef("%s of %s are %s purchases, %s items, %s and should be %d, %d, %s", claim, p.Name, p.Purchases, p.Items, revenue, w.purchases, w.items, w.revenue)
		}
	}
	for name := range want {
		c.samplef("%s of %s are missing", claim, name)
	}
	c.add(claim+" = sums of them", int64(len(have)), int64(len(want)), 0, wrong)
	return nil
}

// missing counts the places of want that have lacks.
func (c *comparison) missing(where string, want, have reconcile.Places) (n int64) {
	for _, space := range slices.Sorted(maps.Keys(want)) {
		rest := want[space].Clone()
		if have[space] != nil {
			rest.AndNot(have[space])
		}
		n += int64(rest.GetCardinality())
		for at := rest.Iterator(); at.HasNext() && len(c.samples) < 30; {
			c.samplef("not in %s: %s-%d", where, space, at.Next())
		}
	}
	return n
}

func union(a, b reconcile.Places) reconcile.Places {
	sum := reconcile.Places{}
	for _, places := range []reconcile.Places{a, b} {
		for space, offsets := range places {
			if sum[space] == nil {
				sum[space] = roaring64.New()
			}
			sum[space].Or(offsets)
		}
	}
	return sum
}

func both(a, b reconcile.Places) (n int64) {
	for space, offsets := range a {
		if b[space] != nil {
			n += int64(roaring64.And(offsets, b[space]).GetCardinality())
		}
	}
	return n
}

func count(places reconcile.Places) (n int64) {
	for space, offsets := range places {
		if strings.HasPrefix(space, topicPurchases) {
			n += int64(offsets.GetCardinality())
		}
	}
	return n
}
