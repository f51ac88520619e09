package icebergsink

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/apache/iceberg-go"
	"github.com/apache/iceberg-go/catalog"
	"github.com/apache/iceberg-go/table"

	"github.com/shop-connect/shop-connect/internal/icebergcatalog"
)

// envWriter makes this test binary a process that writes the whole history of the test to a table.
const envWriter = "ICEBERGSINK_TEST_WRITER"

const (
	historyPartitions = 3
	historyRows       = 2400
	historyBatch      = 300
	killsPerWriter    = 4
)

// history is what one partition of the topic holds: new purchases, and corrections and deletions of
// earlier ones. want collects what the table must hold in the end.
func history(partition int, want map[string]string) []string {
	random := rand.New(rand.NewPCG(uint64(partition), 7))
	rows := make([]string, historyRows)
	for i := range rows {
		id := fmt.Sprintf("p%d-%d", partition, i)
		if i > 0 && i%9 == 0 {
			id = fmt.Sprintf("p%d-%d", partition, random.IntN(i))
		}
		if i%50 == 49 {
			rows[i] = deletion(id)
			delete(want, id)
			continue
		}
		price, day := fmt.Sprintf("%d.%04d", i, 1+random.IntN(9999)), fmt.Sprintf("2024-01-%02d", 1+random.IntN(5))
		rows[i] = purchase(id, price, day)
		whole, cents, _ := strings.Cut(price, ".")
		for len(cents) > 2 && strings.HasSuffix(cents, "0") {
			cents = cents[:len(cents)-1]
		}
		want[id] = whole + "." + cents + " " + day
	}
	return rows
}

// writeHistory is the child process. Every record is delivered to it, as to a consumer whose group has
// committed nothing yet.
func writeHistory(yaml string) error {
	out, err := parse(yaml)
	if err != nil {
		return err
	}
	ctx := context.Background()
	rows := make([][]string, historyPartitions)
	for partition := range rows {
		rows[partition] = history(partition, map[string]string{})
	}
	for from := 0; from < historyRows; from += historyBatch {
		for partition := range rows {
			batch := batchAt("purchases", partition, from, rows[partition][from:from+historyBatch]...)
			// As Benthos does: connect again and write the same batch again.
			for out.WriteBatch(ctx, batch) != nil {
				if err := out.Connect(ctx); err != nil {
					fmt.Fprintln(os.Stderr, err)
				}
			}
		}
	}
	return out.Close(ctx)
}

func TestTwoWritersThatAreKilledLoseNothingAndCountNothingTwice(t *testing.T) {
	s := newStackShop(t)
	s.sink() // the table is there before they start
	config, err := json.Marshal(s.config())
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for writer := range 2 {
		wg.Go(func() {
			random := rand.New(rand.NewPCG(uint64(writer), 3))
			for kills := 0; ; kills++ {
				child := exec.CommandContext(t.Context(), os.Args[0])
				child.Env = append(os.Environ(), envWriter+"="+string(config))
				child.Stderr = os.Stderr
				if err := child.Start(); err != nil {
					t.Error(err)
					return
				}
				var death *time.Timer
				if kills < killsPerWriter {
					death = time.AfterFunc(300*time.Millisecond+rand2(random, 900*time.Millisecond), func() { _ = child.Process.Kill() })
				}
				err := child.Wait()
				if death != nil {
					death.Stop()
				}
				if err == nil {
					return
				}
				if kills >= killsPerWriter {
					t.Errorf("writer %d: %v", writer, err)
					return
				}
			}
		})
	}
	wg.Wait()

	want := map[string]string{}
	for partition := range historyPartitions {
		history(partition, want)
	}
	out := s.sink()
	s.expect(out, want)
	if got, rows := s.clickhouse("SELECT count(), uniqExact(id) FROM TABLE"), fmt.Sprintf("%d\t%d", len(want), len(want)); got != rows {
		t.Errorf("ClickHouse counts %q rows and keys, want %q", got, rows)
	}
	for partition := range historyPartitions {
		if taken := out.offsets["purchases"][int32(partition)]; taken.end() != historyRows || len(taken.spans) != 1 {
			t.Errorf("partition %d: taken in %v, want 0 to %d", partition, taken.spans, historyRows)
		}
	}
}

func rand2(random *rand.Rand, most time.Duration) time.Duration {
	return time.Duration(random.Int64N(int64(most)))
}

func TestCrashBetweenFilesAndCommitLosesNothingAndDoublesNothing(t *testing.T) {
	s := newShop(t)
	out := s.sink()
	rows := purchases(0, 20)
	if _, err := out.decode(out.work, batchAt("purchases", 0, 0, rows...), 0); err != nil {
		t.Fatal(err)
	}
	p, err := out.plan(t.Context(), out.work)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := out.writeFiles(t.Context(), out.work, p); err != nil {
		t.Fatal(err)
	}
	if s.dataFiles() == 0 {
		t.Fatal("no data file was written")
	}
	again := s.sink()
	write(t, again, 0, rows...)
	if got := len(s.rows(again)); got != 20 {
		t.Errorf("%d rows, want 20", got)
	}
}

func TestCommitWhoseAnswerWasLostCountsOnce(t *testing.T) {
	s := newShop(t)
	out := s.sink()
	write(t, out, 0, purchase("a", "1", "2024-01-01"))
	batch := batchAt("purchases", 0, 1, purchase("a", "2", "2024-01-02"), purchase("b", "3", "2024-01-01"))
	out.work.reset()
	if _, err := out.decode(out.work, batch, 0); err != nil {
		t.Fatal(err)
	}
	p, err := out.plan(t.Context(), out.work)
	if err != nil {
		t.Fatal(err)
	}
	files, err := out.writeFiles(t.Context(), out.work, p)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := out.commit(t.Context(), files, p.offsets, out.topics); err != nil {
		t.Fatal(err)
	}
	// The writer has not learned of its commit, and gets the batch again.
	if err := out.WriteBatch(t.Context(), batch); err != nil {
		t.Fatal(err)
	}
	s.expect(out, map[string]string{"a": "2.00 2024-01-02", "b": "3.00 2024-01-01"})
}

func TestWriterThatLosesTheFenceCommitsTheSameFilesAgain(t *testing.T) {
	s := newShop(t)
	first, second := s.sink(), s.sink()
	write(t, first, 0, purchases(0, 5)...)
	files := s.dataFiles()
	if err := second.WriteBatch(t.Context(), batchAt("purchases", 1, 0, purchase("x", "1", "2024-01-01"))); err != nil {
		t.Fatal(err)
	}
	if got := len(s.rows(second)); got != 6 {
		t.Errorf("%d rows, want 6", got)
	}
	if got := s.dataFiles(); got != files+1 {
		t.Errorf("%d data files, want %d: those of the refused commit serve the next one", got, files+1)
	}
}

func TestWriterThatLosesTheFenceWritesOnlyWhatIsLeft(t *testing.T) {
	s := newShop(t)
	first, second := s.sink(), s.sink()
	write(t, first, 0, purchases(0, 30)...)
	write(t, second, 20, append(purchases(20, 40), purchase("p-1", "9", "2024-03-01"))...)
	got := s.rows(second)
	if len(got) != 40 || got["p-1"] != "9.00 2024-03-01" {
		t.Errorf("%d rows, want 40, and p-1 is %q", len(got), got["p-1"])
	}
	// The first writer has to learn where the other has moved p-1.
	write(t, first, 41, purchase("p-1", "10", "2024-01-01"))
	if got := s.rows(first)["p-1"]; got != "10.00 2024-01-01" {
		t.Errorf("p-1 is %q", got)
	}
}

func TestARecreatedTopicStopsTheStream(t *testing.T) {
	s := newShop(t)
	out := s.sink()
	write(t, out, 0, purchases(0, 30)...)
	batch := batchAt("purchases", 0, 0, purchases(100, 110)...)
	for i, msg := range batch {
		msg.MetaSetMut("kafka_timestamp_ms", 1_800_000_000_000+i)
	}
	if err := out.WriteBatch(t.Context(), batch); err == nil {
		t.Fatal("offsets of a recreated topic were taken for a redelivery")
	}
	err := out.Connect(t.Context())
	if err == nil || !strings.Contains(err.Error(), `topic "purchases"`) || !strings.Contains(err.Error(), "created again") {
		t.Errorf("connecting again: %v", err)
	}
}

func TestRowsThatComeOutOfOrderAreNotLost(t *testing.T) {
	s := newShop(t)
	out := s.sink()
	write(t, out, 10, purchases(10, 20)...)
	write(t, s.sink(), 0, append(purchases(0, 10), purchases(10, 15)...)...)
	if got := len(s.rows(out)); got != 20 {
		t.Errorf("%d rows, want 20", got)
	}
}

// overtaken is a catalog in which another writer gets in between a commit's check and its write, once.
type overtaken struct {
	catalog.Catalog
	other func()
}

func (c *overtaken) CommitTable(ctx context.Context, ident table.Identifier, reqs []table.Requirement, updates []table.Update) (table.Metadata, string, error) {
	if other := c.other; other != nil {
		c.other = nil
		other()
		return nil, "", fmt.Errorf("%w: metadata-location moved underneath us", table.ErrCommitFailed)
	}
	return c.Catalog.CommitTable(ctx, ident, reqs, updates)
}

func TestWriterThatIsOvertakenInsideTheCatalogCountsNothingTwice(t *testing.T) {
	s := newShop(t)
	first := s.sink()
	write(t, first, 0, purchase("x", "1", "2024-01-01"))
	// Someone has told writers of this table to retry by themselves, as Spark's do.
	tx := first.tbl.NewTransaction()
	if err := tx.SetProperties(iceberg.Properties{table.CommitNumRetriesKey: "4"}); err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	second := s.sink()
	rows := purchases(0, 20)
	second.catalog = &icebergcatalog.Catalog{Catalog: &overtaken{second.catalog, func() { write(t, first, 1, rows...) }}}
	write(t, second, 1, rows...)
	if got := len(s.rows(second)); got != 21 {
		t.Errorf("%d rows, want 21", got)
	}
}
