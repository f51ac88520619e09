package tableupkeep

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"sync"

	"github.com/apache/iceberg-go"
	icebergio "github.com/apache/iceberg-go/io"
	"github.com/apache/iceberg-go/table"
	"golang.org/x/sync/errgroup"
)

// requests is how many requests to the store are on their way at once.
const requests = 8

// removeExpired removes what could be reached from the snapshots of before and cannot from those of after.
// after is what the catalog took: whatever is committed later refers to files that after has, or to new ones.
func (k *Keeper) removeExpired(ctx context.Context, before, after *table.Table) error {
	store, err := before.FS(ctx)
	if err != nil {
		return fmt.Errorf("opening the table's store: %w", err)
	}
	kept := map[int64]bool{}
	for _, s := range after.Metadata().Snapshots() {
		kept[s.SnapshotID] = true
	}
	var expired []table.Snapshot
	for _, s := range before.Metadata().Snapshots() {
		if !kept[s.SnapshotID] {
			expired = append(expired, s)
		}
	}
	keptManifests, err := manifestsOf(ctx, store, after.Metadata().Snapshots())
	if err != nil {
		return err
	}
	goneManifests, err := manifestsOf(ctx, store, expired)
	if err != nil {
		return err
	}
	maps.DeleteFunc(goneManifests, func(path string, _ iceberg.ManifestFile) bool { return keptManifests[path] != nil })
	// A file was live in a manifest of the last snapshot that had it, and that one is among those that go.
	gone, err := liveFiles(ctx, store, goneManifests)
	if err != nil {
		return err
	}
	if len(gone) > 0 {
		live, err := liveFiles(ctx, store, keptManifests)
		if err != nil {
			return err
		}
		maps.DeleteFunc(gone, func(path string, _ struct{}) bool { _, there := live[path]; return there })
	}
	for path := range goneManifests {
		gone[path] = struct{}{}
	}
	for _, s := range expired {
		gone[s.ManifestList] = struct{}{}
	}
	if err := remove(ctx, store, slices.Collect(maps.Keys(gone))); err != nil {
		return fmt.Errorf("removing files of expired snapshots of table %q: %w; those that are left are orphans", k.report.Table, err)
	}
	return nil
}

// manifestsOf are the manifests that snapshots list, by path.
func manifestsOf(ctx context.Context, store icebergio.IO, snapshots []table.Snapshot) (map[string]iceberg.ManifestFile, error) {
	var mu sync.Mutex
	found := map[string]iceberg.ManifestFile{}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(requests)
	for i := range snapshots {
		group.Go(func() error {
			if err := ctx.Err(); err != nil {
				return err
			}
			manifests, err := snapshots[i].Manifests(store)
			if err != nil {
				return fmt.Errorf("listing manifests of snapshot %d: %w", snapshots[i].SnapshotID, err)
			}
			mu.Lock()
			defer mu.Unlock()
			for _, m := range manifests {
				found[m.FilePath()] = m
			}
			return nil
		})
	}
	return found, group.Wait()
}

// liveFiles are the data and delete files that manifests have.
func liveFiles(ctx context.Context, store icebergio.IO, manifests map[string]iceberg.ManifestFile) (map[string]struct{}, error) {
	var mu sync.Mutex
	found := map[string]struct{}{}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(requests)
	for path, m := range manifests {
		group.Go(func() error {
			if err := ctx.Err(); err != nil {
				return err
			}
			var files []string
			for entry, err := range m.Entries(store, true) {
				if err != nil {
					return fmt.Errorf("reading manifest %q: %w", path, err)
				}
				files = append(files, entry.DataFile().FilePath())
			}
			mu.Lock()
			defer mu.Unlock()
			for _, file := range files {
				found[file] = struct{}{}
			}
			return nil
		})
	}
	return found, group.Wait()
}

// remove removes files; that one is gone already is no fault.
func remove(ctx context.Context, store icebergio.IO, paths []string) error {
	if bulk, ok := store.(icebergio.BulkRemovableIO); ok {
		_, err := bulk.DeleteFiles(ctx, paths)
		return err
	}
	var group errgroup.Group
	group.SetLimit(requests)
	for _, path := range paths {
		group.Go(func() error {
			if err := store.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
			return nil
		})
	}
	return group.Wait()
}
