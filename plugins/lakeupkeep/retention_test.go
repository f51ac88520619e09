package lakeupkeep

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/redpanda-data/benthos/v4/public/service"

	"github.com/shop-connect/shop-connect/internal/quarantine/catalog"
	"github.com/shop-connect/shop-connect/internal/store"
)

// today is when all of these tests are.
var today = time.Date(2026, 4, 11, 12, 0, 0, 0, time.UTC)

const (
	oldDay  = "2026-01-10" // 91 days ago
	edgeDay = "2026-01-11" // 90 days ago
	newDay  = "2026-04-10"
)

func (l *testLake) retain(fields string) retentionReport {
	l.Helper()
	r, err := process[retentionReport](l.Context(), l.retainer(fields))
	if err != nil {
		l.Fatal(err)
	}
	return r
}

func (l *testLake) retainer(fields string) *retainer {
	l.Helper()
	yaml := l.servers() + fmt.Sprintf("raw_bucket: %s\nstage_bucket: %s\nquarantine_bucket: %s\nentity: purchases\n", l.raw, l.stage, l.quarantine) + fields
	conf, err := RetentionSpec().ParseYAML(yaml, nil)
	if err != nil {
		l.Fatal(err)
	}
	p, err := newRetainer(conf, service.MockResources())
	if err != nil {
		l.Fatal(err)
	}
	l.Cleanup(func() { _ = p.Close(context.Background()) })
	r := p.(*retainer)
	r.now = func() time.Time { return today }
	return r
}

// threeDays has an object of each day in RAW and in STAGE.
func threeDays(t *testing.T) *testLake {
	l := newTestLake(t)
	for i, date := range []string{oldDay, edgeDay, newDay} {
		l.sink(date, 3, rowsOf(int64(i)*10, int64(i)*10+9)...)
	}
	l.toStage()
	return l
}

const keepAll = "keep_raw: 90d\nkeep_stage: 90d\nkeep_quarantine: 90d\nkeep_ledgers: 90d\n"

func TestNothingIsRemovedUnlessItIsSaidHowLongToKeepIt(t *testing.T) {
	l := threeDays(t)
	if r := l.retain(""); r.Raw.Objects+r.Stage.Objects+r.Quarantine.Objects != 0 || len(r.Ledgers) != 0 {
		t.Errorf("%+v", r)
	}
	l.wantOffsets(l.raw, "", upTo(0, 29))
	l.wantOffsets(l.stage, "", upTo(0, 29))
}

func TestADryRunSaysWhatWouldGoAndRemovesNothing(t *testing.T) {
	l := threeDays(t)
	dry := l.retain(keepAll + "dry_run: true\n")
	if !dry.DryRun || dry.Raw.Objects != 1 || dry.Raw.Bytes == 0 || dry.Stage.Objects != 1 || dry.Stage.Bytes == 0 {
		t.Errorf("%+v", dry)
	}
	if run := l.run(); run.Objects != 0 || run.Bytes != 0 || run.ObjectsUnchanged != 2 || !strings.HasPrefix(run.Progress, "would remove 1 objects of RAW") {
		t.Errorf("the ledger has %+v", run)
	}
	l.wantOffsets(l.raw, "", upTo(0, 29))
	l.wantOffsets(l.stage, "", upTo(0, 29))
	wet := l.retain(keepAll)
	if wet.Raw != dry.Raw || wet.Stage != dry.Stage {
		t.Errorf("%+v was announced, %+v went", dry, wet)
	}
	if run := l.run(); run.Objects != 2 || run.Bytes != dry.Raw.Bytes+dry.Stage.Bytes {
		t.Errorf("the ledger has %+v", run)
	}
	l.wantOffsets(l.raw, "", upTo(10, 29))
	l.wantOffsets(l.stage, "", upTo(10, 29))
	if again := l.retain(keepAll); again.Raw.Objects+again.Stage.Objects != 0 {
		t.Errorf("again: %+v", again)
	}
}

func TestEachLayerIsKeptAsLongAsIsSaidOfIt(t *testing.T) {
	l := threeDays(t)
	l.retain("keep_raw: 1d\n")
	l.wantOffsets(l.raw, "", upTo(20, 29))
	l.wantOffsets(l.stage, "", upTo(0, 29))
	l.retain("keep_stage: 90d\n")
	l.wantOffsets(l.stage, "", upTo(10, 29))
}

func TestI3WhatWasRemovedFromStageIsNotBroughtBack(t *testing.T) {
	l := threeDays(t)
	l.retain("keep_stage: 1d\n")
	// everything is delivered again, some of it with other bounds
	l.sink(oldDay, 3, rowsOf(0, 9)...)
	l.sink(edgeDay, 3, rowsOf(5, 19)[5:]...)
	if out := l.toStage(); out != 0 || len(l.pending()) != 0 {
		t.Errorf("%d rows came back, %d objects wait", out, len(l.pending()))
	}
	l.wantOffsets(l.stage, "", upTo(20, 29))
}

func TestI4WhatWaitsForStageIsKeptHoweverOldItIs(t *testing.T) {
	l := threeDays(t)
	waiting := l.sink(oldDay, 4, rowsOf(100, 109)...)
	overwritten := keyOf(oldDay, 3, 0)
	l.put(l.raw, overwritten, l.encode(3, rowsOf(0, 12)...)) // and not registered yet
	unknown := keyOf(oldDay, 5, 0)
	l.put(l.raw, unknown, l.encode(5, rowsOf(0, 3)...))
	if r := l.retain("keep_raw: 90d\n"); r.Raw.Objects != 0 || r.Raw.Kept != 2 {
		t.Errorf("%+v", r)
	}
	for _, key := range []string{waiting, overwritten, unknown} {
		if !slices.Contains(l.keys(l.raw), key) {
			t.Errorf("%s is gone", key)
		}
	}
	l.toStage()
	if r := l.retain("keep_raw: 90d\n"); r.Raw.Objects != 1 || slices.Contains(l.keys(l.raw), waiting) {
		t.Errorf("once it is in STAGE: %+v", r)
	}
}

func TestOldObjectsThatAreGoneAlreadyLeaveTheLedger(t *testing.T) {
	l := threeDays(t)
	if err := l.retainer("").lakeRemove(t, l.raw, keyOf(oldDay, 3, 0)); err != nil {
		t.Fatal(err)
	}
	if r := l.retain("keep_raw: 90d\n"); r.Raw.Objects != 0 {
		t.Errorf("%+v", r)
	}
	var n int
	if err := l.ledger.Pool().QueryRow(t.Context(), "SELECT count(*) FROM raw_objects").Scan(&n); err != nil || n != 2 {
		t.Errorf("the ledger has %d objects, %v", n, err)
	}
}

func (p *retainer) lakeRemove(t *testing.T, bucket, key string) error {
	t.Helper()
	if err := p.open(t.Context()); err != nil {
		return err
	}
	return p.remove(t.Context(), bucket, []string{key})
}

// setAside brings a bad row of a day into the quarantine of STAGE and returns its object's key.
func (l *testLake) setAside(partition int32) string {
	l.Helper()
	before := l.keys(l.quarantine)
	l.sink(oldDay, partition, rawRow{0, `{"id":"bad"}`})
	l.toStage()
	for _, key := range l.keys(l.quarantine) {
		if !slices.Contains(before, key) {
			return key
		}
	}
	l.Fatal("nothing was set aside")
	return ""
}

func TestOpenRowsOfTheQuarantineAreKeptUnlessAskedFor(t *testing.T) {
	l := newTestLake(t)
	open, decided := l.setAside(1), l.setAside(2)
	known := &catalog.Catalog{Store: l.ledger, Objects: l.client, Bucket: l.quarantine}
	if err := known.Refresh(t.Context(), "purchases"); err != nil {
		t.Fatal(err)
	}
	objects, err := l.ledger.QuarantineObjects(t.Context(), store.QuarantineFilter{Entity: "purchases"})
	if err != nil || len(objects) != 2 {
		t.Fatal(objects, err)
	}
	for _, o := range objects {
		if o.Key != decided {
			continue
		}
		places := store.Places{}
		err := known.Rows(t.Context(), o, catalog.Filter{}, 10, func(items []catalog.Item) error {
			for _, item := range items {
				places.Add(item.Space, item.Number)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		if err := l.ledger.DecideRows(t.Context(), runID, "purchases", store.Discarded, places, store.Counts{}); err != nil {
			t.Fatal(err)
		}
	}
	// rows are set aside under the day on which that happens
	retain := func(fields string) retentionReport {
		p := l.retainer(fields)
		p.now = func() time.Time { return time.Now().AddDate(0, 0, 91) }
		r, err := process[retentionReport](t.Context(), p)
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	if r := l.retain("keep_quarantine: 36500d\n"); r.Quarantine.Objects+r.Quarantine.Kept != 0 {
		t.Errorf("young ones: %+v", r)
	}
	if r := retain("keep_quarantine: 90d\n"); r.Quarantine.Objects != 1 || r.Quarantine.Kept != 1 || r.Quarantine.Bytes == 0 {
		t.Errorf("%+v", r)
	}
	if keys := l.keys(l.quarantine); !slices.Equal(keys, []string{open}) {
		t.Errorf("the quarantine has %v", keys)
	}
	if r := retain("keep_quarantine: 90d\nopen_too: true\n"); r.Quarantine.Objects != 1 || len(l.keys(l.quarantine)) != 0 {
		t.Errorf("open ones too: %+v", r)
	}
}

func TestLedgersArePrunedOfWhatIsOldAndNotOfWhatIsNeeded(t *testing.T) {
	l := threeDays(t)
	const old = "'2026-01-01'"
	for _, statement := range []string{
		"UPDATE batch_runs SET started_at = " + old, // it has not ended
		"INSERT INTO batch_runs (id, name, status, started_at, finished_at) VALUES (gen_random_uuid(), 'old', 'failed', " + old + ", " + old + "), (gen_random_uuid(), 'new', 'failed', now(), '2026-04-10')",
		"INSERT INTO purchase_deletions VALUES ('old', " + old + "), ('new', '2026-04-10')",
		"INSERT INTO idempotency (subject, endpoint, key, fingerprint, created_at) VALUES ('s', 'e', 'old', '', " + old + ")",
		"UPDATE stage_objects SET processed_at = " + old,
	} {
		if _, err := l.ledger.Pool().Exec(t.Context(), statement); err != nil {
			t.Fatal(statement, err)
		}
	}
	want := map[string]int64{"batch_runs": 1, "purchase_deletions": 1, "idempotency": 1, "stage_objects": 0}
	check := func(r retentionReport) {
		t.Helper()
		for table, n := range want {
			if r.Ledgers[table] != n {
				t.Errorf("%s: %d rows, want %d", table, r.Ledgers[table], n)
			}
		}
	}
	check(l.retain("keep_ledgers: 90d\ndry_run: true\n"))
	check(l.retain("keep_ledgers: 90d\n"))
	// with its objects in RAW and STAGE, what is known of them goes
	l.retain("keep_raw: 90d\nkeep_stage: 90d\n")
	want = map[string]int64{"batch_runs": 0, "purchase_deletions": 0, "idempotency": 0, "stage_objects": 1}
	check(l.retain("keep_ledgers: 90d\n"))
	// and yet its rows are known
	l.sink(oldDay, 3, rowsOf(0, 9)...)
	if out := l.toStage(); out != 0 {
		t.Errorf("%d rows came back", out)
	}
}

func TestABucketThatIsNotThereIsNamed(t *testing.T) {
	l := newTestLake(t)
	l.raw, l.stage, l.quarantine = "nowhere-1", "nowhere-2", "nowhere-3"
	for _, layer := range layers {
		if _, err := process[compactReport](t.Context(), l.compactor(layer, "")); err == nil || !strings.Contains(err.Error(), l.bucket(layer)+`" does not exist`) {
			t.Errorf("%s: %v", layer, err)
		}
	}
	if _, err := process[retentionReport](t.Context(), l.retainer("keep_stage: 1d\n")); err == nil || !strings.Contains(err.Error(), `nowhere-2" does not exist`) {
		t.Errorf("retention: %v", err)
	}
}

func TestAPeriodThatIsNoneIsRefused(t *testing.T) {
	for _, text := range []string{"90", "0d", "-1d", "1h", "90 d", "1.5d", "d", "999999d"} {
		yaml := `{endpoint: "http://127.0.0.1:1", access_key: a, secret_key: b, postgres_dsn: "postgres://a:b@127.0.0.1:1/c", contract: ` + contracts +
			fmt.Sprintf(`, entity: strangers, stage_bucket: "", keep_raw: %q, keep_ledgers: %q}`, text, text)
		conf, err := RetentionSpec().ParseYAML(yaml, nil)
		if err != nil {
			t.Fatal(err)
		}
		_, err = newRetainer(conf, service.MockResources())
		for _, field := range []string{"entity", "stage_bucket", "keep_raw", "keep_ledgers"} {
			if err == nil || !strings.Contains(err.Error(), fmt.Sprintf("field %q", field)) {
				t.Errorf("%s: %s is not named: %v", text, field, err)
			}
		}
	}
}
