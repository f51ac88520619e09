package icebergsink

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/redpanda-data/benthos/v4/public/service"
)

const smallContract = `
entity: sales
version: %d
key: id
event_time: at
fields:
  - {name: id, type: int64, required: true}
  - {name: at, type: timestamp, required: true}
  - {name: amount, type: '%s'}
  - {name: paid, type: bool}
  - {name: due, type: date}
%s`

func (s *shop) writeContract(version int, amount, more string) {
	s.t.Helper()
	s.contract = filepath.Join(s.dir, "sales.yaml")
	if err := os.WriteFile(s.contract, fmt.Appendf(nil, smallContract, version, amount, more), 0o600); err != nil {
		s.t.Fatal(err)
	}
}

func TestTheTableComesFromTheContract(t *testing.T) {
	s := newShop(t)
	s.writeContract(1, "decimal(18,4)", "")
	out := s.sink()
	var got []string
	for _, f := range out.tbl.Schema().Fields() {
		got = append(got, fmt.Sprintf("%s %s %t", f.Name, f.Type, f.Required))
	}
	want := "id long true, at timestamptz false, amount decimal(18, 4) false, paid boolean false, due date false, purchase_date date true"
	if strings.Join(got, ", ") != want {
		t.Errorf("columns %s\nwant    %s", strings.Join(got, ", "), want)
	}
	if spec := out.tbl.Spec(); spec.NumFields() != 1 || spec.Field(0).Name != "purchase_date" {
		t.Errorf("partitioned by %s", spec.String())
	}
	for key, value := range out.cfg.tableProperties() {
		if have := out.tbl.Properties()[key]; key != "format-version" && have != value {
			t.Errorf("property %s is %q", key, have)
		}
	}
}

func TestIntegerKeysAndEveryTypeAreWrittenAndReplaced(t *testing.T) {
	s := newStackShop(t)
	s.writeContract(1, "decimal(18,4)", "")
	out := s.sink()
	write(t, out, 0,
		`{"id":1,"at":"2024-01-01T00:00:00.000001Z","amount":"1.5","paid":true,"due":"2024-02-29"}`,
		`{"id":2,"at":"2024-01-02T00:00:00Z"}`,
		`{"id":3,"at":"2024-01-02T00:00:00Z","paid":false}`)
	write(t, s.sink(), 3, `{"id":2,"at":"2024-01-03T00:00:00Z","due":"1969-12-31"}`, `{"id":3,"deleted":true}`)
	got := s.clickhouse("SELECT id, toString(at), amount, paid, due, purchase_date FROM TABLE ORDER BY id")
	want := "1\t2024-01-01 00:00:00.000001\t1.5\ttrue\t2024-02-29\t2024-01-01\n2\t2024-01-03 00:00:00.000000\t\\N\t\\N\t1969-12-31\t2024-01-03"
	if got != want {
		t.Errorf("ClickHouse reads\n%s\nwant\n%s", got, want)
	}
}

func TestAFieldAddedToTheContractBecomesAColumn(t *testing.T) {
	s := newShop(t)
	s.writeContract(1, "decimal(18,4)", "")
	write(t, s.sink(), 0, `{"id":1,"at":"2024-01-01T00:00:00Z"}`)
	s.writeContract(2, "decimal(18,4)", "  - {name: coupon, type: string}")
	out := s.sink()
	if _, found := out.tbl.Schema().FindFieldByName("coupon"); !found {
		t.Error("the table has no column coupon")
	}
	write(t, out, 1, `{"id":2,"at":"2024-01-01T00:00:00Z","coupon":"x"}`, `{"id":1,"at":"2024-01-02T00:00:00Z","coupon":"y"}`)
	// The older contract still works: its column stays empty.
	s.writeContract(1, "decimal(18,4)", "")
	write(t, s.sink(), 3, `{"id":3,"at":"2024-01-01T00:00:00Z"}`)
}

func TestATableThatDoesNotFitIsRefusedWithEveryReason(t *testing.T) {
	s := newShop(t)
	s.writeContract(1, "decimal(18,4)", "")
	s.sink()
	s.writeContract(2, "string", "")
	s.partitionBy = "['month(at)']"
	out, err := parse(s.config())
	if err != nil {
		t.Fatal(err)
	}
	err = out.Connect(t.Context())
	for _, want := range []string{`column "amount" is decimal(18, 4) in the table and string by the contract`, "partitioned by [purchase_date], partition_by says [month of at]"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v does not say %q", err, want)
		}
	}
}

func TestATableThatIsDroppedIsNotBegunAnew(t *testing.T) {
	s := newShop(t)
	out := s.sink()
	write(t, out, 0, purchases(0, 5)...)
	if err := out.catalog.DropTable(t.Context(), out.cfg.ident); err != nil {
		t.Fatal(err)
	}
	if err := out.WriteBatch(t.Context(), batchAt("purchases", 0, 5, purchases(5, 6)...)); err == nil {
		t.Fatal("wrote to a table that was dropped")
	}
	if err := out.Connect(t.Context()); err == nil || !strings.Contains(err.Error(), "it was dropped") {
		t.Errorf("connecting again: %v", err)
	}
	// Someone makes a new one under the same name.
	s.sink()
	if err := out.Connect(t.Context()); err == nil || !strings.Contains(err.Error(), "dropped and created again") {
		t.Errorf("connecting to another table: %v", err)
	}
}

func TestKeysThatAreNoLongerRememberedAreLookedUp(t *testing.T) {
	s := newShop(t)
	out, err := parse(s.config())
	if err != nil {
		t.Fatal(err)
	}
	out.cfg.recentKeys = 40
	if err := out.Connect(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = out.Close(context.Background()) })
	for from := 0; from < 200; from += 20 {
		write(t, out, from, purchases(from, from+20)...)
	}
	if out.keys.complete || out.keys.len() > 60 {
		t.Fatalf("%d keys are remembered, at most 40 or so were asked for", out.keys.len())
	}
	write(t, out, 200, purchase("p-3", "7", "2024-05-01"), deletion("p-4"), purchase("p-199", "8", "2024-05-01"))
	got := s.rows(out)
	if len(got) != 199 || got["p-3"] != "7.00 2024-05-01" || got["p-199"] != "8.00 2024-05-01" || got["p-4"] != "" {
		t.Errorf("%d rows, want 199; p-3 %q, p-199 %q, p-4 %q", len(got), got["p-3"], got["p-199"], got["p-4"])
	}
	// So does a process that starts with more keys in the table than it may remember.
	again, err := parse(s.config())
	if err != nil {
		t.Fatal(err)
	}
	again.cfg.recentKeys = 30
	if err := again.Connect(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = again.Close(context.Background()) })
	write(t, again, 203, purchase("p-5", "9", "2024-05-02"))
	if got := s.rows(again); len(got) != 199 || got["p-5"] != "9.00 2024-05-02" {
		t.Errorf("%d rows, want 199; p-5 %q", len(got), got["p-5"])
	}
}

func TestABatchIsWrittenAgainInOrderAfterAFault(t *testing.T) {
	s := newShop(t)
	out := s.sink()
	batch := batchAt("purchases", 0, 0, purchases(0, 5)...)
	_ = out.catalog.Close() // the catalog is gone
	if err := out.WriteBatch(t.Context(), batch); !errors.Is(err, service.ErrNotConnected) {
		t.Fatalf("%v, want to be asked to connect again", err)
	}
	if err := out.Connect(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := out.WriteBatch(t.Context(), batch); err != nil {
		t.Fatal(err)
	}
	if got := len(s.rows(out)); got != 5 {
		t.Errorf("%d rows, want 5", got)
	}
}
