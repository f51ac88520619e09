package icebergrepair

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"math/rand/v2"
	"strconv"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/iceberg-go"
	"github.com/apache/iceberg-go/table"

	"github.com/shop-connect/shop-connect/internal/icebergcatalog"
)

const (
	// rowsPerCommit bounds the memory of a repair.
	rowsPerCommit = 200_000
	// maxAttempts bounds how often a commit is tried against writers that are faster. The next run tries again.
	maxAttempts = 50
)

// repair repairs the files that are due.
func (p *processor) repair(ctx context.Context, tbl *table.Table, r *report) error {
	for attempt := 0; ; {
		paths := p.gaps.due()
		if len(paths) == 0 {
			return nil
		}
		tasks, err := p.tasks(ctx, tbl, paths)
		if err != nil {
			return err
		}
		rows, err := p.read(ctx, tbl, tasks, rowsPerCommit)
		if err != nil {
			return err
		}
		if p.paused != nil {
			p.paused()
		}
		next, err := p.commit(ctx, tbl, rows, r)
		rows.release()
		if errors.Is(err, errOvertaken) {
			// read again what is there now
			if attempt++; attempt == maxAttempts {
				return fmt.Errorf("committing repairs: other writers changed the same rows %d times in a row", attempt)
			}
			tbl = next
			continue
		}
		if err != nil {
			return err
		}
		tbl, attempt = next, 0
		r.Rows += rows.rows
		for path, missing := range rows.missing {
			r.Files++
			p.gaps.remember(path, p.set, missing)
		}
	}
}

// tasks lists the files that are still part of the table, with the deletes that apply to them. Files that
// are not are forgotten: whoever replaced them wrote others, which are looked at by themselves.
func (p *processor) tasks(ctx context.Context, tbl *table.Table, paths []string) ([]table.FileScanTask, error) {
	scan := tbl.Scan()
	defer scan.Close()
	all, err := scan.PlanFiles(ctx)
	if err != nil {
		return nil, fmt.Errorf("listing the table's files: %w", err)
	}
	byPath := make(map[string]table.FileScanTask, len(all))
	for _, task := range all {
		byPath[task.File.FilePath()] = task
	}
	var tasks []table.FileScanTask
	for _, path := range paths {
		if task, live := byPath[path]; live {
			tasks = append(tasks, task)
		} else {
			p.gaps.drop(path)
		}
	}
	return tasks, nil
}

// errOvertaken says that a row which was read has been changed by another writer since.
var errOvertaken = errors.New("another writer changed the same rows")

// commit puts repaired rows in the place of the old ones in one snapshot, and returns the table as it is
// then. It is fenced to a snapshot in which no row is other than it was read (I3).
func (p *processor) commit(ctx context.Context, tbl *table.Table, rows *repaired, r *report) (*table.Table, error) {
	if rows.rows == 0 {
		return tbl, nil
	}
	data, deletes, err := p.write(ctx, tbl, rows)
	if err != nil {
		return tbl, err
	}
	schema, spec := tbl.Schema().ID, tbl.Spec()
	for attempt := 0; ; attempt++ {
		committed, err := p.commitFiles(ctx, tbl, data, deletes)
		if committed != nil {
			return committed, err
		}
		if !icebergcatalog.Refused(err) {
			// It may be in: the files stay, and the next run finds out from the table.
			return tbl, fmt.Errorf("committing repairs: %w", err)
		}
		r.Conflicts++
		if attempt == maxAttempts {
			discard(ctx, tbl, data, deletes)
			return tbl, fmt.Errorf("committing repairs: other writers were first %d times in a row: %w", attempt, err)
		}
		select {
		case <-ctx.Done():
			return tbl, ctx.Err()
		case <-time.After(rand.N(20 * time.Millisecond)):
		}
		next, err := p.load(ctx)
		if err != nil || next == nil {
			return tbl, errors.Join(err, errGone(next))
		}
		now := next.Spec()
		untouched, err := p.untouched(ctx, tbl, next, rows)
		if err != nil {
			return tbl, err
		}
		if !untouched || next.Schema().ID != schema || now.ID() != spec.ID() {
			discard(ctx, next, data, deletes)
			return next, errOvertaken
		}
		tbl = next
	}
}

func errGone(tbl *table.Table) error {
	if tbl == nil {
		return errors.New("committing repairs: the table is gone")
	}
	return nil
}

func (p *processor) write(ctx context.Context, tbl *table.Table, rows *repaired) (data, deletes []iceberg.DataFile, err error) {
	for file, err := range table.WriteRecords(ctx, tbl, rows.schema, each(rows.records)) {
		if err != nil {
			return nil, nil, fmt.Errorf("writing repaired rows: %w", err)
		}
		data = append(data, file)
	}
	key, _ := tbl.Schema().FindFieldByName(p.cfg.contract.Fields[p.cfg.contract.Key].Name)
	// a repair changes no column that a row's partition depends on: the old row is where the new one goes
	deletes, err = tbl.NewTransaction().WriteEqualityDeletes(ctx, []int{key.ID}, each(rows.records))
	if err != nil {
		return nil, nil, fmt.Errorf("writing deletes of repaired rows: %w", err)
	}
	return data, deletes, nil
}

// each yields records that stay the caller's.
func each(records []arrow.RecordBatch) iter.Seq2[arrow.RecordBatch, error] {
	return func(yield func(arrow.RecordBatch, error) bool) {
		for _, rec := range records {
			rec.Retain()
			if !yield(rec, nil) {
				return
			}
		}
	}
}

func (p *processor) commitFiles(ctx context.Context, tbl *table.Table, data, deletes []iceberg.DataFile) (*table.Table, error) {
	// no record was taken in: the offsets stay as they are, in the newest snapshot too
	carried := iceberg.Properties{}
	for _, key := range []string{icebergcatalog.OffsetsKey, icebergcatalog.TopicsKey} {
		if text := icebergcatalog.Committed(tbl, key); text != "" {
			carried[key] = text
		}
	}
	tx := tbl.NewTransaction()
	if err := tx.NewRowDelta(carried).AddRows(data...).AddDeletes(deletes...).Commit(ctx); err != nil {
		return nil, err
	}
	// I3: without this fence a correction committed meanwhile would lose its row, or a deleted row come back
	if err := tx.AssertRefSnapshotID(table.MainBranch); err != nil {
		return nil, err
	}
	return tx.Commit(ctx)
}

// untouched says whether no row that was read has been changed or deleted between two states of the table.
// What is appended has new keys; what is replaced is the same rows in other files; whoever changes a row
// deletes the old one by its key. Of anything else nothing is known.
func (p *processor) untouched(ctx context.Context, before, now *table.Table, rows *repaired) (bool, error) {
	between, unbroken := table.AncestorsBetween(now.CurrentSnapshot().SnapshotID, before.CurrentSnapshot().SnapshotID, now.SnapshotByID)
	if !unbroken {
		return false, nil
	}
	// changed are the delete files that each snapshot added.
	changed := map[int64]int{}
	for i := range between {
		s := &between[i]
		if s.Summary == nil {
			return false, nil
		}
		switch s.Summary.Operation {
		case table.OpAppend, table.OpReplace:
			continue
		case table.OpOverwrite, table.OpDelete:
			// deletes by key and nothing else: no file of rows is taken away, and no row by its place
			for _, sign := range []string{"deleted-data-files", "added-position-delete-files", "added-dvs"} {
				if n := s.Summary.Properties[sign]; n != "" && n != "0" {
					return false, nil
				}
			}
			added, err := strconv.Atoi(s.Summary.Properties["added-delete-files"])
			if err != nil {
				return false, nil //nolint:nilerr // a summary without the number says nothing, and nothing is assumed
			}
			changed[s.SnapshotID] = added
		default:
			return false, nil
		}
	}
	if len(changed) == 0 {
		return true, nil
	}
	var files []table.FileScanTask
	err := entries(ctx, now, iceberg.ManifestContentDeletes, func(iceberg.ManifestFile) bool { return true }, func(e iceberg.ManifestEntry) {
		if _, is := changed[e.SnapshotID()]; is {
			changed[e.SnapshotID()]--
			files = append(files, table.FileScanTask{File: e.DataFile(), Length: e.DataFile().FileSizeBytes()})
		}
	})
	if err != nil || len(files) == 0 {
		return false, err
	}
	for _, missing := range changed {
		// Upkeep has applied deletes and dropped them since: whom they were of is not known any more (I3).
		if missing != 0 {
			return false, nil
		}
	}
	return p.noneOf(ctx, now, files, rows)
}

// noneOf says whether delete files name no key of the rows.
func (p *processor) noneOf(ctx context.Context, tbl *table.Table, files []table.FileScanTask, rows *repaired) (bool, error) {
	c := p.cfg.contract
	scan := tbl.Scan(table.WithSelectedFields(c.Fields[c.Key].Name))
	defer scan.Close()
	_, records, err := scan.ReadTasks(ctx, files)
	if err != nil {
		return false, fmt.Errorf("reading what others deleted: %w", err)
	}
	deleted := map[string]struct{}{}
	for rec, err := range records {
		if err != nil {
			return false, fmt.Errorf("reading what others deleted: %w", err)
		}
		err := noteKeys(rec, c, deleted)
		rec.Release()
		if err != nil {
			return false, err
		}
	}
	for key := range deleted {
		if _, ours := rows.keys[key]; ours {
			return false, nil
		}
	}
	return true, nil
}

// discard removes files that a refused commit has left behind.
func discard(ctx context.Context, tbl *table.Table, lists ...[]iceberg.DataFile) {
	fs, err := tbl.FS(ctx)
	if err != nil {
		return
	}
	for _, list := range lists {
		for _, f := range list {
			// One that stays is an orphan, which table maintenance removes.
			_ = fs.Remove(f.FilePath())
		}
	}
}
