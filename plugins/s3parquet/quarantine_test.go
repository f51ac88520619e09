package s3parquet_test

import (
	"bytes"
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/redpanda-data/benthos/v4/public/service"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/shop-connect/shop-connect/internal/contract"
	"github.com/shop-connect/shop-connect/internal/quarantine"
)

func quarantineOutput(t *testing.T, s *store, bucket string) *service.OwnedOutput {
	t.Helper()
	return open(t, "s3_quarantine:\n"+s.fields(bucket))
}

// rejected is a record of a topic of rejected rows; metadata are name and value by turns.
func rejected(topic string, offset int, value string, metadata ...string) *service.Message {
	var headers []kgo.RecordHeader
	for i := 0; i < len(metadata); i += 2 {
		headers = append(headers, kgo.RecordHeader{Key: metadata[i], Value: []byte(metadata[i+1])})
	}
	msg := sent(0, offset, value, headers...)
	msg.MetaSetMut("kafka_topic", topic)
	return msg
}

func TestRefusedRowsAreKeptWithWhoRefusedThemAndWhy(t *testing.T) {
	s, bucket := newBucket(t)
	const reasons = `[{"field":"quantity","rule":"type","message":"must be a whole number"}]`
	marked := []string{"refused_by", "raw", "refused_entity", "purchases", "refused_contract_version", "3", "refused_source", "purchases-4-17", "refused_reasons", reasons}
	write(t, quarantineOutput(t, s, bucket), rejected("purchases.rejected", 5, "\x00\xff", marked...))
	rows := readParquet[quarantine.Row](t, s.objects(t, bucket)["purchases/layer=raw/date=2023-11-20/purchases.rejected-0-5.parquet"])
	want := quarantine.Row{
		Entity: "purchases", ContractVersion: 3, Layer: "raw", Reasons: reasons, Source: "purchases-4-17",
		RefusedAt: kafkaTime.UnixMicro(), Value: []byte("\x00\xff"), Topic: "purchases.rejected", Offset: 5,
	}
	if len(rows) != 1 || !bytes.Equal(rows[0].Value, want.Value) {
		t.Fatalf("rows %+v", rows)
	}
	got := rows[0]
	got.Value, want.Value = nil, nil
	if !equalRows(got, want) {
		t.Errorf("row\n%+v, want\n%+v", got, want)
	}
}

func equalRows(a, b quarantine.Row) bool {
	return a.Entity == b.Entity && a.ContractVersion == b.ContractVersion && a.Layer == b.Layer && a.Reasons == b.Reasons &&
		a.Source == b.Source && a.RefusedAt == b.RefusedAt && a.Topic == b.Topic && a.Partition == b.Partition && a.Offset == b.Offset
}

func TestRowsAreLaidOutByEntityLayerAndDay(t *testing.T) {
	s, bucket := newBucket(t)
	write(t, quarantineOutput(t, s, bucket),
		rejected("purchases.rejected", 5, "a", "refused_by", "raw"),
		rejected("purchases.rejected", 6, "b", "refused_by", "clickhouse"),
		rejected("sellers.rejected", 2, "c", "refused_by", "raw"),
		rejected("purchases.rejected", 7, "d"))
	if got := keys(s.objects(t, bucket)); !slices.Equal(got, []string{
		"purchases/layer=clickhouse/date=2023-11-20/purchases.rejected-0-5.parquet",
		"purchases/layer=raw/date=2023-11-20/purchases.rejected-0-5.parquet",
		"purchases/layer=unknown/date=2023-11-20/purchases.rejected-0-5.parquet",
		"sellers/layer=raw/date=2023-11-20/sellers.rejected-0-2.parquet",
	}) {
		t.Errorf("objects\n%s", strings.Join(got, "\n"))
	}
}

// I4: nothing that anybody writes to a topic of rejected rows may fail, or go missing.
func TestAnythingAtAllIsKept(t *testing.T) {
	s, bucket := newBucket(t)
	long := strings.Repeat("x", 5000)
	strange := []*service.Message{
		rejected("purchases.rejected", 1, ""),
		rejected("purchases.rejected", 2, strings.Repeat("\x00", 1<<20)),
		rejected("purchases.rejected", 3, "a", "refused_by", "../../../etc", "refused_entity", "/"),
		rejected("purchases.rejected", 4, "b", "refused_by", long, "refused_entity", "..", "refused_contract_version", "none"),
		rejected("purchases.rejected", 5, "c", "refused_by", "\xff\x00", "refused_source", "\xfe", "refused_reasons", "no JSON \xff"),
		rejected("purchases.rejected", 6, "d", "refused_reasons", "[]", "refused_by", ""),
		rejected("purchases.rejected", 7, "e", "kafka_offset", "1", "kafka_topic", "x/../y"),
		rejected("purchases.rejected", 8, "f", "refused_reasons", `{"field":"a"}`),
		service.NewMessage([]byte("never in Kafka")),
		service.NewMessage([]byte("nor this one")),
	}
	write(t, quarantineOutput(t, s, bucket), strange...)
	kept := map[string]int{}
	for key, object := range s.objects(t, bucket) {
		if strings.Contains(key, "..") || strings.Count(key, "/") != 3 {
			t.Errorf("key %q", key)
		}
		for _, row := range readParquet[quarantine.Row](t, object) {
			kept[string(row.Value)]++
			var reasons []contract.Reason
			if err := json.Unmarshal([]byte(row.Reasons), &reasons); err != nil || len(reasons) == 0 {
				t.Errorf("reasons of %.20q: %s (%v)", row.Value, row.Reasons, err)
			}
		}
	}
	for _, msg := range strange {
		value, err := msg.AsBytes()
		if err != nil || kept[string(value)] != 1 {
			t.Errorf("%.20q was kept %d times (%v)", value, kept[string(value)], err)
		}
	}
}

func TestRedeliveredRefusalsOverwriteThemselves(t *testing.T) {
	s, bucket := newBucket(t)
	out := quarantineOutput(t, s, bucket)
	batch := func() []*service.Message {
		return []*service.Message{rejected("purchases.rejected", 5, "a", "refused_by", "raw"), rejected("purchases.rejected", 6, "b", "refused_by", "raw")}
	}
	write(t, out, batch()...)
	first := s.objects(t, bucket)
	write(t, out, batch()...)
	if second := s.objects(t, bucket); len(first) != 1 || !maps.EqualFunc(first, second, bytes.Equal) {
		t.Errorf("objects %q became %q", keys(first), keys(second))
	}
}
