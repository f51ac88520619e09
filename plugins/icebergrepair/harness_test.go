package icebergrepair

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	_ "github.com/redpanda-data/benthos/v4/public/components/pure"
	"github.com/redpanda-data/benthos/v4/public/service"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	_ "github.com/shop-connect/shop-connect/plugins/icebergsink"
	_ "github.com/shop-connect/shop-connect/plugins/icebergupkeep"
	_ "github.com/shop-connect/shop-connect/plugins/topiclookup"
)

// shop is a table in a directory of a test, and topics.
type shop struct {
	t       testing.TB
	brokers string
	produce func(topic, key, value string)
	// where says which table is meant, as YAML.
	where string
	send  func(context.Context, service.MessageBatch) error
	next  int
}

func contractOf(entity string) string {
	path, err := filepath.Abs(filepath.Join("..", "..", "pipelines", "contracts", entity+".yaml"))
	if err != nil {
		panic(err)
	}
	return path
}

// joins are the lookups of the shipped pipeline.
func joins(brokers string) string {
	return fmt.Sprintf(`
seed_brokers: [%q]
at: purchased_at
lookups:
  - {topic: products, contract: %q, on: product_id, add: {product_name: name, product_category: category, product_price: price}, known: product_known}
  - {topic: sellers, contract: %q, on: seller_id, add: {seller_name: name}, known: seller_known}
  - {topic: customers, contract: %q, on: customer_id, add: {customer_country: country, customer_segment: segment}, known: customer_known}
`, brokers, contractOf("products"), contractOf("sellers"), contractOf("customers"))
}

func indented(yaml string) string { return strings.ReplaceAll(yaml, "\n", "\n  ") }

func newShop(t testing.TB) *shop {
	t.Helper()
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(2, "products", "sellers", "customers"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cluster.Close)
	s := &shop{t: t, brokers: cluster.ListenAddrs()[0]}
	client, err := kgo.NewClient(kgo.SeedBrokers(s.brokers))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	s.produce = func(topic, key, value string) {
		t.Helper()
		record := &kgo.Record{Topic: topic, Key: []byte(key), Value: []byte(value)}
		if err := client.ProduceSync(context.Background(), record).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	dir := t.TempDir()
	s.where = fmt.Sprintf("\ncatalog: {name: shop, uri: \"sqlite://%s/catalog.db\", warehouse: \"file://%s/warehouse\"}\ntable: analytics.facts\ncontract: %q", dir, dir, contractOf("purchase_product_facts"))
	s.startSink()
	return s
}

// startSink starts what writes facts.
func (s *shop) startSink() {
	s.t.Helper()
	builder := service.NewEnvironment().NewStreamBuilder()
	builder.DisableLinting()
	err := builder.AddProcessorYAML("topic_lookup:" + indented(joins(s.brokers)))
	if err == nil {
		err = builder.AddOutputYAML("iceberg_table:" + indented(s.where+"\npartition_by: [purchase_date]\nrefused: {reject: refused}"))
	}
	if err == nil {
		s.send, err = builder.AddBatchProducerFunc()
	}
	if err != nil {
		s.t.Fatal(err)
	}
	_ = builder.SetLoggerYAML("level: error")
	stream, err := builder.Build()
	if err != nil {
		s.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- stream.Run(ctx) }()
	s.t.Cleanup(func() { cancel(); <-ended })
}

// upkeep applies every delete to its rows, and drops it.
func (s *shop) upkeep() {
	s.t.Helper()
	builder := service.NewEnvironment().NewStreamBuilder()
	builder.DisableLinting()
	where, _, _ := strings.Cut(s.where, "\ncontract:")
	done := make(chan error, 1)
	err := errors.Join(
		builder.SetLoggerYAML("level: none"),
		builder.AddInputYAML(`generate: {count: 1, interval: "", mapping: "root = {}"}`),
		builder.AddProcessorYAML("iceberg_upkeep:"+indented(where+"\napply_deletes: true")),
		builder.AddConsumerFunc(func(_ context.Context, m *service.Message) error {
			done <- m.GetError()
			return nil
		}),
	)
	if err != nil {
		s.t.Fatal(err)
	}
	stream, err := builder.Build()
	if err != nil {
		s.t.Fatal(err)
	}
	if err := stream.Run(s.t.Context()); err != nil {
		s.t.Fatal(err)
	}
	if err := <-done; err != nil {
		s.t.Fatal(err)
	}
}

// repairer starts what repairs them.
func (s *shop) repairer() *processor {
	s.t.Helper()
	conf, err := Spec().ParseYAML(s.where+joins(s.brokers), nil)
	if err != nil {
		s.t.Fatal(err)
	}
	made, err := fromParsed(conf, service.MockResources())
	if err != nil {
		s.t.Fatal(err)
	}
	p := made.(*processor)
	s.t.Cleanup(func() { _ = p.Close(context.Background()) })
	return p
}

// repair runs a repair once.
func (s *shop) repair(p *processor) (r report) {
	s.t.Helper()
	batch, err := p.Process(context.Background(), service.NewMessage([]byte("{}")))
	if err != nil {
		s.t.Fatal(err)
	}
	raw, _ := batch[0].AsBytes()
	if err := json.Unmarshal(raw, &r); err != nil {
		s.t.Fatal(err)
	}
	return r
}

// sell writes purchases, or whatever else, as the next records of a partition.
func (s *shop) sell(rows ...string) {
	s.t.Helper()
	var batch service.MessageBatch
	for _, row := range rows {
		msg := service.NewMessage([]byte(row))
		msg.MetaSetMut("kafka_topic", "purchases")
		msg.MetaSetMut("kafka_partition", 0)
		msg.MetaSetMut("kafka_offset", s.next)
		msg.MetaSetMut("kafka_timestamp_ms", 1_795_000_000_000+s.next)
		s.next++
		batch = append(batch, msg)
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := s.send(ctx, batch); err != nil {
		s.t.Fatal(err)
	}
}

func purchase(id, product string, seller, customer int, quantity int, at string) string {
	return fmt.Sprintf(`{"id":%q,"product_id":%q,"seller_id":%d,"customer_id":%d,"quantity":%d,"price_at_time":2.5,"purchased_at":%q}`,
		id, product, seller, customer, quantity, at)
}

func deletion(id string) string { return fmt.Sprintf(`{"id":%q,"deleted":true}`, id) }

func (s *shop) product(id, name, since string) {
	s.t.Helper()
	s.produce("products", id, fmt.Sprintf(`{"id":%q,"name":%q,"category":"c","price":"1.5000","stock":1,"updated_at":%q}`, id, name, since))
}

func (s *shop) seller(id int, name string) {
	s.t.Helper()
	s.produce("sellers", fmt.Sprint(id), fmt.Sprintf(`{"id":%d,"name":%q}`, id, name))
}

func (s *shop) customer(id int, country string) {
	s.t.Helper()
	s.produce("customers", fmt.Sprint(id), fmt.Sprintf(`{"customer_id":%d,"first_name":"A","last_name":"B","email":"a%d@b","country":%q}`, id, id, country))
}

// facts reads the table back, deletes applied: "id quantity product seller country known" in the order of ids.
func (s *shop) facts(p *processor) map[string]string {
	s.t.Helper()
	tbl, err := p.catalog.LoadTable(context.Background(), p.cfg.ident)
	if err != nil {
		s.t.Fatal(err)
	}
	_, records, err := tbl.Scan().ToArrowRecords(context.Background())
	if err != nil {
		s.t.Fatal(err)
	}
	facts := map[string]string{}
	for rec, err := range records {
		if err != nil {
			s.t.Fatal(err)
		}
		for i := range int(rec.NumRows()) {
			value := func(name string) string {
				c := column(rec, name)
				if c.IsNull(i) {
					return "-"
				}
				return c.ValueStr(i)
			}
			id := value("id")
			if _, twice := facts[id]; twice {
				s.t.Errorf("%s is in the table twice", id)
			}
			facts[id] = strings.Join([]string{value("quantity"), value("product_name"), value("product_price"), value("seller_name"), value("customer_country"),
				value("product_known"), value("seller_known"), value("customer_known")}, " ")
		}
		rec.Release()
	}
	return facts
}

func (s *shop) expect(p *processor, want map[string]string) {
	s.t.Helper()
	got := s.facts(p)
	for id, row := range want {
		if got[id] != row {
			s.t.Errorf("%s is %q, want %q", id, got[id], row)
		}
	}
	if len(got) != len(want) {
		s.t.Errorf("%d rows in the table, want %d: %v", len(got), len(want), got)
	}
}
