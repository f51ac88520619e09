package icebergsink

import (
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/iceberg-go"
	"github.com/apache/iceberg-go/table"

	"github.com/shop-connect/shop-connect/internal/contract"
	"github.com/shop-connect/shop-connect/internal/icebergcatalog"
)

// written are the files of a plan: on disk, and in no snapshot yet.
type written struct {
	plan          *plan
	data, deletes []iceberg.DataFile
	schema, spec  int
}

func (f *written) fits(p *plan, tbl *table.Table) bool {
	spec := tbl.Spec()
	return f.plan.sameChange(p) && f.schema == tbl.Schema().ID && f.spec == spec.ID()
}

// commitBatch makes a decoded batch part of the table exactly once (I2, I3): what the table has taken in
// is decided on the state that the commit is fenced to, and decided again whenever another writer
// was first.
func (o *output) commitBatch(ctx context.Context, w *work) error {
	var files *written
	release := func() {}
	defer func() { release() }()
	for attempt := 0; ; attempt++ {
		p, err := o.plan(ctx, w)
		if err != nil {
			return err
		}
		if files != nil && !files.fits(p, o.tbl) {
			o.discard(ctx, files)
			files = nil
		}
		if p.empty() {
			// Nothing to commit. The offsets go with the next commit, for a later event of a key
			// must not be undone by an earlier one that comes again.
			o.offsets = p.offsets
			o.metrics.planned(p)
			return nil
		}
		if files == nil {
			if files, err = o.writeFiles(ctx, w, p); err != nil {
				return err
			}
		}
		started := time.Now()
		if attempt == 0 {
			release = o.catalog.Turn(ctx, o.cfg.ident)
		}
		tbl, err := o.commit(ctx, files, p.offsets, o.topics)
		if err == nil {
			o.tbl, o.known = tbl, tbl
			o.remember(w, p)
			o.metrics.committed(p, files, w.oldest(), time.Since(started))
			o.log.Debugf("Committed snapshot %d of %s: %d rows and %d removals in %d files",
				tbl.CurrentSnapshot().SnapshotID, o.name, len(p.rows), len(p.removals), len(files.data)+len(files.deletes))
			return nil
		}
		if !icebergcatalog.Refused(err) {
			// The commit may be in: the files stay, and the table's offsets tell after reconnecting.
			return fmt.Errorf("committing: %w", err)
		}
		o.metrics.conflicts.Incr(1)
		o.log.Warnf("Another writer committed to %s first: checking what is left to write (attempt %d)", o.name, attempt+1)
		if err := o.catchUp(ctx, attempt); err != nil {
			return err
		}
	}
}

// catchUp loads the table as the other writer left it.
func (o *output) catchUp(ctx context.Context, attempt int) error {
	longest := min(time.Second, 10*time.Millisecond<<min(attempt, 10))
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(rand.N(longest)):
	}
	tbl, err := openTable(ctx, o.catalog, &o.cfg, false)
	if err != nil {
		return err
	}
	return o.adopt(ctx, tbl)
}

// commit adds files to the table in one snapshot, with the offsets and the topics that they are of, or fails if main has moved.
func (o *output) commit(ctx context.Context, files *written, taken offsets, of topics) (*table.Table, error) {
	tx := table.New(o.tbl.Identifier(), o.tbl.Metadata(), o.tbl.MetadataLocation(), o.store, shapeFence{o.catalog, o.tbl.Schema().ID}).NewTransaction()
	noted := iceberg.Properties{offsetsKey: taken.encode()}
	if len(of) > 0 {
		noted[icebergcatalog.TopicsKey] = of.encode()
	}
	var err error
	if len(files.deletes) == 0 {
		err = tx.AddDataFiles(ctx, files.data, noted, table.WithoutDuplicateCheck(), table.WithoutAutoNameMapping())
	} else {
		err = tx.NewRowDelta(noted).AddRows(files.data...).AddDeletes(files.deletes...).Commit(ctx)
	}
	if err != nil {
		return nil, err
	}
	if err := tx.SetProperties(noted); err != nil {
		return nil, err
	}
	if err := tx.AssertDefaultShape(); err != nil {
		return nil, err
	}
	// I3: without this fence two writers both find an offset missing, and both write it.
	if err := tx.AssertRefSnapshotID(table.MainBranch); err != nil {
		return nil, err
	}
	tbl, err := tx.Commit(ctx)
	if err != nil {
		return nil, err
	}
	if o.commits++; o.commits%commitsKept == 0 {
		return unchained(tbl, o.store, o.catalog), nil
	}
	return tbl, nil
}

// commitsKept is how many states of the table are in memory at most.
const commitsKept = 8

// unchained returns the same table without the states before it: a snapshot that iceberg-go has added points
// into the list of snapshots that it was added to, that one into the list before, and so on.
func unchained(tbl *table.Table, store table.FSysF, cat *icebergcatalog.Catalog) *table.Table {
	text, err := json.Marshal(tbl.Metadata())
	if err != nil {
		return tbl
	}
	alone, err := table.ParseMetadataBytes(text)
	if err != nil {
		return tbl
	}
	return table.New(tbl.Identifier(), alone, tbl.MetadataLocation(), store, cat)
}

// shapeFence has the catalog refuse a commit of files whose schema is no longer the table's. Such a change
// makes no snapshot, so that the fence around snapshots does not see it.
type shapeFence struct {
	*icebergcatalog.Catalog
	schema int
}

func (f shapeFence) CommitTable(ctx context.Context, ident table.Identifier, reqs []table.Requirement, updates []table.Update) (table.Metadata, string, error) {
	return f.Catalog.CommitTable(ctx, ident, append(slices.Clip(reqs), table.AssertCurrentSchemaID(f.schema)), updates)
}

// discard removes files that a refused commit has left behind and that no later one will use.
func (o *output) discard(ctx context.Context, files *written) {
	fs, err := o.tbl.FS(ctx)
	if err != nil {
		return
	}
	for _, list := range [][]iceberg.DataFile{files.data, files.deletes} {
		for _, f := range list {
			// One that stays is an orphan, which table maintenance removes.
			_ = fs.Remove(f.FilePath())
		}
	}
}

func (o *output) writeFiles(ctx context.Context, w *work, p *plan) (*written, error) {
	spec := o.tbl.Spec()
	files := &written{plan: p, schema: o.tbl.Schema().ID, spec: spec.ID()}
	if len(p.rows) > 0 {
		rows := p.rows
		if p.inOrder(w.batch) {
			rows = nil
		}
		rec := arrowRecord(o.schema, w.batch, rows)
		for file, err := range table.WriteRecords(ctx, o.tbl, o.schema, slicesOf(rec, p.places), table.WithTargetFileSize(o.cfg.targetBytes)) {
			if err != nil {
				return nil, fmt.Errorf("writing data files: %w", err)
			}
			files.data = append(files.data, file)
		}
	}
	if len(p.removals) > 0 {
		rec, err := o.removalRecord(w, p.removals)
		if err != nil {
			return nil, err
		}
		key, _ := o.tbl.Schema().FindFieldByName(o.cfg.contract.Fields[o.cfg.contract.Key].Name)
		files.deletes, err = o.tbl.NewTransaction().WriteEqualityDeletes(ctx, []int{key.ID}, slicesOf(rec, make([]uint32, len(p.removals))))
		if err != nil {
			return nil, fmt.Errorf("writing delete files: %w", err)
		}
	}
	return files, nil
}

// slicesOf yields a record by partition and gives up the caller's reference.
func slicesOf(rec arrow.RecordBatch, places []uint32) iter.Seq2[arrow.RecordBatch, error] {
	return func(yield func(arrow.RecordBatch, error) bool) {
		defer rec.Release()
		for from, to := 0, 1; from < len(places); from, to = to, to+1 {
			for to < len(places) && places[to] == places[from] {
				to++
			}
			if !yield(rec.NewSlice(int64(from), int64(to)), nil) {
				return
			}
		}
	}
}

// removalRecord holds the keys to delete, each with source values of the partition that its row is in:
// a correction may move a purchase to another day, and the delete belongs to the old one (I8).
func (o *output) removalRecord(w *work, removals []removal) (arrow.RecordBatch, error) {
	c := o.cfg.contract
	whole, err := table.SchemaToArrowSchema(o.tbl.Schema(), nil, true, false)
	if err != nil {
		return nil, err
	}
	fields := []arrow.Field{whole.Field(whole.FieldIndices(c.Fields[c.Key].Name)[0])}
	for i := range o.partitions.sources {
		fields = append(fields, whole.Field(whole.FieldIndices(o.partitions.sources[i].name)[0]))
	}
	b := array.NewRecordBuilder(memory.DefaultAllocator, arrow.NewSchema(fields, nil))
	defer b.Release()
	for _, r := range removals {
		key := value{}
		if c.Fields[c.Key].Type == contract.String {
			key.text = string(w.batch.Key(int(r.row)))
		} else {
			key.num = w.batch.Columns[c.Key].Int[r.row]
		}
		key.appendTo(b.Field(0))
		for i, v := range o.partitions.samples[r.place] {
			v.appendTo(b.Field(i + 1))
		}
	}
	return b.NewRecordBatch(), nil
}
