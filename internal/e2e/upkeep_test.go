package e2e

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/shop-connect/shop-connect/internal/reconcile"
)

// Between compactions and retention, purchases go on coming in; every layer holds what it should.
func TestUpkeepBesideTheStreams(t *testing.T) {
	s := newBatchShop(t)
	s.want(t, 201, "POST", "/products", `{"id":"lamp","name":"Lamp","category":"light","price":19.99,"stock":100}`)
	sold := int64(0)
	sell := func() {
		t.Helper()
		// of two waves over six partitions, both have rows of some partition
		for range 2 {
			for range 20 {
				s.want(t, 201, "POST", "/purchases", `{"product_id":"lamp","customer_id":1,"seller_id":1,"quantity":1}`)
				sold++
			}
			s.succeed(`{"name":"process_purchases_from_api"}`)
			s.succeed(`{"name":"process_kafka_data"}`)
		}
		s.succeed(`{"name":"copy_raw_to_stage"}`)
	}
	check := func(when string) {
		t.Helper()
		eventually(t, 60*time.Second, when+", every layer has each purchase", func() (bool, string) {
			layers, err := reconcile.Count(t.Context(), s.up.Env)
			holds := err == nil && layers.Raw.Rows == sold && layers.Raw.Distinct == sold && layers.Stage.Rows == sold &&
				layers.Stage.Distinct == sold && layers.ClickHouse.IDs == sold && layers.Iceberg.IDs == sold
			return holds, fmt.Sprintf("%d sold, %+v, %v", sold, layers, err)
		})
	}
	for range 2 {
		sell()
		before, _ := s.rows("shop-raw-data", "purchases/")
		check("before compaction")
		for layer, bucket := range map[string]string{"raw": "shop-raw-data", "stage": "shop-stage-data"} {
			run := s.succeed(`{"name":"compact","params":{"layer":"` + layer + `","settled_for":"0s","min_objects":"2"}}`)
			objects, rows := s.rows(bucket, "purchases/")
			if run.RowsIn == 0 || run.RowsIn != run.RowsOut || objects >= before || rows != sold {
				t.Errorf("%s: %+v; %d objects of %d rows, before %d", layer, run, objects, rows, before)
			}
		}
		check("after compaction")
		s.succeed(`{"name":"iceberg_upkeep","params":{"apply_deletes":"true","keep_snapshots":"0s"}}`)
		check("after upkeep of the Iceberg table")
		if again := s.succeed(`{"name":"copy_raw_to_stage","params":{"full":true}}`); again.RowsIn != 0 || again.RowsOut != 0 {
			t.Errorf("a run that lists everything: %+v", again)
		}
	}

	dry := s.succeed(`{"name":"retention","params":{"keep_raw":"1d","keep_stage":"1d","dry_run":true}}`)
	if dry.Objects != 0 || !strings.Contains(dry.Progress, "would remove 0 objects of RAW") {
		t.Errorf("%+v", dry)
	}
	if run := s.succeed(`{"name":"retention"}`); run.Objects != 0 {
		t.Errorf("%+v", run)
	}
	check("after retention")
	for params, want := range map[string]string{
		`{"name":"retention","params":{"keep_raw":"90"}}`:           "write it as 90d",
		`{"name":"retention","params":{"open_too":"perhaps"}}`:      "open_too",
		`{"name":"compact","params":{"layer":"quarantine"}}`:        "raw, stage",
		`{"name":"compact","params":{"min_objects":"1"}}`:           "min_objects",
		`{"name":"compact","params":{"entity":"strangers"}}`:        "strangers",
		`{"name":"compact","params":{"settled_for":"in a moment"}}`: "settled_for",
	} {
		if answer := s.want(t, 422, "POST", "/runs", params); !strings.Contains(answer, want) {
			t.Errorf("%s: %s", params, answer)
		}
	}
	output, err := shopConnect(t, s.up, "run-batch", "retention", "--param", "keep_raw=90d", "--param", "dry_run=true")
	if err != nil || !strings.Contains(output, "would remove") {
		t.Errorf("%v: %s", err, output)
	}
}
