package icebergsink

import (
	"fmt"
	"io/fs"
	"math/rand/v2"
	"path/filepath"
	"testing"
	"time"

	"github.com/apache/iceberg-go"
	"github.com/apache/iceberg-go/table"
	"github.com/redpanda-data/benthos/v4/public/service"
)

const (
	deletesRows, deletesDays     = 20_000, 28
	deletesLoaded                = 25 // commits before
	deletesCorrected, deletesOld = 200, 10
)

// deletesBatch is new purchases of today, and a hundredth of corrections: most of them of the last commits,
// some of any day. keys are those of the rows that are replaced.
func deletesBatch(n int) (batch service.MessageBatch, keys []string, days []iceberg.Date) {
	random := rand.New(rand.NewPCG(uint64(n), 5))
	add := func(commit, row, quantity int) (key string, day int) {
		// ids are random, as UUIDs are: a file's range of keys says nothing
		key = fmt.Sprintf("%08x-%d", uint32(commit*deletesRows+row)*2654435761, commit*deletesRows+row)
		day = 1 + commit%deletesDays
		text := fmt.Sprintf(`{"id":%q,"product_id":"%d","customer_id":%d,"seller_id":3,"quantity":%d,"price_at_time":2.55,"purchased_at":"2024-01-%02dT08:26:00Z"}`,
			key, 10_000+row%5000, 10_000+row, quantity, day)
		batch = append(batch, message("purchases", 0, n*2*deletesRows+len(batch), 1_700_000_000_000+int64(n), text))
		return key, day
	}
	for row := range deletesRows {
		add(n, row, 1)
	}
	if n < deletesLoaded {
		return batch, nil, nil
	}
	seen := map[int]bool{}
	for i := range deletesCorrected {
		commit := n - 1 - random.IntN(2)
		if i < deletesOld {
			commit = random.IntN(n)
		}
		row := random.IntN(deletesRows)
		if seen[commit*deletesRows+row] {
			continue
		}
		seen[commit*deletesRows+row] = true
		key, day := add(commit, row, 2+n)
		keys, days = append(keys, key), append(days, iceberg.Date(19722+day))
	}
	return batch, keys, days
}

// How a row is best replaced: by equality deletes, as the sink does; by position deletes; or by writing its
// file anew. The same commits each way, then the time of reading it all.
func BenchmarkDeletes(b *testing.B) {
	for _, mode := range []string{"equality", "merge-on-read", "copy-on-write"} {
		b.Run(mode, func(b *testing.B) {
			s := newShop(b)
			out := s.sink()
			n := 0
			for ; n < deletesLoaded; n++ {
				batch, _, _ := deletesBatch(n)
				if err := out.WriteBatch(b.Context(), batch); err != nil {
					b.Fatal(err)
				}
			}
			if mode != "equality" {
				tx := out.tbl.NewTransaction()
				if err := tx.SetProperties(iceberg.Properties{"write.delete.mode": mode}); err != nil {
					b.Fatal(err)
				}
				var err error
				if out.tbl, err = tx.Commit(b.Context()); err != nil {
					b.Fatal(err)
				}
			}
			before, commits := s.bytes(), 0
			for b.Loop() {
				b.StopTimer()
				batch, keys, days := deletesBatch(n)
				n++
				commits++
				b.StartTimer()
				var err error
				if mode == "equality" {
					err = out.WriteBatch(b.Context(), batch)
				} else {
					err = out.replaceByFilter(b, batch, keys, days)
				}
				if err != nil {
					b.Fatal(err)
				}
			}
			perCommit := float64(s.bytes()-before) / float64(commits)
			elapsed := b.Elapsed()
			if rows := len(s.rows(out)); rows != n*deletesRows {
				b.Errorf("%d rows, want %d", rows, n*deletesRows)
			}
			b.ReportMetric(float64(elapsed.Milliseconds())/float64(commits), "ms/commit")
			b.ReportMetric(perCommit/1024, "kB/commit")
			b.ReportMetric(float64(s.readMillis(out)), "ms/scan")
		})
	}
}

// replaceByFilter deletes rows by what iceberg-go makes of a filter, and appends the batch.
func (o *output) replaceByFilter(b *testing.B, batch service.MessageBatch, keys []string, days []iceberg.Date) error {
	o.work.reset()
	if _, err := o.decode(o.work, batch, 0); err != nil {
		return err
	}
	p, err := o.plan(b.Context(), o.work)
	if err != nil {
		return err
	}
	p.removals = nil
	files, err := o.writeFiles(b.Context(), o.work, p)
	if err != nil {
		return err
	}
	tx := o.tbl.NewTransaction()
	// the partitions are known, as the sink knows them
	filter := iceberg.NewAnd(iceberg.IsIn(iceberg.Reference("purchase_date"), days...), iceberg.IsIn(iceberg.Reference("id"), keys...))
	if err := tx.Delete(b.Context(), filter, nil); err != nil {
		return err
	}
	if err := tx.AddDataFiles(b.Context(), files.data, nil, table.WithoutDuplicateCheck(), table.WithoutAutoNameMapping()); err != nil {
		return err
	}
	if o.tbl, err = tx.Commit(b.Context()); err != nil {
		return err
	}
	o.known = o.tbl
	o.remember(o.work, p)
	return nil
}

// bytes is the size of all Parquet files of a warehouse.
func (s *shop) bytes() (sum int64) {
	_ = filepath.WalkDir(filepath.Join(s.dir, "warehouse"), func(path string, d fs.DirEntry, err error) error {
		if err == nil && filepath.Ext(path) == ".parquet" {
			if info, err := d.Info(); err == nil {
				sum += info.Size()
			}
		}
		return err
	})
	return sum
}

func (s *shop) readMillis(out *output) int64 {
	began := time.Now()
	s.scan(out, func(string, string) {})
	return time.Since(began).Milliseconds()
}
