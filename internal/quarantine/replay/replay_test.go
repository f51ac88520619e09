package replay_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/minio/minio-go/v7"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/shop-connect/shop-connect/internal/quarantine"
	"github.com/shop-connect/shop-connect/internal/quarantine/catalog"
	"github.com/shop-connect/shop-connect/internal/quarantine/replay"
	"github.com/shop-connect/shop-connect/internal/store"
)

// sale is a purchase that the contract allows; members are added in front.
func sale(members string) string {
	return `{` + members + `"product_id":"p","customer_id":1,"seller_id":1,"quantity":1,"price_at_time":12.3400,"purchased_at":"2026-01-01T00:00:00Z"}`
}

func withoutCustomer(members string) string {
	return strings.Replace(sale(members), `"customer_id":1,`, "", 1)
}

const guest = "root = this\nroot.customer_id = 7"

func idsOf(t *testing.T, records []*kgo.Record) map[string]int {
	t.Helper()
	ids := map[string]int{}
	for _, r := range records {
		var row struct {
			ID string `json:"id"`
		}
		if err := json.Unmarshal(r.Value, &row); err != nil || row.ID != string(r.Key) {
			t.Errorf("key %q of %s (%v)", r.Key, r.Value, err)
		}
		ids[row.ID]++
	}
	return ids
}

func TestAMappingRepairsRowsThatThenTakeTheWayOfAnyOther(t *testing.T) {
	d := newDesk(t)
	d.keep("api", "a", refused("req-1#0", withoutCustomer(`"id":"x",`), "customer_id", "required"), refused("req-1#1", "no JSON", "", "json"))
	d.keep("raw", "bb", refused(d.entity+"-2-17", withoutCustomer(""), "customer_id", "required"))

	r := d.request(guest)
	r.DryRun = true
	if report := d.replay(r); report.RowsOut != 2 || report.RowsRefused != 1 || report.RunID != "" || len(d.sent()) != 0 {
		t.Errorf("a dry run: %+v, %d records", report, len(d.sent()))
	}
	report := d.replay(d.request(guest))
	if report.RowsIn != 3 || report.RowsOut != 2 || report.RowsRefused != 1 || report.RowsSkipped != 0 {
		t.Errorf("report %+v", report)
	}
	records := d.sent()
	ids := idsOf(t, records)
	if len(records) != 2 || ids["x"] != 1 || ids[d.entity+"-2-17"] != 1 {
		t.Fatalf("sent %v", ids)
	}
	for _, record := range records {
		headers := map[string]string{}
		for _, h := range record.Headers {
			headers[h.Key] = string(h.Value)
		}
		if headers[replay.HeaderRun] != report.RunID || headers[replay.HeaderFrom] != map[bool]string{true: "req-1#0", false: d.entity + "-2-17"}[string(record.Key) == "x"] {
			t.Errorf("lineage %v", headers)
		}
		if !strings.Contains(string(record.Value), `12.34`) || !strings.Contains(string(record.Value), `"customer_id":7`) { // I5
			t.Errorf("row %s", record.Value)
		}
	}
	run := d.ledger(report.RunID)
	if run.Status != store.Succeeded || run.Counts != report.Counts || run.Parameters["mapping"] != guest || run.Parameters["by"] != "test" {
		t.Errorf("ledger %+v, report %+v", run, report)
	}
	if sum, _ := d.counts(); sum.Rows != 3 || sum.Open != 1 || sum.Replayed != 2 {
		t.Errorf("counts %+v", sum)
	}
	// again: what is back is not sent twice (I3)
	if again := d.replay(d.request(guest)); again.RowsOut != 0 || again.RowsRefused != 1 || len(d.sent()) != 2 {
		t.Errorf("again %+v", again)
	}
}

func TestI3ARecordThatSeveralLayersRefusedIsSentOnce(t *testing.T) {
	d := newDesk(t)
	source := d.entity + "-1-5"
	for _, layer := range []string{"raw", "clickhouse", "iceberg"} {
		d.keep(layer, layer, refused(source, withoutCustomer(""), "customer_id", "required"))
	}
	d.keep("clickhouse", "redelivered", refused(source, withoutCustomer(""), "customer_id", "required"))
	report := d.replay(d.request(guest))
	if ids := idsOf(t, d.sent()); len(d.sent()) != 1 || ids[source] != 1 {
		t.Errorf("sent %v", ids)
	}
	if report.RowsIn != 3 || report.RowsOut != 1 || report.RowsSkipped != 2 {
		t.Errorf("report %+v", report)
	}
	// STAGE refuses the record from RAW only later: it is back already
	staged := refused("s3://raw/object#3", withoutCustomer(""), "customer_id", "required")
	staged.Topic, staged.Partition, staged.Offset = d.entity, 1, 5
	d.keep("stage", "stage", staged)
	if sum, _ := d.counts(); sum.Rows != 4 || sum.Open != 0 || sum.Replayed != 4 {
		t.Errorf("counts %+v", sum)
	}
	d.replay(d.request(guest))
	if n := len(d.sent()); n != 1 {
		t.Errorf("%d records", n)
	}
}

func TestARowOfTheEdgeThatWasDeliveredTwiceIsSentOnce(t *testing.T) {
	d := newDesk(t)
	row := refused("req#0", withoutCustomer(""), "customer_id", "required")
	other := refused("req#0", withoutCustomer(`"id":"another request of the same id",`), "customer_id", "required")
	d.keep("api", "a", row, other)
	d.keep("api", "bb", row)
	if report := d.replay(d.request(guest)); report.RowsOut != 2 || report.RowsSkipped != 1 || len(d.sent()) != 2 {
		t.Errorf("report %+v, %d records", report, len(d.sent()))
	}
	if sum, _ := d.counts(); sum.Open != 0 {
		t.Errorf("counts %+v", sum)
	}
}

func TestI3AReplayKilledMidwayAndRepeatedCountsEachRowOnce(t *testing.T) {
	d := newDesk(t)
	const rows = 7000
	list := make([]quarantine.Row, rows)
	for i := range list {
		list[i] = refused(fmt.Sprintf("req-%d#0", i), withoutCustomer(""), "customer_id", "required")
	}
	d.keep("api", "a", list...)
	ctx, kill := context.WithCancel(t.Context())
	r := d.request(guest)
	r.Progress = func(int64) { kill() }
	if _, err := d.Replay(ctx, r); !errors.Is(err, context.Canceled) {
		t.Fatalf("a killed replay: %v", err)
	}
	midway := len(d.sent())
	if sum, _ := d.counts(); midway == 0 || midway == rows || sum.Replayed != int64(midway) {
		t.Fatalf("%d records, counts %+v", midway, sum)
	}
	if report := d.replay(d.request(guest)); report.RowsOut != int64(rows-midway) {
		t.Errorf("the rest: %+v", report)
	}
	if n := len(idsOf(t, d.sent())); n != rows || len(d.sent()) != rows {
		t.Errorf("%d records of %d ids", len(d.sent()), n)
	}
	// a process that ends after Kafka has the rows and before the ledger knows
	if _, err := d.Store.Pool().Exec(t.Context(), `DELETE FROM quarantine_fates; UPDATE quarantine_groups SET replayed = 0`); err != nil {
		t.Fatal(err)
	}
	if report := d.replay(d.request(guest)); report.RowsOut != rows {
		t.Errorf("sent again: %+v", report)
	}
	if n := len(idsOf(t, d.sent())); n != rows {
		t.Errorf("%d ids of %d rows", n, rows)
	}
}

func TestARunEndsWhenItsEndIsAskedForInTheLedger(t *testing.T) {
	d := newDesk(t)
	list := make([]quarantine.Row, 7000)
	for i := range list {
		list[i] = refused(fmt.Sprintf("req-%d#0", i), withoutCustomer(""), "customer_id", "required")
	}
	d.keep("api", "a", list...)
	run, work, err := d.Enter(t.Context(), d.request(guest), false)
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Store.RequestCancel(t.Context(), run); err != nil {
		t.Fatal(err)
	}
	if _, err := work(t.Context()); err == nil {
		t.Error("it went on to its end")
	}
	ended := d.ledger(run)
	if sum, _ := d.counts(); ended.Status != store.Cancelled || ended.RowsOut == 0 || ended.RowsOut == int64(len(list)) || sum.Replayed != ended.RowsOut {
		t.Errorf("run %+v, counts %+v", ended, sum)
	}
}

func TestTwoReplaysAtOnceAreOne(t *testing.T) {
	d := newDesk(t)
	d.keep("api", "a", refused("req#0", withoutCustomer(""), "customer_id", "required"))
	r := d.request(guest)
	var second error
	r.Progress = func(int64) { _, second = d.Replay(t.Context(), d.request(guest)) }
	d.replay(r)
	if !errors.Is(second, replay.ErrBusy) || len(d.sent()) != 1 {
		t.Errorf("the second one: %v, %d records", second, len(d.sent()))
	}
}

func TestRowsStillRefusedStayWithTheirNewReasonsBeside(t *testing.T) {
	d := newDesk(t)
	key := d.keep("api", "a", refused("req#0", withoutCustomer(""), "customer_id", "required"), refused("req#1", withoutCustomer(""), "customer_id", "required"))
	before := d.content(key)
	report := d.replay(d.request("root = this\nroot.customer_id = 0 - 5\nroot.quantity = if @refused_source == \"req#1\" { deleted() }"))
	if report.RowsRefused != 2 || len(report.Refused) != 2 || report.Refused[0].Message == "" {
		t.Errorf("report %+v", report)
	}
	if _, all := d.counts(); len(all) != 1 || all[0].Reason != "customer_id required" || all[0].Open != 2 {
		t.Errorf("counts %+v", all)
	}
	items, err := d.Catalog.Samples(t.Context(), catalog.Filter{QuarantineFilter: store.QuarantineFilter{Entity: d.entity, Reason: "REQUIRED"}}, 10, 10)
	if err != nil || len(items) != 2 {
		t.Fatalf("%d samples (%v)", len(items), err)
	}
	for _, item := range items {
		if item.ReplayRun != report.RunID || !strings.Contains(item.Reasons, "required") || !strings.Contains(item.ReplayReasons, "range") || string(item.Value) != withoutCustomer("") {
			t.Errorf("row %+v", item.Row)
		}
	}
	// a mapping that fails is not the rows' fault
	report = d.replay(d.request("root = this\nroot.customer_id = this.nothing.uppercase()"))
	if report.RowsRefused != 2 || report.Refused[0].Reason != replay.RuleMapping {
		t.Errorf("report %+v", report)
	}
	if _, now := d.counts(); len(now) != 1 || now[0].Open != 2 {
		t.Errorf("labels %+v", now)
	}
	if string(before) == string(d.content(key)) {
		t.Error("the object was not written again")
	}
	if report := d.replay(d.request(guest)); report.RowsOut != 2 {
		t.Errorf("repaired at last: %+v", report)
	}
}

func (d *desk) content(key string) []byte {
	d.Helper()
	object, err := d.Catalog.Objects.GetObject(d.Context(), d.Catalog.Bucket, key, minio.GetObjectOptions{})
	if err != nil {
		d.Fatal(err)
	}
	defer object.Close()
	info, err := object.Stat()
	if err != nil {
		d.Fatal(err)
	}
	return []byte(info.ETag)
}

func TestAMappingLeavesRowsAloneThatItDeletes(t *testing.T) {
	d := newDesk(t)
	d.keep("api", "a", refused("req#0", sale(`"id":"a",`), "x", "y"), refused("req#1", sale(`"id":"b",`), "x", "y"))
	report := d.replay(d.request(`root = if this.id == "a" { deleted() } else { this }`))
	if report.RowsOut != 1 || report.RowsSkipped != 1 {
		t.Errorf("report %+v", report)
	}
	if sum, _ := d.counts(); sum.Open != 1 {
		t.Errorf("counts %+v", sum)
	}
}

func TestAMappingMayUseNothingButTheRow(t *testing.T) {
	for _, mapping := range []string{
		`root = env("JWT_SECRET")`, `root = file("/etc/passwd")`, `root = file_rel("a")`, `root = hostname()`, `import "/etc/passwd"`, `from "/etc/passwd"`,
		`root.id = uuid_v4()`, `root.purchased_at = now()`, `root.id = random_int()`, `root.id = ulid()`, `root = count("a")`, `root = counter()`,
		`root.id = snowflake_id()`, `root.id = nanoid()`, `root = fake("name")`, `root = this.`, ``,
	} {
		if _, err := replay.ParseMapping(mapping); mapping != "" && (err == nil || !strings.Contains(err.Error(), "reading the mapping")) {
			t.Errorf("%q: %v", mapping, err)
		}
	}
}

func TestARepairThatFailsDoesNotMoveRowsToOtherReasons(t *testing.T) {
	d := newDesk(t)
	d.keep("api", "a", refused("req#0", withoutCustomer(`"id":"a",`), "customer_id", "required"), refused("req#1", sale(`"id":"b",`), "quantity", "range"))
	wrong := d.request("root = this\nroot.customer_id = 7\nroot.quantity = 0")
	wrong.Reason = "customer_id"
	if report := d.replay(wrong); report.RowsIn != 1 || report.RowsRefused != 1 {
		t.Fatalf("report %+v", report)
	}
	items, err := d.Catalog.Samples(t.Context(), wrong.Filter, 5, 5)
	if err != nil || len(items) != 1 || !strings.Contains(items[0].ReplayReasons, "quantity") {
		t.Errorf("the later reasons are not shown beside: %+v (%v)", items, err)
	}
	other := d.request("")
	other.Reason, other.Why = "quantity", "test traffic"
	if report, err := d.Discard(t.Context(), other); err != nil || report.RowsOut != 1 {
		t.Errorf("discarding another reason took %+v (%v)", report, err)
	}
	right := d.request(guest)
	right.Reason = "customer_id"
	if report := d.replay(right); report.RowsOut != 1 || idsOf(t, d.sent())["a"] != 1 {
		t.Errorf("the same reason again: %+v", report)
	}
}

func TestProgressEndsAtTheTotal(t *testing.T) {
	d := newDesk(t)
	var rows []quarantine.Row
	for i := range 3 {
		rows = append(rows, refused(fmt.Sprintf("%s-1-%d", d.entity, i), withoutCustomer(""), "customer_id", "required"))
	}
	d.keep("raw", "a", rows...)
	d.keep("raw", "bb", append(rows[:2:2], refused(d.entity+"-1-9", withoutCustomer(""), "customer_id", "required"))...)
	for _, dry := range []bool{true, false} {
		var total, seen int64
		r := d.request(guest)
		r.DryRun, r.Total, r.Progress = dry, func(n int64) { total = n }, func(n int64) { seen += n }
		if d.replay(r); total != 4 || seen != total {
			t.Errorf("dry run %v: %d of %d rows", dry, seen, total)
		}
	}
}
