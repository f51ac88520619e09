package clickhousesink

import (
	"context"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redpanda-data/benthos/v4/public/service"
	_ "github.com/redpanda-data/connect/v4/public/components/io"
	_ "github.com/redpanda-data/connect/v4/public/components/pure"
	_ "github.com/redpanda-data/connect/v4/public/components/sql/base"
	"github.com/twmb/franz-go/pkg/kgo"
	"gopkg.in/yaml.v3"

	"github.com/shop-connect/shop-connect/internal/quarantine"
	"github.com/shop-connect/shop-connect/internal/record"
)

// These tests run the sink and the statistics as the files in pipelines/ configure them, but for the
// servers that they name.

var variable = regexp.MustCompile(`\$\{([A-Z_]+)(:[^}]*)?\}`)

// shipped reads a file of pipelines/, with its variables filled in.
func shipped(t testing.TB, name, dsn string) map[string]any {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, "pipelines", name))
	if err != nil {
		t.Fatal(err)
	}
	values := map[string]string{
		"CLICKHOUSE_DSN": dsn, "CONTRACTS_DIR": filepath.Join(root, "pipelines", "contracts"), "SHOP_TIMEZONE": "UTC",
	}
	filled := variable.ReplaceAllStringFunc(string(text), func(v string) string {
		return values[variable.FindStringSubmatch(v)[1]]
	})
	var pipeline map[string]any
	if err := yaml.Unmarshal([]byte(filled), &pipeline); err != nil {
		t.Fatal(err)
	}
	return pipeline
}

// at walks into a YAML document.
func at(document map[string]any, path ...string) map[string]any {
	for _, key := range path {
		document = document[key].(map[string]any)
	}
	return document
}

func text(t testing.TB, document any) string {
	t.Helper()
	text, err := yaml.Marshal(document)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// refusals keeps what sinks of this process refuse.
type refusals struct {
	mu       sync.Mutex
	messages service.MessageBatch
}

var refused refusals

func (r *refusals) Connect(context.Context) error { return nil }
func (r *refusals) Close(context.Context) error   { return nil }
func (r *refusals) WriteBatch(_ context.Context, batch service.MessageBatch) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.messages = append(r.messages, batch.DeepCopy()...)
	return nil
}

func init() {
	service.MustRegisterBatchOutput("test_refusals", service.NewConfigSpec(), func(*service.ParsedConfig, *service.Resources) (service.BatchOutput, service.BatchPolicy, int, error) {
		return &refused, service.BatchPolicy{}, 1, nil
	})
}

// sink is the shipped output, with changes.
func sink(t testing.TB, dsn string, changes map[string]any) *output {
	t.Helper()
	return shippedSink(t, dsn, "purchases_clickhouse.yaml", changes)
}

func shippedSink(t testing.TB, dsn, pipeline string, changes map[string]any) *output {
	t.Helper()
	config := at(shipped(t, pipeline, dsn), "output", "clickhouse_table")
	config[quarantine.FieldRefused] = map[string]any{"test_refusals": map[string]any{}}
	maps.Copy(config, changes)
	parsed, err := Spec().ParseYAML(text(t, config), nil)
	if err != nil {
		t.Fatal(err)
	}
	out, err := newOutput(parsed, service.MockResources())
	if err != nil {
		t.Fatal(err)
	}
	if err := out.Connect(t.Context()); err != nil {
		t.Fatal(err)
	}
	refused.messages = nil
	t.Cleanup(func() { out.Close(context.Background()) })
	return out
}

// compute runs the shipped statistics stream for one tick.
func compute(t testing.TB, dsn string) {
	t.Helper()
	pipeline := shipped(t, "clickhouse_stats.yaml", dsn)
	generate := at(pipeline, "input", "generate")
	generate["count"], generate["interval"] = 1, ""
	stream, log := statistics(t, pipeline)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	if err := stream.Run(ctx); err != nil || log.Len() > 0 {
		t.Fatalf("computing statistics: %v\n%s", err, log.String())
	}
}

// statistics builds a stream, and returns where its warnings and errors go.
func statistics(t testing.TB, pipeline map[string]any) (*service.Stream, *strings.Builder) {
	t.Helper()
	builder := service.NewStreamBuilder()
	if err := builder.SetYAML(text(t, pipeline)); err != nil {
		t.Fatal(err)
	}
	log := &strings.Builder{}
	builder.SetLogger(slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelWarn})))
	stream, err := builder.Build()
	if err != nil {
		t.Fatal(err)
	}
	return stream, log
}

// event is a record of the topic.
type event struct {
	partition int
	offset    int64
	at        time.Time
	value     string
}

func (e event) message() *service.Message {
	msg := service.NewMessage([]byte(e.value))
	msg.MetaSetMut("kafka_topic", "purchases")
	msg.MetaSetMut("kafka_partition", e.partition)
	msg.MetaSetMut("kafka_offset", int(e.offset))
	msg.MetaSetMut("kafka_timestamp_ms", e.at.UnixMilli())
	return msg
}

func (e event) record() *kgo.Record {
	return &kgo.Record{Topic: "purchases", Partition: int32(e.partition), Offset: e.offset, Timestamp: e.at, Value: []byte(e.value)}
}

// write writes events, the first half as a block of rows, the others as messages of their own.
func write(t testing.TB, out *output, events ...event) {
	t.Helper()
	block := &record.Block{}
	for _, e := range events[:len(events)/2] {
		block.Records = append(block.Records, e.record())
	}
	batch := service.MessageBatch{block.Message()}
	for _, e := range events[len(events)/2:] {
		batch = append(batch, e.message())
	}
	if err := out.WriteBatch(t.Context(), batch); err != nil {
		t.Fatal(err)
	}
}
