// Package tableupkeep keeps an Iceberg table healthy beside those who write to it: small files become
// large ones, deletes are applied, manifests merged, snapshots expired and orphans removed.
//
// Nothing here takes the table from a writer. Every commit is fenced to the snapshot that it was decided
// on, and whoever loses decides again. Merged files keep the sequence number of the snapshot that they
// were read from, so that a correction which was committed meanwhile still removes its old row from them.
package tableupkeep

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/apache/iceberg-go"
	"github.com/apache/iceberg-go/catalog"
	"github.com/apache/iceberg-go/table"

	"github.com/shop-connect/shop-connect/internal/icebergcatalog"
)

// Options say what a healthy table is.
type Options struct {
	// TargetBytes is how large a merged file becomes; files of three quarters of it stay as they are.
	TargetBytes int64
	// MinFiles of one partition are worth a merge.
	MinFiles int
	// MaxDeletes is how many delete files may apply to a partition before it is rewritten without them.
	MaxDeletes int
	// MaxManifests is how many manifests a snapshot may list before they are merged.
	MaxManifests int
	// KeepSnapshots is how long a snapshot stays readable once another has replaced it.
	KeepSnapshots time.Duration
	// KeepOrphans is how old a file that no snapshot refers to must be to be removed, 0 for never.
	KeepOrphans time.Duration
	// OrphansEvery is how often orphans are looked for, which lists the whole table.
	OrphansEvery time.Duration
	// ApplyDeletes rewrites whatever has a row deleted: what was deleted is to be gone from the files.
	ApplyDeletes bool
}

// Report is what one run did and left.
type Report struct {
	Table string `json:"table"`
	// Skipped says why nothing was looked at: the table is not there, has not changed, or is in hand elsewhere.
	Skipped string `json:"skipped,omitempty"`

	FilesMerged    int   `json:"files_merged"`
	FilesWritten   int   `json:"files_written"`
	DeletesApplied int   `json:"delete_files_removed"`
	BytesRewritten int64 `json:"bytes_rewritten"`
	Manifests      int   `json:"manifests_merged"`
	Expired        int   `json:"snapshots_expired"`
	Orphans        int   `json:"orphans_removed"`
	Conflicts      int   `json:"conflicts"`
	GaveWay        int   `json:"merges_given_up"`

	LiveFiles     int   `json:"live_data_files"`
	LiveDeletes   int   `json:"live_delete_files"`
	LiveRows      int64 `json:"live_rows"`
	LiveManifests int   `json:"live_manifests"`
	Snapshots     int   `json:"snapshots"`
}

// Changed says whether the run committed or removed anything.
func (r *Report) Changed() bool {
	return r.FilesMerged+r.DeletesApplied+r.Manifests+r.Expired+r.Orphans > 0
}

func (r *Report) String() string {
	if r.Skipped != "" {
		return fmt.Sprintf("Upkeep of %s: %s", r.Table, r.Skipped)
	}
	return fmt.Sprintf("Upkeep of %s: %d files became %d, %d delete files applied, %d manifests merged, %d snapshots expired, %d orphans removed; it has %d data and %d delete files",
		r.Table, r.FilesMerged, r.FilesWritten, r.DeletesApplied, r.Manifests, r.Expired, r.Orphans, r.LiveFiles, r.LiveDeletes)
}

// Keeper looks after one table. It is not for use by several goroutines.
type Keeper struct {
	catalog *icebergcatalog.Catalog
	ident   table.Identifier
	options Options

	// settled is the table's metadata as the last run left it, with nothing to do.
	settled   string
	last      Report
	orphansAt time.Time

	tbl    *table.Table
	kept   manifestCache
	report Report
	// paused is called between reading what to merge and committing it, by tests.
	paused func()
}

// New looks after a table of an open catalog.
func New(cat *icebergcatalog.Catalog, ident table.Identifier, options Options) *Keeper {
	return &Keeper{catalog: cat, ident: ident, options: options}
}

// Run does what there is to do. Beside another run on the same table it does nothing.
func (k *Keeper) Run(ctx context.Context) (Report, error) {
	k.report = Report{Table: strings.Join(k.ident, ".")}
	err := k.load(ctx)
	if errors.Is(err, catalog.ErrNoSuchTable) || errors.Is(err, catalog.ErrNoSuchNamespace) {
		k.report.Skipped = "there is no such table yet"
		return k.report, k.catalog.CheckName(ctx, k.ident)
	}
	if err != nil {
		return k.report, err
	}
	if k.tbl.MetadataLocation() == k.settled && !k.expires(time.Now()) && !k.orphansDue(time.Now()) {
		k.report = k.last
		k.report.Skipped = "nothing has changed"
		return k.report, nil
	}
	release, got, err := k.lock(ctx)
	if err != nil {
		return k.report, err
	}
	if !got {
		k.report.Skipped = "somebody else is at it"
		return k.report, nil
	}
	defer release()
	for _, step := range []func(context.Context) error{k.compact, k.mergeManifests, k.expire, k.removeOrphans, k.measure} {
		if err := step(ctx); err != nil {
			return k.report, err
		}
	}
	k.kept.sweep()
	k.settled = k.tbl.MetadataLocation()
	k.last = Report{
		Table: k.report.Table, LiveFiles: k.report.LiveFiles, LiveDeletes: k.report.LiveDeletes, LiveRows: k.report.LiveRows,
		LiveManifests: k.report.LiveManifests, Snapshots: k.report.Snapshots,
	}
	return k.report, nil
}

// lock takes the table's lock. Whoever wants deletes applied waits for it: others may leave some.
func (k *Keeper) lock(ctx context.Context) (release func(), got bool, err error) {
	for {
		release, got, err = k.catalog.TryLock(ctx, k.ident)
		if got || err != nil || !k.options.ApplyDeletes {
			return release, got, err
		}
		select {
		case <-ctx.Done():
			return nil, false, ctx.Err()
		case <-time.After(200 * time.Millisecond):
		}
	}
}

func (k *Keeper) load(ctx context.Context) error {
	tbl, err := k.catalog.LoadTable(ctx, k.ident)
	if err != nil {
		return fmt.Errorf("loading table %q: %w", strings.Join(k.ident, "."), err)
	}
	k.tbl = table.New(tbl.Identifier(), tbl.Metadata(), tbl.MetadataLocation(), k.kept.around(tbl.FS), k.catalog)
	return nil
}

// maxAttempts bounds how often a commit is tried against writers that know no turns. The next run tries again.
const maxAttempts = 20

// fenced commits what stage adds to a transaction on the table as it stands then, and again where others
// commit first.
func (k *Keeper) fenced(ctx context.Context, stage func(tx *table.Transaction) (bool, error)) error {
	release := k.catalog.Turn(ctx, k.ident)
	defer release()
	for attempt := 1; ; attempt++ {
		if err := k.load(ctx); err != nil {
			return err
		}
		tx := k.tbl.NewTransaction()
		wanted, err := stage(tx)
		if err != nil || !wanted {
			return err
		}
		if err := tx.AssertRefSnapshotID(table.MainBranch); err != nil {
			return fmt.Errorf("fencing a commit: %w", err)
		}
		tbl, err := tx.Commit(ctx)
		if tbl != nil {
			// Committed; an error is of what was to be done afterwards, and leaves orphans at worst.
			k.tbl = tbl
			return err
		}
		if !icebergcatalog.Refused(err) {
			return fmt.Errorf("committing upkeep of table %q: %w", k.report.Table, err)
		}
		k.report.Conflicts++
		if attempt == maxAttempts {
			return fmt.Errorf("committing upkeep of table %q: its writers were first %d times in a row: %w", k.report.Table, attempt, err)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(rand.N(20 * time.Millisecond)):
		}
	}
}

// carried are the properties of a snapshot that changes no rows: the offsets that the table has taken in
// stay in its newest snapshot (I3).
func (k *Keeper) carried() iceberg.Properties {
	props := iceberg.Properties{}
	for _, key := range []string{icebergcatalog.OffsetsKey, icebergcatalog.TopicsKey} {
		if text := icebergcatalog.Committed(k.tbl, key); text != "" {
			props[key] = text
		}
	}
	return props
}
