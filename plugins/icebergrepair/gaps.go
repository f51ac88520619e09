package icebergrepair

import (
	"context"
	"fmt"
	"hash/maphash"
	"maps"
	"slices"
	"strconv"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/iceberg-go"
	"github.com/apache/iceberg-go/table"

	"github.com/shop-connect/shop-connect/internal/dimension"
)

// maxKeys bounds the memory of gaps, at 8 bytes a key. Files beyond it are looked at whenever any key arrives.
const maxKeys = 8_000_000

// gaps says which files of the table hold rows that lack something, and which keys these lack.
type gaps struct {
	cfg      *config
	seed     maphash.Seed
	snapshot *table.Snapshot
	files    map[string]*fileGaps
	keys     int
}

// fileGaps are those of one file.
type fileGaps struct {
	// keys are the hashes of what is missing, by lookup, each in order.
	keys [][]uint64
	// many says that the keys were too many to remember.
	many bool
	// due says that something of it is known by now.
	due bool
}

func newGaps(cfg *config) *gaps {
	return &gaps{cfg: cfg, seed: maphash.MakeSeed(), files: map[string]*fileGaps{}}
}

func (g *gaps) missing() (n int) { return g.keys }

// due lists the files that something can be done about.
func (g *gaps) due() (paths []string) {
	for path, f := range g.files {
		if f.due {
			paths = append(paths, path)
		}
	}
	slices.Sort(paths)
	return paths
}

// note marks the files that lack any of the keys that have arrived.
func (g *gaps) note(arrived []map[string]struct{}) {
	for lookup, keys := range arrived {
		if len(keys) == 0 {
			continue
		}
		hashes := make([]uint64, 0, len(keys))
		for key := range keys {
			hashes = append(hashes, maphash.String(g.seed, key))
		}
		slices.Sort(hashes)
		for _, f := range g.files {
			f.due = f.due || f.many || meet(f.keys[lookup], hashes)
		}
	}
}

// meet says whether two lists in order have a number in common, at the cost of the shorter one.
func meet(a, b []uint64) bool {
	if len(a) > len(b) {
		a, b = b, a
	}
	for _, v := range a {
		i, found := slices.BinarySearch(b, v)
		if found {
			return true
		}
		b = b[i:]
	}
	return false
}

// update catches up with the files that the table has gained.
func (g *gaps) update(ctx context.Context, tbl *table.Table, set *dimension.Set) error {
	head := tbl.CurrentSnapshot()
	if g.snapshot != nil && g.snapshot.SnapshotID == head.SnapshotID {
		return nil
	}
	tasks, err := g.gained(ctx, tbl)
	if err != nil {
		return err
	}
	for _, task := range tasks {
		if !g.mayLack(tbl.Schema(), task.File) {
			continue
		}
		if err := g.index(ctx, tbl, set, task); err != nil {
			return err
		}
	}
	g.snapshot = head
	return nil
}

// gained lists the data files that are new since the last snapshot that was looked at; all there are where
// the way from there to here is not known.
func (g *gaps) gained(ctx context.Context, tbl *table.Table) ([]table.FileScanTask, error) {
	head, since := tbl.CurrentSnapshot(), map[int64]bool{}
	unbroken := g.snapshot != nil
	if unbroken {
		var between []table.Snapshot
		between, unbroken = table.AncestorsBetween(head.SnapshotID, g.snapshot.SnapshotID, tbl.SnapshotByID)
		for i := range between {
			since[between[i].SnapshotID] = true
		}
	}
	if !unbroken {
		g.files, g.keys = map[string]*fileGaps{}, 0
	}
	var tasks []table.FileScanTask
	err := entries(ctx, tbl, iceberg.ManifestContentData, func(m iceberg.ManifestFile) bool { return !unbroken || since[m.SnapshotID()] }, func(e iceberg.ManifestEntry) {
		if !unbroken || since[e.SnapshotID()] {
			tasks = append(tasks, table.FileScanTask{File: e.DataFile(), Length: e.DataFile().FileSizeBytes()})
		}
	})
	return tasks, err
}

// entries calls give with the live entries of the manifests that are wanted.
func entries(ctx context.Context, tbl *table.Table, content iceberg.ManifestContent, wanted func(iceberg.ManifestFile) bool, give func(iceberg.ManifestEntry)) error {
	fs, err := tbl.FS(ctx)
	if err != nil {
		return err
	}
	manifests, err := tbl.CurrentSnapshot().Manifests(fs)
	if err != nil {
		return fmt.Errorf("listing manifests: %w", err)
	}
	for _, m := range manifests {
		if m.ManifestContent() != content || !wanted(m) {
			continue
		}
		for entry, err := range m.Entries(fs, true) {
			if err != nil {
				return fmt.Errorf("reading manifest %q: %w", m.FilePath(), err)
			}
			give(entry)
		}
	}
	return nil
}

// mayLack says whether a file may hold a row that lacks something, by the bounds of its marks.
func (g *gaps) mayLack(schema *iceberg.Schema, file iceberg.DataFile) bool {
	for _, mark := range g.cfg.marks() {
		field, _ := schema.FindFieldByName(mark)
		low, bounded := file.LowerBoundValues()[field.ID]
		nulls, counted := file.NullValueCounts()[field.ID]
		if !bounded || !counted || nulls > 0 || len(low) != 1 || low[0] == 0 {
			return true
		}
	}
	return false
}

// index reads which keys a file lacks, and whether any of them is known by now.
func (g *gaps) index(ctx context.Context, tbl *table.Table, set *dimension.Set, task table.FileScanTask) error {
	missing := make([]map[string]struct{}, len(g.cfg.join.Lookups))
	names := g.cfg.marks()
	for i := range missing {
		missing[i] = map[string]struct{}{}
		names = append(names, g.cfg.join.Lookups[i].On)
	}
	scan := tbl.Scan(table.WithSelectedFields(distinct(names)...))
	defer scan.Close()
	_, records, err := scan.ReadTasks(ctx, []table.FileScanTask{task})
	if err != nil {
		return fmt.Errorf("reading what file %q lacks: %w", task.File.FilePath(), err)
	}
	for rec, err := range records {
		if err != nil {
			return fmt.Errorf("reading what file %q lacks: %w", task.File.FilePath(), err)
		}
		err := g.indexRecord(rec, missing)
		rec.Release()
		if err != nil {
			return err
		}
	}
	g.remember(task.File.FilePath(), set, missing)
	return nil
}

func distinct(names []string) []string {
	slices.Sort(names)
	return slices.Compact(names)
}

func (g *gaps) indexRecord(rec arrow.RecordBatch, missing []map[string]struct{}) error {
	for i := range missing {
		l := &g.cfg.join.Lookups[i]
		known, on, err := marked(rec, l)
		if err != nil {
			return err
		}
		var last string
		for row := range int(rec.NumRows()) {
			if known.IsValid(row) && known.Value(row) {
				continue
			}
			if key, ok := on(row); ok && (key != last || last == "") {
				missing[i][key], last = struct{}{}, key
			}
		}
	}
	return nil
}

// marked returns the column that marks what is missing, and the keys.
func marked(rec arrow.RecordBatch, l *dimension.Lookup) (known *array.Boolean, key func(row int) (string, bool), err error) {
	known, ok := column(rec, l.Known).(*array.Boolean)
	if !ok {
		return nil, nil, fmt.Errorf("reading column %q: it must be a boolean", l.Known)
	}
	switch on := column(rec, l.On).(type) {
	case interface {
		arrow.Array
		Value(int) string
	}:
		return known, func(row int) (string, bool) { return on.Value(row), on.IsValid(row) }, nil
	case *array.Int64:
		return known, func(row int) (string, bool) { return strconv.FormatInt(on.Value(row), 10), on.IsValid(row) }, nil
	}
	return nil, nil, fmt.Errorf("reading column %q: it must be a string or a long", l.On)
}

// column returns nil where there is none of that name.
func column(rec arrow.RecordBatch, name string) arrow.Array {
	if at := rec.Schema().FieldIndices(name); len(at) == 1 {
		return rec.Column(at[0])
	}
	return nil
}

// remember notes what a file lacks. What is known by now is due.
func (g *gaps) remember(path string, set *dimension.Set, missing []map[string]struct{}) {
	g.drop(path)
	known := set.Read()
	defer known.Done()
	f := &fileGaps{keys: make([][]uint64, len(missing))}
	total := 0
	for lookup, keys := range missing {
		total += len(keys)
		for key := range maps.Keys(keys) {
			f.due = f.due || known.Has(lookup, []byte(key))
		}
	}
	if total == 0 {
		return
	}
	if f.many = g.keys+total > maxKeys; !f.many {
		for lookup, keys := range missing {
			for key := range keys {
				f.keys[lookup] = append(f.keys[lookup], maphash.String(g.seed, key))
			}
			slices.Sort(f.keys[lookup])
		}
		g.keys += total
	}
	g.files[path] = f
}

// drop forgets a file.
func (g *gaps) drop(path string) {
	f := g.files[path]
	if f == nil {
		return
	}
	for _, keys := range f.keys {
		g.keys -= len(keys)
	}
	delete(g.files, path)
}
