package icebergsink

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/iceberg-go/table"
	_ "github.com/redpanda-data/benthos/v4/public/components/pure"
	"github.com/redpanda-data/benthos/v4/public/service"

	"github.com/shop-connect/shop-connect/internal/clock"
	"github.com/shop-connect/shop-connect/internal/money"
	"github.com/shop-connect/shop-connect/internal/quarantine"
)

const contracts = "../../pipelines/contracts"

// captured is what the test output was given, by its id.
var captured sync.Map

type captor struct{ into *[]*service.Message }

func (captor) Connect(context.Context) error { return nil }
func (captor) Close(context.Context) error   { return nil }
func (c captor) WriteBatch(_ context.Context, batch service.MessageBatch) error {
	*c.into = append(*c.into, batch.DeepCopy()...)
	return nil
}

func init() {
	service.MustRegisterBatchOutput("captured", service.NewConfigSpec().Field(service.NewStringField("id")),
		func(conf *service.ParsedConfig, _ *service.Resources) (service.BatchOutput, service.BatchPolicy, int, error) {
			id, err := conf.FieldString("id")
			into, _ := captured.LoadOrStore(id, &[]*service.Message{})
			return captor{into.(*[]*service.Message)}, service.BatchPolicy{}, 1, err
		})
}

// shop is a catalog and a warehouse in a directory of a test.
type shop struct {
	t   testing.TB
	dir string
	// yaml is put behind the fields that every sink of the test has.
	contract, partitionBy, yaml string
	catalog, uri                string
	warehouse, storage          string
}

func newShop(t testing.TB) *shop {
	dir := t.TempDir()
	return &shop{t: t, dir: dir, catalog: "shop", uri: "sqlite://" + dir + "/catalog.db", contract: contracts + "/purchases.yaml", partitionBy: "[purchase_date]", warehouse: "file://" + dir + "/warehouse"}
}

func (s *shop) config() string {
	return fmt.Sprintf(`
catalog: {name: %s, uri: "%s", warehouse: "%s"}
table: analytics.purchases
contract: %s
partition_by: %s
refused: {captured: {id: "%s"}}
%s
%s`, s.catalog, s.uri, s.warehouse, s.contract, s.partitionBy, s.dir, s.storage, s.yaml)
}

func parse(yaml string) (*output, error) {
	conf, err := Spec().ParseYAML(yaml, nil)
	if err != nil {
		return nil, err
	}
	out, _, _, err := fromParsed(conf, service.MockResources())
	if err != nil {
		return nil, err
	}
	return out.(*output), nil
}

// sink starts a sink on the shop's table.
func (s *shop) sink() *output {
	s.t.Helper()
	out, err := parse(s.config())
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { _ = out.Close(context.Background()) })
	if err := out.Connect(context.Background()); err != nil {
		s.t.Fatal(err)
	}
	return out
}

func (s *shop) refused() []*service.Message {
	into, found := captured.Load(s.dir)
	if !found {
		return nil
	}
	return *into.(*[]*service.Message)
}

// write writes rows as the records of partition 0 that begin at an offset.
func write(t testing.TB, out *output, from int, rows ...string) {
	t.Helper()
	if err := out.WriteBatch(context.Background(), batchAt("purchases", 0, from, rows...)); err != nil {
		t.Fatal(err)
	}
}

func batchAt(topic string, partition, from int, rows ...string) service.MessageBatch {
	batch := make(service.MessageBatch, len(rows))
	for i, row := range rows {
		batch[i] = message(topic, partition, from+i, 1_750_000_000_000+int64(from+i), row)
	}
	return batch
}

func message(topic string, partition, offset int, millis int64, row string) *service.Message {
	msg := service.NewMessage([]byte(row))
	msg.MetaSetMut("kafka_topic", topic)
	msg.MetaSetMut("kafka_partition", partition)
	msg.MetaSetMut("kafka_offset", offset)
	msg.MetaSetMut("kafka_timestamp_ms", millis)
	return msg
}

func purchase(id, price, day string) string {
	return fmt.Sprintf(`{"id":%q,"product_id":"85123A","customer_id":17850,"seller_id":3,"quantity":6,"price_at_time":%s,"purchased_at":"%sT08:26:00Z"}`, id, price, day)
}

func deletion(id string) string { return fmt.Sprintf(`{"id":%q,"deleted":true}`, id) }

func purchases(from, to int) []string {
	rows := make([]string, 0, to-from)
	for i := from; i < to; i++ {
		rows = append(rows, purchase("p-"+strconv.Itoa(i), "2.55", fmt.Sprintf("2024-01-%02d", 1+i%28)))
	}
	return rows
}

// rows reads the table back, deletes applied, as "id price day" by id; an id that is there twice fails
// the test.
func (s *shop) rows(out *output) map[string]string {
	s.t.Helper()
	rows := map[string]string{}
	s.scan(out, func(id, rest string) {
		if other, twice := rows[id]; twice {
			s.t.Errorf("%s is in the table twice: %q and %q", id, other, rest)
		}
		rows[id] = rest
	})
	return rows
}

func (s *shop) scan(out *output, row func(id, rest string)) {
	s.t.Helper()
	tbl, err := out.catalog.LoadTable(context.Background(), out.cfg.ident)
	if err != nil {
		s.t.Fatal(err)
	}
	schema, records, err := tbl.Scan(table.WithSelectedFields("id", "price_at_time", "purchase_date")).ToArrowRecords(context.Background())
	if err != nil {
		s.t.Fatal(err)
	}
	at := func(name string) int { return schema.FieldIndices(name)[0] }
	for rec, err := range records {
		if err != nil {
			s.t.Fatal(err)
		}
		for i := range int(rec.NumRows()) {
			price := rec.Column(at("price_at_time")).(*array.Decimal128).Value(i)
			day := rec.Column(at("purchase_date")).(*array.Date32).Value(i)
			row(rec.Column(at("id")).(*array.String).Value(i), money.String(int64(price.LowBits()))+" "+clock.DateString(int64(day)))
		}
		rec.Release()
	}
}

func (s *shop) expect(out *output, want map[string]string) {
	s.t.Helper()
	got := s.rows(out)
	if len(got) != len(want) {
		s.t.Errorf("%d rows in the table, want %d", len(got), len(want))
	}
	for id, row := range want {
		if got[id] != row {
			s.t.Errorf("%s is %q in the table, want %q", id, got[id], row)
		}
	}
}

// dataFiles counts the Parquet files of the warehouse, those in no snapshot too.
func (s *shop) dataFiles() int {
	n := 0
	_ = filepath.WalkDir(filepath.Join(s.dir, "warehouse"), func(path string, d os.DirEntry, err error) error {
		if err == nil && strings.HasSuffix(path, ".parquet") {
			n++
		}
		return err
	})
	return n
}

func reasons(msg *service.Message) string {
	text, _ := msg.MetaGet(quarantine.MetaReasons)
	return text
}
