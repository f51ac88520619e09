package s3parquet_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/shop-connect/shop-connect/internal/record"
)

// customerRow is what a row of RAW says of a customer.
type customerRow struct {
	ID        *int64  `parquet:"customer_id,optional"`
	FirstName *string `parquet:"first_name,optional"`
	Deleted   bool    `parquet:"deleted"`
	Offset    int64   `parquet:"_offset"`
	Value     []byte  `parquet:"_value"`
}

func TestRowsOfSomebodyWhoWasErasedAndTombstonesAreDeletions(t *testing.T) {
	s, bucket := newBucket(t)
	b := openBooks(t)
	if _, err := b.BeginErasure(t.Context(), 7, true); err != nil {
		t.Fatal(err)
	}
	out := open(t, "s3_parquet:\n"+s.fields(bucket)+fmt.Sprintf(
		"  prefix: customers/\n  contract: %q\n  postgres_dsn: %q\n  refused: {collect: {name: %q}}\n", contractPath("customers"), b.dsn, bucket))
	block := &record.Block{}
	for i, r := range []struct{ key, value string }{
		{"6", `{"customer_id":6,"first_name":"Bo"}`},
		{"7", `{"customer_id":7,"first_name":"Zoe"}`},
		{"7", `{"customer_id":7,"first_name":5}`}, // refused, were it somebody else's
		{"9", ""},
		{"zoe@example.org", ""}, // of a key that no row has
		{"8", `{"customer_id":8,"first_name":5}`},
		{"7", `{"customer_id":7,"deleted":true,"updated_at":"2026-01-01T00:00:00Z"}`},
	} {
		kafka := &kgo.Record{Topic: "customers", Offset: int64(i), Timestamp: kafkaTime, Key: []byte(r.key)}
		if r.value != "" {
			kafka.Value = []byte(r.value)
		}
		block.Records = append(block.Records, kafka)
	}
	write(t, out, block.Message())
	var got []string
	for _, row := range readParquet[customerRow](t, s.objects(t, bucket)["customers/customers-0-0.parquet"]) {
		got = append(got, fmt.Sprintf("%d %v %s", row.Offset, row.Deleted, row.Value))
		if *row.ID != 6 && row.FirstName != nil {
			t.Errorf("customer %d is called %s", *row.ID, *row.FirstName)
		}
	}
	want := []string{
		`0 false {"customer_id":6,"first_name":"Bo"}`, `1 true {"customer_id":7,"deleted":true}`, `2 true {"customer_id":7,"deleted":true}`,
		`3 true {"customer_id":9,"deleted":true}`, `6 true {"customer_id":7,"deleted":true,"updated_at":"2026-01-01T00:00:00Z"}`,
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("RAW has\n%s", strings.Join(got, "\n"))
	}
	if refused := refusedOf(bucket); len(refused) != 1 {
		t.Errorf("%d rows are refused", len(refused))
	}
}
