package topiclookup_test

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	_ "github.com/redpanda-data/benthos/v4/public/components/pure"
	"github.com/redpanda-data/benthos/v4/public/service"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	_ "github.com/shop-connect/shop-connect/plugins/topiclookup"
)

func startKafka(t *testing.T) (addr string, produce func(key, value string)) {
	t.Helper()
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(3, "products", "sellers", "customers"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cluster.Close)
	addr = cluster.ListenAddrs()[0]
	client, err := kgo.NewClient(kgo.SeedBrokers(addr))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	return addr, func(key, value string) {
		t.Helper()
		topic, id, found := strings.Cut(key, "/")
		if !found {
			topic, id = "products", key
		}
		record := &kgo.Record{Topic: topic, Key: []byte(id)}
		if value != "" {
			record.Value = []byte(value)
		}
		if err := client.ProduceSync(context.Background(), record).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
}

// newStream returns what joins rows that are messages of their own.
func newStream(t *testing.T, addr string) func(rows ...string) []string {
	t.Helper()
	join := newBatchStream(t, addr)
	return func(rows ...string) (joined []string) {
		t.Helper()
		var batch service.MessageBatch
		for _, row := range rows {
			batch = append(batch, service.NewMessage([]byte(row)))
		}
		for _, msg := range join(batch) {
			raw, err := msg.AsBytes()
			if err != nil {
				t.Fatal(err)
			}
			joined = append(joined, string(raw))
		}
		return joined
	}
}

func contractOf(entity string) string {
	return filepath.Join("..", "..", "pipelines", "contracts", entity+".yaml")
}

func newBatchStream(t *testing.T, addr string) func(service.MessageBatch) service.MessageBatch {
	t.Helper()
	return newConfiguredStream(t, fmt.Sprintf(`
topic_lookup:
  seed_brokers: [%q]
  lookups:
    - topic: products
      contract: %q
      on: product_id
      add: {product_name: name, product_category: category}
`, addr, contractOf("products")))
}

func newConfiguredStream(t *testing.T, config string) func(service.MessageBatch) service.MessageBatch {
	t.Helper()
	builder := service.NewEnvironment().NewStreamBuilder()
	if err := builder.AddProcessorYAML(config); err != nil {
		t.Fatal(err)
	}
	send, err := builder.AddBatchProducerFunc()
	if err != nil {
		t.Fatal(err)
	}
	got := make(chan service.MessageBatch, 1)
	err = builder.AddBatchConsumerFunc(func(_ context.Context, batch service.MessageBatch) error {
		got <- batch
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	stream, err := builder.Build()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- stream.Run(ctx) }()
	t.Cleanup(func() { cancel(); <-ended })
	return func(batch service.MessageBatch) service.MessageBatch {
		t.Helper()
		if err := send(context.Background(), batch); err != nil {
			t.Fatal(err)
		}
		return <-got
	}
}

const pen = `{"id":"7","name":"pen \"fine\"","category":"office","price":1.5,"stock":3}`

func check(t *testing.T, got []string, want ...string) {
	t.Helper()
	for i := range want {
		if got[i] != want[i] {
			t.Errorf("row %d: %s\nwant    %s", i, got[i], want[i])
		}
	}
}

func TestWhatWasProducedBeforeTheMessageIsFound(t *testing.T) {
	addr, produce := startKafka(t)
	join := newStream(t, addr)
	check(t, join(`{"product_id":"7"}`), `{"product_id":"7",`+nothing+`}`)
	// every round is a race between the record's arrival and the message's that the lookup must not lose
	for i := range 50 {
		produce(fmt.Sprint("p", i), fmt.Sprintf(`{"id":"p%d","name":"n%d","category":"c","price":1,"stock":0}`, i, i))
		check(t, join(fmt.Sprintf(`{"product_id":"p%d"}`, i)),
			fmt.Sprintf(`{"product_id":"p%d","product_category":"c","product_name":"n%d"}`, i, i))
	}
}

func TestJoinedMembersAreSplicedIn(t *testing.T) {
	addr, produce := startKafka(t)
	produce("7", pen)
	join := newStream(t, addr)
	added := `"product_category":"office","product_name":"pen \"fine\""`
	check(t, join(
		`{"product_id":7,"quantity":1} `,
		`{"product_name":"forged","product_id":"7"}`,
		`{"nested":{"product_id":"7"}}`,
		`{}`,
		`[7]`,
		`not JSON`,
		``,
		`{"product_id":"8","product_name":"forged"}`,
		`{"product_id":"7"} and more`,
		`{"product_id":"7","deleted":true}`,
	),
		`{"product_id":7,"quantity":1,`+added+`}`,
		`{"product_name":"forged","product_id":"7",`+added+`}`,
		`{"nested":{"product_id":"7"},`+nothing+`}`,
		`{`+nothing+`}`,
		`[7]`,
		`not JSON`,
		``,
		`{"product_id":"8","product_name":"forged",`+nothing+`}`,
		`{"product_id":"7"} and more`,
		`{"product_id":"7","deleted":true}`,
	)
}

// nothing is what a message gets whose product is unknown.
const nothing = `"product_category":null,"product_name":null`

func TestRecordsThatBreakTheContractAndDeletionsAreNotJoined(t *testing.T) {
	addr, produce := startKafka(t)
	produce("bad", `{"id":"bad","name":7,"category":"c","price":1,"stock":0}`)
	produce("junk", "\xff\x00")
	produce("7", pen)
	produce("8", pen)
	produce("9", pen)
	produce("8", "")
	produce("9", `{"id":"9","deleted":true}`)
	join := newStream(t, addr)
	for _, id := range []string{"bad", "junk", "8", "9"} {
		check(t, join(fmt.Sprintf(`{"product_id":%q}`, id)), fmt.Sprintf(`{"product_id":%q,%s}`, id, nothing))
	}
	produce("7", `{"id":"7","name":"pencil","category":"office","price":1.5,"stock":3}`)
	check(t, join(`{"product_id":"7"}`), `{"product_id":"7","product_category":"office","product_name":"pencil"}`)
}

func TestConfigFaultsAreReportedTogether(t *testing.T) {
	builder := service.NewStreamBuilder()
	err := builder.AddProcessorYAML(fmt.Sprintf(`
topic_lookup:
  seed_brokers: [localhost:1]
  lookups:
    - topic: products
      contract: %q
      on: product_id
      add: {a: nope, b: neither}
`, contractOf("products")))
	if err == nil {
		if _, err = builder.AddBatchProducerFunc(); err == nil {
			var stream *service.Stream
			if stream, err = builder.Build(); err == nil {
				err = stream.Run(context.Background())
			}
		}
	}
	if err == nil || !strings.Contains(err.Error(), `"nope"`) || !strings.Contains(err.Error(), `"neither"`) {
		t.Errorf("the error does not name both unknown fields: %v", err)
	}
}
