package replay_test

import (
	"strings"
	"testing"

	"github.com/minio/minio-go/v7"

	"github.com/shop-connect/shop-connect/internal/quarantine"
	"github.com/shop-connect/shop-connect/internal/store"
)

func TestAnEmptyQuarantineIsNoFault(t *testing.T) {
	d := newDesk(t)
	if report := d.replay(d.request(guest)); report.RowsIn != 0 || d.ledger(report.RunID).Status != store.Succeeded {
		t.Errorf("report %+v", report)
	}
	if sum, _ := d.counts(); sum.Rows != 0 {
		t.Errorf("counts %+v", sum)
	}
}

func TestACorruptedObjectIsToldOfAndStopsNothing(t *testing.T) {
	d := newDesk(t)
	whole := d.keep("raw", "aaa", refused("req#0", withoutCustomer(""), "customer_id", "required"))
	d.keep("raw", "bb", refused(d.entity+"-0-1", withoutCustomer(""), "customer_id", "required"))
	object, err := d.Catalog.Objects.GetObject(t.Context(), d.Catalog.Bucket, whole, minio.GetObjectOptions{})
	if err != nil {
		t.Fatal(err)
	}
	content := make([]byte, 200)
	if _, err := object.Read(content); err != nil {
		t.Fatal(err)
	}
	for name, bytes := range map[string][]byte{"truncated": content, "empty": nil, "text": []byte("PAR1 no Parquet PAR1")} {
		d.put(d.Catalog.Bucket, strings.Replace(whole, "aaa", name, 1), bytes, nil)
	}
	report := d.replay(d.request(guest))
	if report.RowsOut != 2 || report.ObjectsRefused != 3 || len(report.Troubles) != 3 {
		t.Errorf("report %+v", report)
	}
	// what cannot be read can be given up
	r := d.request("")
	r.Objects, r.Why = true, "broken disk"
	if report, err := d.Discard(t.Context(), r); err != nil || report.Objects != 3 {
		t.Errorf("report %+v (%v)", report, err)
	}
	if report := d.replay(d.request(guest)); len(report.Troubles) != 0 {
		t.Errorf("after that: %+v", report)
	}
}

func TestDiscardedRowsAreNoLongerOpenAndNeverSent(t *testing.T) {
	d := newDesk(t)
	d.keep("api", "a", refused("req#0", withoutCustomer(""), "customer_id", "required"), refused("req#1", "x", "", "json"))
	r := d.request("")
	r.Reason, r.Why = "json", "test traffic"
	report, err := d.Discard(t.Context(), r)
	if err != nil || report.RowsOut != 1 {
		t.Fatalf("report %+v (%v)", report, err)
	}
	if run := d.ledger(report.RunID); run.Parameters["why"] != r.Why || run.Parameters["action"] != "discard" || run.RowsOut != 1 {
		t.Errorf("ledger %+v", run)
	}
	if sum, _ := d.counts(); sum.Open != 1 || sum.Discarded != 1 {
		t.Errorf("counts %+v", sum)
	}
	if report := d.replay(d.request(guest)); report.RowsIn != 1 || report.RowsOut != 1 || len(d.sent()) != 1 {
		t.Errorf("report %+v", report)
	}
}

func TestAFilterMeansRowsAndNotTheirObjects(t *testing.T) {
	d := newDesk(t)
	list := []quarantine.Row{
		refused("req-1#0", sale(`"id":"a",`), "customer_id", "required"), refused("req-1#1", sale(`"id":"b",`), "quantity", "range"),
		refused("req-2#0", sale(`"id":"c",`), "quantity", "range"),
	}
	d.keep("api", "a", list...)
	r := d.request("")
	r.Reason, r.Source = "Quantity", "req-1#"
	if report := d.replay(r); report.RowsOut != 1 || idsOf(t, d.sent())["b"] != 1 {
		t.Errorf("report %+v", report)
	}
	r = d.request("")
	r.Layer = "raw"
	if report := d.replay(r); report.RowsIn != 0 {
		t.Errorf("report %+v", report)
	}
}

func TestAnObjectRefusedWholeGoesBackToRaw(t *testing.T) {
	d := newDesk(t)
	const name = "purchase_date=2026-01-01/foreign.parquet"
	d.put(d.Catalog.Bucket, d.entity+"/layer=stage/objects/"+name, []byte("what it was"), map[string]string{"Fault": "is not a Parquet file"})
	r := d.request("")
	r.Objects = true
	if err := d.Catalog.Refresh(t.Context(), ""); err != nil {
		t.Fatal(err)
	}
	whole, err := d.Store.WholeQuarantineObjects(t.Context(), store.QuarantineFilter{Entity: d.entity, PendingOnly: true}, 10)
	if err != nil || len(whole) != 1 || whole[0].Fault != "is not a Parquet file" {
		t.Fatalf("objects %+v (%v)", whole, err)
	}
	if report := d.replay(r); report.Objects != 1 || len(report.Troubles) != 0 {
		t.Errorf("report %+v", report)
	}
	if _, err := d.Catalog.Objects.StatObject(t.Context(), d.RawBucket, d.entity+"/"+name, minio.StatObjectOptions{}); err != nil {
		t.Errorf("RAW: %v", err)
	}
	if report := d.replay(r); report.Objects != 0 {
		t.Errorf("again %+v", report)
	}
}
