package tableupkeep

import (
	"context"
	"fmt"
	"slices"

	"github.com/apache/iceberg-go"
	"github.com/apache/iceberg-go/table"
)

// batchBytes is how much is rewritten for one commit: less is lost where the process ends.
const batchBytes = 256 << 20

// rewritten is a group whose merged files are written and in no snapshot yet.
type rewritten struct {
	group
	into []iceberg.DataFile
}

// compact merges files, a few hundred megabytes a commit.
func (k *Keeper) compact(ctx context.Context) error {
	head := k.tbl.CurrentSnapshot()
	if head == nil {
		return nil
	}
	before, err := stateOf(ctx, k.tbl)
	if err != nil {
		return err
	}
	spec, read := k.tbl.Spec(), k.tbl
	known := map[string]bool{}
	for i := range before.deletes {
		known[before.deletes[i].file.FilePath()] = true
	}
	groups := plan(before, spec.ID(), &k.options)
	if len(groups) == 0 && len(deadDeletes(before, nil, 0)) == 0 {
		return nil
	}
	for first := true; first || len(groups) > 0; first = false {
		var batch []rewritten
		var bytes int64
		for len(groups) > 0 && bytes < batchBytes {
			into, err := k.rewrite(ctx, read, groups[0])
			if err != nil {
				k.discard(ctx, batch)
				return err
			}
			batch = append(batch, rewritten{groups[0], into})
			bytes += groups[0].bytes
			groups = groups[1:]
		}
		if k.paused != nil {
			k.paused()
		}
		if err := k.replace(ctx, batch, head.SequenceNumber, known); err != nil {
			return err
		}
	}
	return nil
}

// rewrite reads a group with deletes applied and writes what is left of it.
func (k *Keeper) rewrite(ctx context.Context, tbl *table.Table, g group) ([]iceberg.DataFile, error) {
	result, err := table.ExecuteCompactionGroup(ctx, tbl, table.CompactionTaskGroup{PartitionKey: g.partition, Tasks: g.tasks, TotalSizeBytes: g.bytes},
		table.WithCompactionTargetFileSize(k.options.TargetBytes),
		// what is in memory: a few small files, or a part of a large one
		table.WithCompactionScanConcurrency(2), table.WithCompactionArrowBatchSize(16_384), table.WithCompactionRecordBatchBufferSize(4))
	if err != nil {
		k.discard(ctx, []rewritten{{g, result.NewDataFiles}})
		return nil, fmt.Errorf("merging %d files of table %q: %w", len(g.tasks), k.report.Table, err)
	}
	return result.NewDataFiles, nil
}

// replace commits merged files in place of what they were made of. sequence is that of the snapshot they
// were read from, and known are the delete files it had: of them, those that apply are applied.
func (k *Keeper) replace(ctx context.Context, batch []rewritten, sequence int64, known map[string]bool) error {
	var merged []rewritten
	var dead []iceberg.DataFile
	err := k.fenced(ctx, func(tx *table.Transaction) (bool, error) {
		now, err := stateOf(ctx, k.tbl)
		if err != nil {
			return false, err
		}
		// Decided anew on the snapshot that the commit is fenced to.
		merged = merged[:0:0]
		for _, r := range batch {
			if stillRight(r, now, known) {
				merged = append(merged, r)
			}
		}
		dead = deadDeletes(now, merged, sequence)
		if len(merged) == 0 && len(dead) == 0 {
			return false, nil
		}
		// The sequence number is the one of the snapshot that was read. A delete that was committed since is of a
		// later one, and therefore reaches the merged rows; those that are applied do not reach them again.
		rewrite := tx.NewRewrite(k.carried()).DataSequenceNumber(sequence)
		for _, r := range merged {
			for _, task := range r.tasks {
				rewrite.DeleteFile(task.File)
			}
			for _, file := range r.into {
				rewrite.AddDataFile(file)
			}
		}
		for _, file := range dead {
			rewrite.DeleteFile(file)
		}
		if err := rewrite.Commit(ctx); err != nil {
			return false, fmt.Errorf("replacing files of table %q: %w", k.report.Table, err)
		}
		return true, nil
	})
	if err != nil {
		// The commit may be in, so the merged files stay; if it is not, they are orphans.
		return err
	}
	var lost []rewritten
	for _, r := range batch {
		if !slices.ContainsFunc(merged, func(m rewritten) bool { return &m.tasks[0] == &r.tasks[0] }) {
			lost = append(lost, r)
		}
	}
	k.discard(ctx, lost)
	k.report.GaveWay += len(lost)
	k.report.DeletesApplied += len(dead)
	for _, r := range merged {
		k.report.FilesMerged += len(r.tasks)
		k.report.FilesWritten += len(r.into)
		k.report.BytesRewritten += r.bytes
	}
	return nil
}

// stillRight says whether a merge may replace what it was made of: all of that is in the table, and no
// delete by position has been added, which would be of rows of those very files.
func stillRight(r rewritten, now state, known map[string]bool) bool {
	live := map[string]bool{}
	for _, task := range now.tasks {
		live[task.File.FilePath()] = true
		for _, list := range [][]iceberg.DataFile{task.DeleteFiles, task.DeletionVectorFiles} {
			if slices.ContainsFunc(list, func(f iceberg.DataFile) bool { return !known[f.FilePath()] }) {
				live[task.File.FilePath()] = false
			}
		}
	}
	return !slices.ContainsFunc(r.tasks, func(t table.FileScanTask) bool { return !live[t.File.FilePath()] })
}

// deadDeletes are the delete files that reach no row any more, once some merges are committed. Whether a
// delete reaches a file is what every reader asks of the planner; a later file is of a later sequence
// number, or a merge of files that the delete did not reach.
func deadDeletes(now state, merged []rewritten, sequence int64) []iceberg.DataFile {
	if len(now.deletes) == 0 {
		return nil
	}
	gone, partitions := map[string]bool{}, map[string]bool{}
	for _, r := range merged {
		partitions[r.partition] = true
		for _, task := range r.tasks {
			gone[task.File.FilePath()] = true
		}
	}
	reaches := map[string]bool{}
	for _, task := range now.tasks {
		if gone[task.File.FilePath()] {
			continue
		}
		for _, list := range [][]iceberg.DataFile{task.EqualityDeleteFiles, task.DeleteFiles, task.DeletionVectorFiles} {
			for _, f := range list {
				reaches[f.FilePath()] = true
			}
		}
	}
	var dead []iceberg.DataFile
	for i := range now.deletes {
		d := &now.deletes[i]
		if reaches[d.file.FilePath()] || table.IsDeletionVector(d.file) {
			continue
		}
		// Of later deletes, those of a merged partition may reach the merged files. One without a partition reaches all.
		if d.equality() && d.sequence > sequence && (partitions[partitionOf(d.file)] || (len(merged) > 0 && len(d.file.Partition()) == 0)) {
			continue
		}
		dead = append(dead, d.file)
	}
	return dead
}

// discard removes merged files that are certain never to be committed.
func (k *Keeper) discard(ctx context.Context, batch []rewritten) {
	fs, err := k.tbl.FS(ctx)
	if err != nil {
		return
	}
	for _, r := range batch {
		for _, f := range r.into {
			// One that stays is an orphan.
			_ = fs.Remove(f.FilePath())
		}
	}
}
