package icebergsink

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/iceberg-go"
	"github.com/apache/iceberg-go/table"

	"github.com/shop-connect/shop-connect/internal/columns"
)

// loadKeys reads which keys the table holds and where, the newest files last.
func (o *output) loadKeys(ctx context.Context, tbl *table.Table) error {
	o.keys = newRecentKeys(o.cfg.recentKeys)
	tasks, err := o.planFiles(ctx, tbl)
	if err != nil {
		return err
	}
	slices.SortStableFunc(tasks, func(a, b table.FileScanTask) int { return cmp.Compare(sequence(a), sequence(b)) })
	room, first := int64(o.cfg.recentKeys), len(tasks)
	for first > 0 && tasks[first-1].File.Count() <= room {
		first--
		room -= tasks[first].File.Count()
	}
	o.keys.complete = first == 0
	err = o.readKeys(ctx, tbl, tasks[first:], func(hash uint64, place uint32) { o.keys.put(hash, 0, place) })
	o.log.Debugf("Remembering %d keys of %s, all of them: %t", o.keys.len(), o.name, o.keys.complete)
	return err
}

func sequence(t table.FileScanTask) int64 {
	if t.DataSequenceNumber == nil {
		return 0
	}
	return *t.DataSequenceNumber
}

func (o *output) planFiles(ctx context.Context, tbl *table.Table) ([]table.FileScanTask, error) {
	scan := tbl.Scan()
	defer scan.Close()
	tasks, err := scan.PlanFiles(ctx)
	if err != nil {
		return nil, fmt.Errorf("listing the table's files: %w", err)
	}
	spec := tbl.Spec()
	for _, task := range tasks {
		// Equality deletes of one partition spec do not reach rows of another.
		if int(task.File.SpecID()) != spec.ID() {
			return nil, permanentError{fmt.Errorf("file %q is laid out by an earlier partition spec of the table: rewrite the table's data files first", task.File.FilePath())}
		}
	}
	return tasks, nil
}

// refreshKeys catches up with what others have committed between two states of the table.
func (o *output) refreshKeys(ctx context.Context, before, now *table.Table) error {
	head := now.CurrentSnapshot()
	if head == nil || before.CurrentSnapshot() == nil {
		return o.loadKeys(ctx, now)
	}
	between, unbroken := table.AncestorsBetween(head.SnapshotID, before.CurrentSnapshot().SnapshotID, now.SnapshotByID)
	if !unbroken {
		return o.loadKeys(ctx, now)
	}
	created, foreign := map[int64]bool{}, map[int64]bool{}
	var merges []int64
	merged := false
	for i := range between { // the newest first
		created[between[i].SnapshotID] = true
		operation := table.OpOverwrite
		if between[i].Summary != nil {
			operation = between[i].Summary.Operation
		}
		if operation == table.OpReplace {
			// Compaction moves rows between files, never between partitions: nothing is new, unless it has merged
			// files of others before it.
			merges = append(merges, between[i].SnapshotID)
			continue
		}
		foreign[between[i].SnapshotID] = true
		for _, id := range merges {
			foreign[id], merged = true, true
		}
		merges = merges[:0]
		if operation != table.OpAppend {
			o.keys.forgetContents()
		}
	}
	if len(foreign) == 0 {
		return nil
	}
	tasks, err := filesOf(ctx, now, created, foreign)
	if err == nil && merged {
		tasks, err = o.withDeletes(ctx, now, tasks)
	}
	if err != nil {
		return err
	}
	return o.readKeys(ctx, now, tasks, func(hash uint64, place uint32) { o.keys.put(hash, 0, place) })
}

// withDeletes adds to files the deletes that apply to them. A merge that was begun before a correction of this
// writer's has the row that was corrected, which a delete takes away: read without it, that row's partition
// would be remembered instead of the one that the row is in now, and the next correction would miss it (I3).
func (o *output) withDeletes(ctx context.Context, tbl *table.Table, files []table.FileScanTask) ([]table.FileScanTask, error) {
	tasks, err := o.planFiles(ctx, tbl)
	if err != nil {
		return nil, err
	}
	wanted := make(map[string]bool, len(files))
	for _, f := range files {
		wanted[f.File.FilePath()] = true
	}
	tasks = slices.DeleteFunc(tasks, func(t table.FileScanTask) bool { return !wanted[t.File.FilePath()] })
	slices.SortStableFunc(tasks, func(a, b table.FileScanTask) int { return cmp.Compare(sequence(a), sequence(b)) })
	return tasks, nil
}

// filesOf lists the live data files that some snapshots added, oldest first. They are named in manifests
// made since.
func filesOf(ctx context.Context, tbl *table.Table, since, snapshots map[int64]bool) ([]table.FileScanTask, error) {
	fs, err := tbl.FS(ctx)
	if err != nil {
		return nil, err
	}
	manifests, err := tbl.CurrentSnapshot().Manifests(fs)
	if err != nil {
		return nil, fmt.Errorf("listing manifests: %w", err)
	}
	var tasks []table.FileScanTask
	for _, m := range manifests {
		if m.ManifestContent() != iceberg.ManifestContentData || !since[m.SnapshotID()] {
			continue
		}
		for entry, err := range m.Entries(fs, true) {
			if err != nil {
				return nil, fmt.Errorf("reading manifest %q: %w", m.FilePath(), err)
			}
			if file := entry.DataFile(); snapshots[entry.SnapshotID()] {
				seq := entry.SequenceNum()
				tasks = append(tasks, table.FileScanTask{File: file, Length: file.FileSizeBytes(), DataSequenceNumber: &seq})
			}
		}
	}
	slices.SortStableFunc(tasks, func(a, b table.FileScanTask) int { return cmp.Compare(sequence(a), sequence(b)) })
	return tasks, nil
}

// readKeys reads the key and partition columns of files, deletes applied.
func (o *output) readKeys(ctx context.Context, tbl *table.Table, tasks []table.FileScanTask, found func(hash uint64, place uint32)) error {
	if len(tasks) == 0 {
		return nil
	}
	names := []string{o.cfg.contract.Fields[o.cfg.contract.Key].Name}
	for i := range o.partitions.sources {
		names = append(names, o.partitions.sources[i].name)
	}
	scan := tbl.Scan(table.WithSelectedFields(names...))
	defer scan.Close()
	schema, records, err := scan.ReadTasks(ctx, tasks)
	if err != nil {
		return fmt.Errorf("reading the table's keys: %w", err)
	}
	at := make([]int, len(names))
	for i, name := range names {
		at[i] = schema.FieldIndices(name)[0]
	}
	for rec, err := range records {
		if err != nil {
			return fmt.Errorf("reading the table's keys: %w", err)
		}
		err = o.readRecord(rec, at, found)
		rec.Release()
		if err != nil {
			return err
		}
	}
	return nil
}

func (o *output) readRecord(rec arrow.RecordBatch, at []int, found func(hash uint64, place uint32)) error {
	row := make([]value, len(at)-1)
	for i := range int(rec.NumRows()) {
		for j := range row {
			v, err := fromArrow(rec.Column(at[j+1]), i)
			if err != nil {
				return err
			}
			row[j] = v
		}
		var hash uint64
		switch keys := rec.Column(at[0]).(type) {
		case *array.String:
			hash = hashString(o.seed, keys.Value(i))
		case *array.LargeString:
			hash = hashString(o.seed, keys.Value(i))
		case *array.Int64:
			hash = hashInt(o.seed, keys.Value(i))
		default:
			return fmt.Errorf("reading the table's keys: unexpected type %s", keys.DataType())
		}
		found(hash, o.partitions.of(row))
	}
	return nil
}

// lookUp finds the places of keys of a batch in those files of the table whose range of keys they fall
// in. With ids that grow in time, such as UUIDv7, that is no file at all for a new purchase.
func (o *output) lookUp(ctx context.Context, b *columns.Batch, rows []int32) (map[uint64]uint32, error) {
	key := b.Contract.Key
	wanted, keys := make(map[uint64]bool, len(rows)), make([]value, len(rows))
	for i, row := range rows {
		if text := &b.Columns[key].Text; text.Offsets != nil {
			keys[i].text = string(text.At(int(row)))
			wanted[hashText(o.seed, text.At(int(row)))] = true
		} else {
			keys[i].num = b.Columns[key].Int[row]
			wanted[hashInt(o.seed, keys[i].num)] = true
		}
	}
	slices.SortFunc(keys, compareKeys)
	tasks, err := o.planFiles(ctx, o.tbl)
	if err != nil {
		return nil, err
	}
	field, _ := o.tbl.Schema().FindFieldByName(b.Contract.Fields[key].Name)
	tasks = slices.DeleteFunc(tasks, func(t table.FileScanTask) bool { return !mayHold(t.File, field, keys) })
	places := map[uint64]uint32{}
	err = o.readKeys(ctx, o.tbl, tasks, func(hash uint64, place uint32) {
		if wanted[hash] {
			places[hash] = place
		}
	})
	return places, err
}

func compareKeys(a, b value) int {
	return cmp.Or(cmp.Compare(a.text, b.text), cmp.Compare(a.num, b.num))
}

// mayHold says whether any of the sorted keys lies within a file's bounds.
func mayHold(file iceberg.DataFile, field iceberg.NestedField, sorted []value) bool {
	low, okLow := bound(file.LowerBoundValues(), field)
	high, okHigh := bound(file.UpperBoundValues(), field)
	if !okLow || !okHigh {
		return true
	}
	i, _ := slices.BinarySearchFunc(sorted, low, compareKeys)
	return i < len(sorted) && compareKeys(sorted[i], high) <= 0
}

func bound(bounds map[int][]byte, field iceberg.NestedField) (value, bool) {
	raw, found := bounds[field.ID]
	if !found {
		return value{}, false
	}
	literal, err := iceberg.LiteralFromBytes(field.Type, raw)
	if err != nil {
		return value{}, false
	}
	return fromLiteral(iceberg.Optional[iceberg.Literal]{Val: literal, Valid: true}), true
}
