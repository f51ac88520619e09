package tableupkeep

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/shop-connect/shop-connect/internal/icebergcatalog"
)

// An hour of commits every five seconds, over many days, with upkeep once a minute.
func TestAnHourOfCommitsLeavesFewFiles(t *testing.T) {
	const commits, rows, corrected, days, perRun = 720, 500, 5, 8, 12
	s := newShop(t)
	write, keeper := s.writer(), s.keeper()
	keeper.options.KeepSnapshots = 0
	var report Report
	most, merged, bytes := 0, 0, int64(0)
	for commit := 1; commit <= commits; commit++ {
		batch := s.fresh(rows, days)
		if commit > 1 {
			batch = append(batch, s.corrections(corrected, days)...)
		}
		write(batch...)
		if commit%perRun == 0 {
			report = s.run(keeper)
			most = max(most, report.LiveFiles+report.LiveDeletes)
			merged, bytes = merged+report.FilesMerged, bytes+report.BytesRewritten
		}
	}
	t.Logf("%d data and %d delete files for %d rows, %d manifests, %d snapshots; after a run at most %d files; %d files of %d MB were merged",
		report.LiveFiles, report.LiveDeletes, report.LiveRows, report.LiveManifests, report.Snapshots, most, merged, bytes>>20)
	if int64(most)*1_000_000 > 200*report.LiveRows {
		t.Errorf("%d live files for %d rows, want at most 200 for a million", most, report.LiveRows)
	}
	if report.LiveManifests > 2*keeper.options.MaxManifests {
		t.Errorf("%d manifests", report.LiveManifests)
	}
	s.expect()
}

func TestCorrectionsDuringAMergeReachTheMergedFiles(t *testing.T) {
	const days = 3
	s := newShop(t)
	write, keeper := s.writer(), s.keeper()
	for range 8 {
		write(s.fresh(30, days)...)
	}
	keeper.paused = func() {
		// of rows that are in the merged files, and of one twice
		write(append(s.corrections(40, days), s.fresh(9, days)...)...)
		write(s.corrections(40, days)...)
		keeper.paused = nil
	}
	report := s.run(keeper)
	if report.FilesMerged != 8*days || report.GaveWay != 0 {
		t.Errorf("%+v, want all %d files merged", report, 8*days)
	}
	s.expect()
	if report.LiveDeletes == 0 {
		t.Error("the deletes that were committed meanwhile are gone, though they have rows to delete")
	}
	// A process that starts now reads the same, and goes on.
	again := s.writer()
	again(s.corrections(60, days)...)
	s.expect()
	keeper.options.ApplyDeletes = true
	if report = s.run(keeper); report.LiveDeletes != 0 {
		t.Errorf("%d delete files are left once all are applied", report.LiveDeletes)
	}
	s.expect()
}

// The merged files have rows as they were before the corrections, each with a delete that reaches it: a writer that
// looks for another writer's rows in them must not take those for where its own rows are.
func TestAWriterKnowsWhereItsRowsAreAfterAMergeThatOvertookThem(t *testing.T) {
	const days = 3
	s := newShop(t)
	write, other, keeper := s.writer(), s.writer(), s.keeper()
	for range 8 {
		write(s.fresh(30, days)...)
	}
	keeper.paused = func() {
		write(s.corrections(40, days)...)
		other(s.fresh(9, days)...)
		keeper.paused = nil
	}
	if report := s.run(keeper); report.FilesMerged == 0 {
		t.Fatalf("%+v, want merged files", report)
	}
	for range 5 {
		write(s.corrections(40, days)...)
		s.expect()
	}
}

func TestTwoKeepersAndAWriterAtOnce(t *testing.T) {
	const days = 4
	for name, open := range map[string]func(testing.TB) *shop{"SQLite": newShop, "PostgreSQL and S3": newStackShop} {
		t.Run(name, func(t *testing.T) {
			s := open(t)
			write := s.writer()
			write(s.fresh(40, days)...)
			ctx, stop := context.WithCancel(t.Context())
			var wg sync.WaitGroup
			for range 2 {
				keeper := s.keeper()
				keeper.options.KeepSnapshots, keeper.options.KeepOrphans = 500*time.Millisecond, time.Minute
				wg.Go(func() {
					for ctx.Err() == nil {
						if _, err := keeper.Run(ctx); err != nil && ctx.Err() == nil && !icebergcatalog.Refused(err) {
							t.Error(err)
						}
					}
				})
			}
			for range 30 {
				write(append(s.fresh(20, days), s.corrections(10, days)...)...)
			}
			stop()
			wg.Wait()
			s.expect()
			if report := s.run(s.keeper()); report.LiveFiles+report.LiveDeletes > days*12 {
				t.Errorf("%d data and %d delete files in %d partitions", report.LiveFiles, report.LiveDeletes, days)
			}
			s.expect()
		})
	}
}

func TestClickHouseReadsTheSameDuringAndAfterUpkeep(t *testing.T) {
	const days = 3
	s := newStackShop(t)
	write, keeper := s.writer(), s.keeper()
	for range 5 {
		write(s.fresh(30, days)...)
	}
	keeper.paused = func() { write(s.corrections(40, days)...); keeper.paused = nil }
	if report := s.run(keeper); report.FilesMerged != 5*days || report.LiveDeletes == 0 {
		t.Errorf("%+v, want merged files and deletes that reach them", report)
	}
	s.expectInClickHouse("with deletes that are later than the merged files")
	write(append(s.fresh(10, days), s.corrections(20, days)...)...)
	s.expectInClickHouse("with later commits")
	keeper.options.ApplyDeletes, keeper.options.MaxManifests, keeper.options.KeepSnapshots = true, 1, 0
	if report := s.run(keeper); report.LiveDeletes != 0 || report.Snapshots != 1 {
		t.Errorf("%+v, want no deletes and one snapshot", report)
	}
	s.expectInClickHouse("with everything applied and expired")
}

func TestAKeeperThatIsStoppedAmidAMergeLeavesNothingButOrphans(t *testing.T) {
	s := newShop(t)
	write, keeper := s.writer(), s.keeper()
	for range 6 {
		write(s.fresh(10, 1)...)
	}
	ctx, stop := context.WithCancel(t.Context())
	keeper.paused = stop
	if _, err := keeper.Run(ctx); !errors.Is(err, context.Canceled) {
		t.Fatalf("%v, want to be canceled", err)
	}
	s.expect()
	if n := s.files(); n != 7 {
		t.Fatalf("%d files, want 6 and the merged one that nobody committed", n)
	}
	keeper.paused = nil
	keeper.options.KeepOrphans = time.Nanosecond
	keeper.options.KeepSnapshots = 0
	if report := s.run(keeper); report.Orphans == 0 || report.FilesMerged != 6 || report.LiveFiles != 1 {
		t.Errorf("%+v, want the orphan gone and one live file", report)
	}
	if n := s.files(); n != 1 {
		t.Errorf("%d files, want the merged one alone", n)
	}
	s.expect()
}

func TestOffsetsStayInTheNewestSnapshotAndInTheTable(t *testing.T) {
	s := newShop(t)
	write, keeper := s.writer(), s.keeper()
	keeper.options.KeepSnapshots, keeper.options.MaxManifests = 0, 0
	for range 6 {
		write(s.fresh(10, 2)...)
	}
	want := icebergcatalog.Committed(s.table(), icebergcatalog.OffsetsKey)
	report := s.run(keeper)
	if report.FilesMerged == 0 || report.Snapshots != 1 {
		t.Fatalf("%+v, want files merged and one snapshot left", report)
	}
	tbl := s.table()
	if got := icebergcatalog.Committed(tbl, icebergcatalog.OffsetsKey); got != want || want == "" {
		t.Errorf("offsets %q, want %q", got, want)
	}
	// What was committed before upkeep is not taken in again.
	redelivered := s.writer()
	s.offset = 0
	redelivered(s.fresh(60, 2)...)
	for _, id := range s.ids[60:] {
		delete(s.want, id)
	}
	s.expect()
}

func TestNothingIsDoneWhereNothingHasChanged(t *testing.T) {
	s := newShop(t)
	keeper := s.keeper()
	if report := s.run(keeper); report.Skipped == "" {
		t.Error("a table that is not there yet was looked after")
	}
	write := s.writer()
	for range 5 {
		write(s.fresh(10, 1)...)
	}
	if report := s.run(keeper); report.FilesMerged != 5 {
		t.Errorf("%+v", report)
	}
	before := s.table().MetadataLocation()
	if report := s.run(keeper); report.Skipped == "" || report.LiveFiles != 1 {
		t.Errorf("%+v", report)
	}
	if s.table().MetadataLocation() != before {
		t.Error("a table that had not changed was committed to")
	}
}

func TestSnapshotsStayAsLongAsReadersNeedThem(t *testing.T) {
	s := newShop(t)
	write, keeper := s.writer(), s.keeper()
	for range 5 {
		write(s.fresh(10, 1)...)
	}
	reading := s.table()
	if report := s.run(keeper); report.Expired != 0 || report.FilesMerged != 5 {
		t.Errorf("%+v, want files merged and no snapshot expired", report)
	}
	if _, err := reading.Scan().ToArrowTable(t.Context()); err != nil {
		t.Errorf("a reader that began before: %v", err)
	}
	if n := s.files(); n != 6 {
		t.Errorf("%d files, want 6", n)
	}
}
