package tableupkeep

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/apache/iceberg-go"
	"github.com/apache/iceberg-go/table"
)

// state is what a snapshot holds.
type state struct {
	tasks   []table.FileScanTask
	deletes []deleteFile
	// deleteManifests is how many manifests list the deletes.
	deleteManifests int
}

// deleteFile is a live delete file and the sequence number up to which it deletes.
type deleteFile struct {
	file     iceberg.DataFile
	sequence int64
}

func (d *deleteFile) equality() bool { return d.file.ContentType() == iceberg.EntryContentEqDeletes }

func stateOf(ctx context.Context, tbl *table.Table) (s state, err error) {
	head := tbl.CurrentSnapshot()
	if head == nil {
		return s, nil
	}
	scan := tbl.Scan()
	defer scan.Close()
	if s.tasks, err = scan.PlanFiles(ctx); err != nil {
		return s, fmt.Errorf("listing the table's files: %w", err)
	}
	fs, err := tbl.FS(ctx)
	if err != nil {
		return s, fmt.Errorf("opening the table's store: %w", err)
	}
	manifests, err := head.Manifests(fs)
	if err != nil {
		return s, fmt.Errorf("listing manifests: %w", err)
	}
	for _, m := range manifests {
		if m.ManifestContent() != iceberg.ManifestContentDeletes {
			continue
		}
		s.deleteManifests++
		for entry, err := range m.Entries(fs, true) {
			if err != nil {
				return s, fmt.Errorf("reading manifest %q: %w", m.FilePath(), err)
			}
			s.deletes = append(s.deletes, deleteFile{entry.DataFile(), entry.SequenceNum()})
		}
	}
	return s, nil
}

// partitionOf names the partition that a file is in, as deletes reach it.
func partitionOf(f iceberg.DataFile) string {
	var name strings.Builder
	fmt.Fprintf(&name, "%d:", f.SpecID())
	partition := f.Partition()
	for _, id := range slices.Sorted(maps.Keys(partition)) {
		fmt.Fprintf(&name, "%d=%v;", id, partition[id])
	}
	return name.String()
}

// group is files of one partition that become one, or a few.
type group struct {
	partition string
	tasks     []table.FileScanTask
	bytes     int64
}

// plan chooses what to merge: the smallest files of a partition for as long as the next one is not much
// larger than all of them together. So a row is rewritten a few times while its file grows, and not each
// time that something arrives in its partition. Where many deletes apply, all that they touch is rewritten.
func plan(s state, spec int, o *Options) []group {
	partitions := map[string][]table.FileScanTask{}
	for _, task := range s.tasks {
		// A file of another spec would be laid out anew, out of the reach of deletes that were written for it.
		if int(task.File.SpecID()) == spec {
			name := partitionOf(task.File)
			partitions[name] = append(partitions[name], task)
		}
	}
	overdue := overdue(s, o)
	var groups []group
	for _, name := range slices.Sorted(maps.Keys(partitions)) {
		tasks := partitions[name]
		slices.SortStableFunc(tasks, func(a, b table.FileScanTask) int { return cmp.Compare(a.File.FileSizeBytes(), b.File.FileSizeBytes()) })
		merged := slices.Clip(tasks[:mergeable(tasks, o)]) // what is added to it must not overwrite the tasks
		if overdue[name] || deletesDue(tasks, o) {
			for _, task := range tasks[len(merged):] {
				if hasDeletes(task) {
					merged = append(merged, task)
				}
			}
		}
		groups = append(groups, pack(name, merged, o)...)
	}
	return groups
}

// overdue names partitions that are to be rewritten for one delete, because it is among the oldest in too
// many manifests: a delete manifest lives as long as any delete in it.
func overdue(s state, o *Options) map[string]bool {
	partitions := map[string]bool{}
	if s.deleteManifests <= o.MaxManifests {
		return partitions
	}
	oldestFirst := slices.SortedFunc(slices.Values(s.deletes), func(a, b deleteFile) int { return cmp.Compare(a.sequence, b.sequence) })
	for _, d := range oldestFirst[:(len(oldestFirst)+1)/2] {
		partitions[partitionOf(d.file)] = true
	}
	return partitions
}

// growth is how much larger than the smaller files together the next one may be to be merged with them.
const growth = 3

// mergeable counts how many of the files, smallest first, are worth a merge.
func mergeable(tasks []table.FileScanTask, o *Options) int {
	n, sum := 0, int64(0)
	for i, task := range tasks {
		size := task.File.FileSizeBytes()
		if size >= o.TargetBytes/4*3 {
			break
		}
		if i == 0 || size <= growth*sum {
			n = i + 1
		}
		sum += size
	}
	if n < o.MinFiles {
		return 0
	}
	return n
}

func hasDeletes(t table.FileScanTask) bool {
	return len(t.EqualityDeleteFiles)+len(t.DeleteFiles)+len(t.DeletionVectorFiles) > 0
}

// deletesDue says whether applying the deletes of a partition is worth rewriting what they touch.
func deletesDue(tasks []table.FileScanTask, o *Options) bool {
	var rows, deleted int64
	files := map[string]bool{}
	for _, task := range tasks {
		rows += task.File.Count()
		for _, list := range [][]iceberg.DataFile{task.EqualityDeleteFiles, task.DeleteFiles, task.DeletionVectorFiles} {
			for _, f := range list {
				if !files[f.FilePath()] {
					files[f.FilePath()] = true
					deleted += f.Count()
				}
			}
		}
	}
	if o.ApplyDeletes {
		return len(files) > 0
	}
	// a small partition may have few delete files: rewriting it costs little, and readers open each of them
	most := min(int64(o.MaxDeletes), max(int64(o.MinFiles), rows/20_000))
	return int64(len(files)) >= most || (deleted > 0 && deleted*10 >= rows && len(files) > 1)
}

// pack cuts files into groups of about the target size. A file by itself is worth it for its deletes alone.
func pack(name string, tasks []table.FileScanTask, o *Options) []group {
	var groups []group
	g := group{partition: name}
	done := func() {
		if len(g.tasks) > 1 || (len(g.tasks) == 1 && hasDeletes(g.tasks[0])) {
			groups = append(groups, g)
		}
		g = group{partition: name}
	}
	for _, task := range tasks {
		size := task.File.FileSizeBytes()
		if len(g.tasks) > 0 && g.bytes+size > o.TargetBytes {
			done()
		}
		g.tasks, g.bytes = append(g.tasks, task), g.bytes+size
	}
	done()
	return groups
}
