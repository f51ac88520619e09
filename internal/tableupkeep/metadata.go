package tableupkeep

import (
	"context"
	"fmt"
	"time"

	"github.com/apache/iceberg-go"
	"github.com/apache/iceberg-go/table"
)

// mergeManifests makes few manifests of many. It changes which file lists what, and no row.
func (k *Keeper) mergeManifests(ctx context.Context) error {
	if many, err := k.manyManifests(ctx); err != nil || !many {
		return err
	}
	var merged int
	err := k.fenced(ctx, func(tx *table.Transaction) (bool, error) {
		merged = 0
		if many, err := k.manyManifests(ctx); err != nil || !many {
			return false, err
		}
		result, err := tx.RewriteManifests(ctx)
		if err != nil {
			return false, fmt.Errorf("merging manifests of table %q: %w", k.report.Table, err)
		}
		if !result.IsNoOp() {
			merged = len(result.RewrittenManifests)
		}
		return merged > 0, nil
	})
	k.report.Manifests += merged
	return err
}

// manyManifests says whether there are more manifests of data files than a snapshot may list. Those of
// delete files go with their deletes.
func (k *Keeper) manyManifests(ctx context.Context) (bool, error) {
	manifests, err := k.manifests(ctx)
	data := 0
	for _, m := range manifests {
		if m.ManifestContent() == iceberg.ManifestContentData {
			data++
		}
	}
	return data > k.options.MaxManifests, err
}

func (k *Keeper) manifests(ctx context.Context) ([]iceberg.ManifestFile, error) {
	head := k.tbl.CurrentSnapshot()
	if head == nil {
		return nil, nil
	}
	fs, err := k.tbl.FS(ctx)
	if err != nil {
		return nil, fmt.Errorf("opening the table's store: %w", err)
	}
	manifests, err := head.Manifests(fs)
	if err != nil {
		return nil, fmt.Errorf("listing manifests: %w", err)
	}
	return manifests, nil
}

// expires says whether a snapshot is older than readers need it.
func (k *Keeper) expires(now time.Time) bool {
	head := k.tbl.CurrentSnapshot()
	oldest := now.Add(-k.options.KeepSnapshots).UnixMilli()
	for _, s := range k.tbl.Metadata().Snapshots() {
		if s.TimestampMs < oldest && s.SnapshotID != head.SnapshotID {
			return true
		}
	}
	return false
}

// expire forgets old snapshots and removes the files that were in them alone.
func (k *Keeper) expire(ctx context.Context) error {
	if !k.expires(time.Now()) {
		return nil
	}
	var before *table.Table
	err := k.fenced(ctx, func(tx *table.Transaction) (bool, error) {
		if before = nil; !k.expires(time.Now()) {
			return false, nil
		}
		before = k.tbl
		// The files are removed here: the library takes one that is gone already for a fault.
		if err := tx.ExpireSnapshots(table.WithOlderThan(k.options.KeepSnapshots), table.WithPostCommit(false)); err != nil {
			return false, fmt.Errorf("expiring snapshots of table %q: %w", k.report.Table, err)
		}
		return true, nil
	})
	if err != nil || before == nil {
		return err
	}
	k.report.Expired += len(before.Metadata().Snapshots()) - len(k.tbl.Metadata().Snapshots())
	if before.Properties()["gc.enabled"] == "false" {
		return nil // its files may be in other tables
	}
	return k.removeExpired(ctx, before, k.tbl)
}

func (k *Keeper) orphansDue(now time.Time) bool {
	return k.options.KeepOrphans > 0 && now.Sub(k.orphansAt) >= k.options.OrphansEvery
}

// removeOrphans removes files that no snapshot refers to: what a crashed writer or a refused commit has
// left. A younger file may be about to be committed, so age decides.
func (k *Keeper) removeOrphans(ctx context.Context) error {
	if !k.orphansDue(time.Now()) {
		return nil
	}
	if k.tbl.Properties()["gc.enabled"] == "false" {
		return nil // its files may be in other tables
	}
	result, err := k.tbl.DeleteOrphanFiles(ctx, table.WithFilesOlderThan(k.options.KeepOrphans))
	if err != nil {
		return fmt.Errorf("removing orphans of table %q: %w", k.report.Table, err)
	}
	k.orphansAt = time.Now()
	k.report.Orphans += len(result.DeletedFiles)
	return nil
}

// measure counts what the table has in the end.
func (k *Keeper) measure(ctx context.Context) error {
	s, err := stateOf(ctx, k.tbl)
	if err != nil {
		return err
	}
	manifests, err := k.manifests(ctx)
	if err != nil {
		return err
	}
	k.report.LiveFiles, k.report.LiveDeletes = len(s.tasks), len(s.deletes)
	k.report.LiveManifests, k.report.Snapshots = len(manifests), len(k.tbl.Metadata().Snapshots())
	for _, task := range s.tasks {
		k.report.LiveRows += task.File.Count()
	}
	return nil
}
