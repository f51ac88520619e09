package replay

import (
	"context"
	"errors"
	"fmt"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/shop-connect/shop-connect/internal/contract"
	"github.com/shop-connect/shop-connect/internal/progress"
	"github.com/shop-connect/shop-connect/internal/quarantine"
	"github.com/shop-connect/shop-connect/internal/quarantine/catalog"
	"github.com/shop-connect/shop-connect/internal/references"
	"github.com/shop-connect/shop-connect/internal/store"
)

// The headers of a record that was replayed: where its row stood, and the run that sent it.
const (
	HeaderFrom = "replayed_from"
	HeaderRun  = "replay_run"
)

// sending is a row that is on its way; repeated says that an earlier attempt at its object counted it.
type sending struct {
	item     *catalog.Item
	repeated bool
}

// work is one run.
type work struct {
	*Engine
	request Request
	fate    store.Fate
	run     string
	lock    *store.Lock
	judge   *judge

	report        Report
	refusals      refusals
	total, looked int64
	// sent and refused are the rows of this run: several layers may have refused the same record.
	sent, refused store.Places
	seen          deliveries
}

func (w *work) all(ctx context.Context) error {
	if w.fate == store.Replayed {
		rules := w.Contracts[w.request.Entity]
		if rules == nil {
			return fmt.Errorf("there is no contract of %q, which its rows could be held against", w.request.Entity)
		}
		if err := references.Check(rules); err != nil {
			return err
		}
		w.judge = newJudge(w.Store, rules, w.request.Mapping, w.Timezone)
	}
	if err := w.Catalog.Refresh(ctx, w.request.Entity); err != nil {
		return err
	}
	w.request.PendingOnly = true
	objects, err := w.Store.QuarantineObjects(ctx, w.request.QuarantineFilter)
	if err != nil {
		return err
	}
	if w.request.Objects {
		return w.wholeObjects(ctx, objects)
	}
	for _, o := range objects {
		w.total += o.Pending
	}
	if w.request.Total != nil {
		w.request.Total(w.total)
	}
	for _, o := range objects {
		if _, whole := catalog.WholeKey(o); whole {
			continue
		}
		if err := w.rowsOf(ctx, o); err != nil {
			return err
		}
	}
	return nil
}

// rowsOf decides the rows of an object. An object that cannot be read is passed over and told of.
func (w *work) rowsOf(ctx context.Context, o store.QuarantineObject) error {
	if o.Whole() {
		return w.trouble(ctx, o, o.Fault)
	}
	counted := store.Places{} // in an earlier attempt
	for attempt := 1; ; attempt++ {
		err := w.tryRowsOf(ctx, o, counted)
		if unreadable, ok := errors.AsType[*catalog.Unreadable](err); ok {
			return w.trouble(ctx, o, unreadable.Error())
		}
		if !errors.Is(err, catalog.ErrChanged) {
			return err
		}
		if attempt == attempts {
			return w.trouble(ctx, o, err.Error())
		}
		if err := w.Catalog.Refresh(ctx, o.Entity); err != nil {
			return err
		}
		known, err := w.Store.KnownQuarantine(ctx, o.Entity)
		if err != nil {
			return err
		}
		now, there := known[o.Key]
		if !there {
			return nil
		}
		o.ETag, o.ModifiedAt = now.ETag, now.ModifiedAt
	}
}

func (w *work) trouble(ctx context.Context, o store.QuarantineObject, why string) error {
	w.report.Troubles = append(w.report.Troubles, o.Key+": "+why)
	return w.count(ctx, store.Counts{ObjectsRefused: 1})
}

func (w *work) tryRowsOf(ctx context.Context, o store.QuarantineObject, counted store.Places) error {
	annotations := map[int64]string{}
	err := w.Catalog.Rows(ctx, o, w.request.Filter, batchRows, func(items []catalog.Item) error {
		return w.batch(ctx, o.Entity, items, counted, annotations)
	})
	if err != nil {
		return err
	}
	if len(annotations) > 0 && !w.request.DryRun {
		if err := w.Catalog.Annotate(ctx, o, w.run, annotations); err != nil {
			return err
		}
	}
	return w.count(ctx, store.Counts{Objects: 1, Bytes: o.Bytes})
}

func (w *work) count(ctx context.Context, c store.Counts) error {
	add(&w.report.Counts, c)
	if w.request.DryRun {
		return nil
	}
	return w.Store.AddToRun(ctx, w.run, c)
}

func add(to *store.Counts, c store.Counts) {
	to.RowsIn += c.RowsIn
	to.RowsOut += c.RowsOut
	to.RowsRefused += c.RowsRefused
	to.RowsSkipped += c.RowsSkipped
	to.Objects += c.Objects
	to.ObjectsRefused += c.ObjectsRefused
	to.Bytes += c.Bytes
}

// batch decides some rows: first they are sent, then the ledger says so. A crash between the two sends them
// again, under the same ids, so that they count once where people look (I3).
func (w *work) batch(ctx context.Context, entity string, items []catalog.Item, counted store.Places, annotations map[int64]string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	copies := w.copies(items, counted)
	items, err := w.Catalog.Undecided(ctx, entity, items)
	if err != nil {
		return err
	}
	counts := store.Counts{RowsIn: copies, RowsSkipped: copies}
	decided, records := store.Places{}, []*kgo.Record(nil)
	var inHand []sending
	verdicts, err := w.judge.all(ctx, items)
	if err != nil {
		return err
	}
	for i := range items {
		item := &items[i]
		if w.sent.Has(item.Space, item.Number) || decided.Has(item.Space, item.Number) {
			continue // a copy within this batch, or of a dry run; the first one counts
		}
		v := verdicts[i]
		repeated := counted.Has(item.Space, item.Number)
		counted.Add(item.Space, item.Number)
		if !repeated {
			counts.RowsIn++
		}
		switch {
		case v.good && w.seen.again(item):
			decided.Add(item.Space, item.Number)
			counts.RowsSkipped++
		case v.good:
			decided.Add(item.Space, item.Number)
			records, inHand = append(records, w.record(entity, item, v)), append(inHand, sending{item, repeated})
			if !repeated {
				counts.RowsOut++
			}
		case v.reasons != nil:
			w.refuse(item, v.reasons, repeated, &counts, annotations)
		case !repeated:
			counts.RowsSkipped++
		}
	}
	if !w.request.DryRun {
		if err := w.lock.Held(ctx); err != nil {
			return err
		}
		tooLarge, err := w.send(ctx, records)
		if err != nil {
			return err
		}
		for _, i := range tooLarge {
			item, repeated := inHand[i].item, inHand[i].repeated
			decided[item.Space].Remove(item.Number)
			if !repeated {
				counts.RowsOut--
			}
			w.refuse(item, []contract.Reason{{Rule: contract.RuleLength, Message: "is larger than the topic allows"}}, repeated, &counts, annotations)
		}
		if err := w.Store.DecideRows(ctx, w.run, entity, w.fate, decided, counts); err != nil {
			return err
		}
	}
	add(&w.report.Counts, counts)
	for space, numbers := range decided {
		for each := numbers.Iterator(); each.HasNext(); {
			w.sent.Add(space, each.Next())
		}
	}
	// copies of rows in another object are not in the total
	looked := min(counts.RowsIn, w.total-w.looked)
	w.looked += looked
	if w.request.Progress != nil {
		w.request.Progress(looked)
	}
	return w.goOn(ctx)
}

// goOn notes in the ledger where the run is, and ends it where somebody asked for that.
func (w *work) goOn(ctx context.Context) error {
	if w.request.DryRun {
		return nil
	}
	wanted, err := w.Store.Report(ctx, w.run, fmt.Sprintf("%s of %s rows", progress.Thousands(w.looked), progress.Thousands(w.total)))
	if err == nil && !wanted {
		err = errCancelled
	}
	return err
}

// copies counts the rows that this run has sent already, out of another object.
func (w *work) copies(items []catalog.Item, counted store.Places) (n int64) {
	for i := range items {
		if item := &items[i]; w.sent.Has(item.Space, item.Number) && !counted.Has(item.Space, item.Number) {
			n++
		}
	}
	return n
}

// refuse leaves a row in quarantine with its new reasons. Those of a mapping that fails are not the row's.
func (w *work) refuse(item *catalog.Item, reasons []contract.Reason, repeated bool, counts *store.Counts, annotations map[int64]string) {
	switch {
	case repeated:
	case w.refused.Has(item.Space, item.Number):
		counts.RowsSkipped++ // a copy
	default:
		w.refused.Add(item.Space, item.Number)
		w.refusals.add(item.Source, reasons)
		counts.RowsRefused++
	}
	if reasons[0].Rule != RuleMapping && len(annotations) < maxAnnotated {
		annotations[item.Index] = quarantine.ReasonsJSON(reasons)
	}
}

func (w *work) record(entity string, item *catalog.Item, v verdict) *kgo.Record {
	return &kgo.Record{Topic: entity, Key: v.key, Value: v.value, Headers: []kgo.RecordHeader{
		{Key: HeaderFrom, Value: []byte(item.Source)}, {Key: HeaderRun, Value: []byte(w.run)},
	}}
}

// send returns once Kafka has the records, but for those that are too large for it (I1).
func (w *work) send(ctx context.Context, records []*kgo.Record) (tooLarge []int, err error) {
	if w.fate != store.Replayed {
		return nil, nil
	}
	index := make(map[*kgo.Record]int, len(records))
	for i, r := range records {
		index[r] = i
	}
	for _, result := range w.Kafka.ProduceSync(ctx, records...) {
		switch {
		case errors.Is(result.Err, kerr.MessageTooLarge):
			tooLarge = append(tooLarge, index[result.Record])
		case result.Err != nil:
			return nil, fmt.Errorf("sending rows to topic %s: %w", result.Record.Topic, result.Err)
		}
	}
	return tooLarge, nil
}
