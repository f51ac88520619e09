package lakeupkeep

import (
	"context"
	"slices"

	"github.com/shop-connect/shop-connect/internal/quarantine/catalog"
	"github.com/shop-connect/shop-connect/internal/store"
)

// retainQuarantine goes by the catalog, which knows what became of every row.
func (w *retention) retainQuarantine(ctx context.Context, entity string) error {
	if w.keepQuarantine == 0 {
		return nil
	}
	known := &catalog.Catalog{Store: w.store, Objects: w.client, Bucket: w.quarantine}
	if err := known.Refresh(ctx, entity); err != nil {
		return err
	}
	objects, err := w.store.QuarantineObjects(ctx, store.QuarantineFilter{Entity: entity})
	if err != nil {
		return err
	}
	h := w.horizon(w.keepQuarantine)
	objects = slices.DeleteFunc(objects, func(o store.QuarantineObject) bool {
		if o.Day != "" {
			return o.Day >= h.Day()
		}
		return !o.ModifiedAt.Before(h.Time)
	})
	if !w.openToo {
		all := len(objects)
		objects = slices.DeleteFunc(objects, isOpen) // I4: what is open can still be brought back
		w.report.Quarantine.Kept += int64(all - len(objects))
	}
	for some := range slices.Chunk(objects, page) {
		if err := w.clearQuarantine(ctx, some); err != nil {
			return err
		}
	}
	return nil
}

// isOpen reports whether nobody has decided yet what becomes of a row, or of an object as a whole.
func isOpen(o store.QuarantineObject) bool {
	if o.Whole() {
		return o.Fate == store.Undecided
	}
	return o.Pending > 0
}

func (w *retention) clearQuarantine(ctx context.Context, objects []store.QuarantineObject) error {
	var keys []string
	var ids []int64
	var bytes int64
	for _, o := range objects {
		keys, ids, bytes = append(keys, o.Key), append(ids, o.ID), bytes+o.Bytes
	}
	if !w.dryRun {
		if err := w.remove(ctx, w.quarantine, keys); err != nil {
			return err
		}
		if err := w.store.ForgetQuarantine(ctx, ids); err != nil {
			return err
		}
	}
	return w.count(ctx, &w.report.Quarantine, int64(len(keys)), bytes)
}
