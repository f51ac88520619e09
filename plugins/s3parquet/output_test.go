package s3parquet_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/parquet-go/parquet-go"
	_ "github.com/redpanda-data/benthos/v4/public/components/pure"
	"github.com/redpanda-data/benthos/v4/public/service"
	"github.com/twmb/franz-go/pkg/kgo"

	_ "github.com/shop-connect/shop-connect/plugins/s3parquet"
)

// collected holds what outputs of the test got, by their names.
var collected sync.Map

type collector struct{ name string }

func init() {
	service.MustRegisterBatchOutput("collect", service.NewConfigSpec().Field(service.NewStringField("name")),
		func(conf *service.ParsedConfig, _ *service.Resources) (service.BatchOutput, service.BatchPolicy, int, error) {
			name, err := conf.FieldString("name")
			return &collector{name}, service.BatchPolicy{}, 1, err
		})
}

func (*collector) Connect(context.Context) error { return nil }
func (*collector) Close(context.Context) error   { return nil }
func (c *collector) WriteBatch(_ context.Context, batch service.MessageBatch) error {
	before, _ := collected.LoadOrStore(c.name, service.MessageBatch(nil))
	collected.Store(c.name, append(before.(service.MessageBatch), batch...))
	return nil
}

func refusedOf(name string) service.MessageBatch {
	batch, _ := collected.Load(name)
	messages, _ := batch.(service.MessageBatch)
	return messages
}

func contractPath(entity string) string {
	return filepath.Join("..", "..", "pipelines", "contracts", entity+".yaml")
}

// construct builds an output from YAML through its spec.
func construct(yaml string) (*service.OwnedOutput, error) {
	conf, err := service.NewConfigSpec().Field(service.NewOutputField("output")).ParseYAML("output:\n  "+strings.ReplaceAll(yaml, "\n", "\n  "), nil)
	if err != nil {
		return nil, err
	}
	return conf.FieldOutput("output")
}

func (s *store) fields(bucket string) string {
	return fmt.Sprintf("  endpoint: %q\n  access_key: %q\n  secret_key: %q\n  bucket: %q\n", s.Endpoint, s.AccessKey, s.SecretKey, bucket)
}

func open(t testing.TB, yaml string) *service.OwnedOutput {
	t.Helper()
	out, err := construct(yaml)
	if err != nil {
		t.Fatal(err)
	}
	if err := out.Prime(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := out.Close(ctx); err != nil {
			t.Error(err)
		}
	})
	return out
}

func raw(t testing.TB, s *store, bucket string) *service.OwnedOutput {
	t.Helper()
	return open(t, "s3_parquet:\n"+s.fields(bucket)+fmt.Sprintf(
		"  prefix: purchases/\n  day_folder: purchase_date\n  contract: %q\n  refused: {collect: {name: %q}}\n", contractPath("purchases"), bucket))
}

// sent is a record as the redpanda input makes a message of it.
func sent(partition, offset int, value string, headers ...kgo.RecordHeader) *service.Message {
	msg := service.NewMessage([]byte(value))
	msg.MetaSetMut("kafka_topic", "purchases")
	msg.MetaSetMut("kafka_partition", partition)
	msg.MetaSetMut("kafka_offset", offset)
	msg.MetaSetMut("kafka_timestamp_ms", kafkaTime.UnixMilli())
	for _, h := range headers {
		msg.MetaSetMut(h.Key, string(h.Value))
	}
	if len(headers) > 0 {
		msg.MetaSetMut("__rpcn_kafka_headers", headers)
	}
	return msg
}

var kafkaTime = time.Date(2023, 11, 20, 23, 30, 0, 0, time.UTC)

func purchase(id, day string) string {
	return fmt.Sprintf(`{"id":%q,"product_id":"P1","customer_id":7,"seller_id":3,"quantity":2,"price_at_time":19.99,"purchased_at":"%sT10:00:00Z"}`, id, day)
}

func write(t testing.TB, out *service.OwnedOutput, batch ...*service.Message) {
	t.Helper()
	if err := out.WriteBatch(t.Context(), batch); err != nil {
		t.Fatal(err)
	}
}

type rawRow struct {
	ID      *string `parquet:"id,optional"`
	Deleted bool    `parquet:"deleted"`
	Offset  int64   `parquet:"_offset"`
	Value   []byte  `parquet:"_value"`
}

func readParquet[T any](t testing.TB, file []byte) []T {
	t.Helper()
	rows, err := parquet.Read[T](bytes.NewReader(file), int64(len(file)))
	if err != nil && !errors.Is(err, io.EOF) {
		t.Fatal(err)
	}
	return rows
}

func offsets(t testing.TB, file []byte) []int64 {
	t.Helper()
	var found []int64
	for _, row := range readParquet[rawRow](t, file) {
		found = append(found, row.Offset)
	}
	return found
}

func keys(objects map[string][]byte) []string { return slices.Sorted(maps.Keys(objects)) }

func TestOneObjectPerPartitionAndBusinessDay(t *testing.T) {
	s, bucket := newBucket(t)
	write(t, raw(t, s, bucket),
		sent(0, 100, purchase("a", "2023-11-09")),
		sent(0, 101, purchase("b", "2023-11-10")),
		sent(3, 7, purchase("c", "2023-11-09")),
		sent(0, 102, purchase("d", "2023-11-09")),
		sent(3, 8, `{"id":"a","deleted":true}`),
		sent(3, 9, `{"id":"b","deleted":true,"purchased_at":"2023-11-10T10:00:00Z"}`),
	)
	objects := s.objects(t, bucket)
	want := map[string][]int64{
		"purchases/purchase_date=2023-11-09/purchases-0-100.parquet": {100, 102},
		"purchases/purchase_date=2023-11-10/purchases-0-100.parquet": {101},
		"purchases/purchase_date=2023-11-09/purchases-3-7.parquet":   {7},
		// a deletion that does not say when is laid out by its Kafka timestamp
		"purchases/purchase_date=2023-11-20/purchases-3-7.parquet": {8},
		"purchases/purchase_date=2023-11-10/purchases-3-7.parquet": {9},
	}
	if !slices.Equal(keys(objects), slices.Sorted(maps.Keys(want))) {
		t.Fatalf("objects %q", keys(objects))
	}
	for key, rows := range want {
		if got := offsets(t, objects[key]); !slices.Equal(got, rows) {
			t.Errorf("%s holds offsets %v, want %v", key, got, rows)
		}
	}
	if row := readParquet[rawRow](t, objects["purchases/purchase_date=2023-11-20/purchases-3-7.parquet"])[0]; !row.Deleted || *row.ID != "a" {
		t.Errorf("deletion %+v", row)
	}
}

func TestBusinessDaysAreThoseOfTheTimezone(t *testing.T) {
	s, bucket := newBucket(t)
	out := open(t, "s3_parquet:\n"+s.fields(bucket)+fmt.Sprintf(
		"  day_folder: day\n  timezone: Asia/Yekaterinburg\n  contract: %q\n  refused: {drop: {}}\n", contractPath("purchases")))
	write(t, out,
		sent(0, 1, `{"purchased_at":"2023-11-09T20:00:00Z"}`),
		sent(0, 2, `{"id":"x","deleted":true}`))
	if got := keys(s.objects(t, bucket)); !slices.Equal(got, []string{"day=2023-11-10/purchases-0-1.parquet", "day=2023-11-21/purchases-0-1.parquet"}) {
		t.Errorf("objects %q", got)
	}
}

func TestEntitiesWithoutAnEventTimeHaveNoDayFolders(t *testing.T) {
	s, bucket := newBucket(t)
	out := open(t, "s3_parquet:\n"+s.fields(bucket)+fmt.Sprintf("  prefix: sellers/\n  contract: %q\n  refused: {drop: {}}\n", contractPath("sellers")))
	write(t, out, sent(1, 5, `{"id":1,"name":"Ann"}`), sent(1, 6, `{"id":2,"name":"Bob"}`))
	if got := keys(s.objects(t, bucket)); !slices.Equal(got, []string{"sellers/purchases-1-5.parquet"}) {
		t.Errorf("objects %q", got)
	}
}

func TestARedeliveredBatchOverwritesItself(t *testing.T) {
	s, bucket := newBucket(t)
	out := raw(t, s, bucket)
	batch := func() []*service.Message {
		return []*service.Message{sent(0, 40, purchase("a", "2023-11-09")), sent(0, 41, purchase("b", "2023-11-09")), sent(1, 3, "{}")}
	}
	write(t, out, batch()...)
	first := s.objects(t, bucket)
	write(t, out, batch()...)
	second := s.objects(t, bucket)
	if len(first) != 2 || !maps.EqualFunc(first, second, bytes.Equal) {
		t.Errorf("objects %q became %q", keys(first), keys(second))
	}
}

func TestRedeliveryWithOtherBoundsTakesNoRowAway(t *testing.T) {
	s, bucket := newBucket(t)
	out := raw(t, s, bucket)
	upTo := func(last int) (batch []*service.Message) {
		for offset := 40; offset <= last; offset++ {
			batch = append(batch, sent(0, offset, purchase("p", "2023-11-09")))
		}
		return batch
	}
	const key = "purchases/purchase_date=2023-11-09/purchases-0-40.parquet"
	for _, step := range []struct{ delivered, kept int }{{45, 45}, {42, 45}, {45, 45}, {50, 50}} {
		write(t, out, upTo(step.delivered)...)
		if got := offsets(t, s.objects(t, bucket)[key]); len(got) != step.kept-39 || got[len(got)-1] != int64(step.kept) {
			t.Errorf("after a delivery up to %d the object holds %v, want all up to %d", step.delivered, got, step.kept)
		}
	}
}

func TestRowsStandInTheOrderOfTheirOffsets(t *testing.T) {
	s, bucket := newBucket(t)
	var batch []*service.Message
	for _, offset := range []int{9, 4, 11, 5, 10, 3} {
		batch = append(batch, sent(0, offset, purchase("p", "2023-11-09")))
	}
	write(t, raw(t, s, bucket), batch...)
	if got := offsets(t, s.objects(t, bucket)["purchases/purchase_date=2023-11-09/purchases-0-3.parquet"]); !slices.Equal(got, []int64{3, 4, 5, 9, 10, 11}) {
		t.Errorf("offsets %v", got)
	}
}

func TestWhatCannotBeTypedIsSetAsideWithItsBytes(t *testing.T) {
	s, bucket := newBucket(t)
	bad := map[int]string{
		1: "\x00\xff not JSON", 2: `{"id":"x","quantity":"many"}`, 3: ``, 4: `[{}]`, 5: `{"price_at_time":0.00001}`, 6: `{"id":"half`,
	}
	batch := []*service.Message{sent(0, 0, purchase("good", "2023-11-09"))}
	for offset := 1; offset <= len(bad); offset++ {
		batch = append(batch, sent(0, offset, bad[offset]))
	}
	write(t, raw(t, s, bucket), append(batch, sent(0, 7, purchase("good too", "2023-11-09")))...)

	if got := offsets(t, s.objects(t, bucket)["purchases/purchase_date=2023-11-09/purchases-0-0.parquet"]); !slices.Equal(got, []int64{0, 7}) {
		t.Errorf("stored offsets %v", got)
	}
	refused := refusedOf(bucket)
	if len(refused) != len(bad) {
		t.Fatalf("%d rows set aside, want %d", len(refused), len(bad))
	}
	for i, msg := range refused {
		value, err := msg.AsBytes()
		if err != nil || string(value) != bad[i+1] {
			t.Errorf("row %d was set aside as %q, want %q (%v)", i+1, value, bad[i+1], err)
		}
		source, _ := msg.MetaGet("refused_source")
		by, _ := msg.MetaGet("refused_by")
		reasons, _ := msg.MetaGet("refused_reasons")
		if source != fmt.Sprintf("purchases-0-%d", i+1) || by != "raw" || !strings.Contains(reasons, `"rule"`) {
			t.Errorf("row %d: source %q, by %q, reasons %s", i+1, source, by, reasons)
		}
	}
}

func TestAMessageWithoutATrustworthyPlaceInKafkaIsSetAside(t *testing.T) {
	s, bucket := newBucket(t)
	forged := sent(0, 12, purchase("forged", "2023-11-09"), kgo.RecordHeader{Key: "kafka_offset", Value: []byte("0")})
	write(t, raw(t, s, bucket), forged, service.NewMessage([]byte(purchase("elsewhere", "2023-11-09"))))
	if objects := s.objects(t, bucket); len(objects) != 0 {
		t.Errorf("objects %q", keys(objects))
	}
	if refused := refusedOf(bucket); len(refused) != 2 {
		t.Errorf("%d rows set aside, want 2", len(refused))
	}
}

func TestABatchWithoutGoodRowsMakesNoObject(t *testing.T) {
	s, bucket := newBucket(t)
	write(t, raw(t, s, bucket), sent(0, 1, "no"))
	if objects := s.objects(t, bucket); len(objects) != 0 {
		t.Errorf("objects %q", keys(objects))
	}
}
