package s3parquet_test

import (
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	_ "github.com/redpanda-data/connect/v4/public/components/kafka"

	"github.com/minio/minio-go/v7"
	"github.com/redpanda-data/benthos/v4/public/service"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/shop-connect/shop-connect/internal/quarantine"
	"github.com/shop-connect/shop-connect/internal/testservers"
	_ "github.com/shop-connect/shop-connect/plugins/kafkarows"
)

const brokerRecordBytes = 1_000_000

// startKafka returns a broker with the topics of the pipelines, and a client that makes records.
func startKafka(t testing.TB, topics ...string) (address string, client *kgo.Client) {
	t.Helper()
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(6, topics...))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cluster.Close)
	address = cluster.ListenAddrs()[0]
	client, err = kgo.NewClient(kgo.SeedBrokers(address), kgo.ProducerBatchMaxBytes(brokerRecordBytes+4096), kgo.MaxBufferedRecords(1_000_000),
		kgo.ProducerBatchCompression(kgo.NoCompression()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	return address, client
}

// runPipeline runs a file of the folder pipelines until the test ends.
func runPipeline(t testing.TB, name string, env map[string]string) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "..", "pipelines", name+".yaml"))
	if err != nil {
		t.Fatal(err)
	}
	builder := service.NewStreamBuilder()
	builder.SetEnvVarLookupFunc(func(key string) (string, bool) { value, ok := env[key]; return value, ok })
	if err := builder.SetYAML(string(text)); err != nil {
		t.Fatal(err)
	}
	if err := builder.SetLoggerYAML("level: error"); err != nil {
		t.Fatal(err)
	}
	stream, err := builder.Build()
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- stream.Run(context.Background()) }()
	t.Cleanup(func() {
		if err := stream.StopWithin(20 * time.Second); err != nil {
			t.Errorf("stopping %s: %v", name, err)
		}
		<-ended
	})
}

func pipelineEnv(t testing.TB, s *store, brokers string) map[string]string {
	t.Helper()
	return map[string]string{
		"KAFKA_BROKERS": brokers, "S3_ENDPOINT": s.Endpoint, "S3_ACCESS_KEY": s.AccessKey, "S3_SECRET_KEY": s.SecretKey,
		"CONTRACTS_DIR": filepath.Join("..", "..", "pipelines", "contracts"),
		"POSTGRES_DSN":  testservers.Postgres(t),
	}
}

func produce(t testing.TB, client *kgo.Client, records ...*kgo.Record) {
	t.Helper()
	if err := client.ProduceSync(t.Context(), records...).FirstErr(); err != nil {
		t.Fatal(err)
	}
}

// await looks at a bucket until it holds what is waited for.
func await[T any](t testing.TB, s *store, bucket string, done func(map[string][]T) bool) map[string][]T {
	t.Helper()
	deadline := time.After(40 * time.Second)
	for {
		found := map[string][]T{}
		for key, object := range s.objects(t, bucket) {
			found[key] = readParquet[T](t, object)
		}
		if done(found) {
			return found
		}
		select {
		case <-deadline:
			t.Fatalf("waited too long; the bucket holds %q", slices.Sorted(maps.Keys(found)))
		case <-time.After(100 * time.Millisecond):
		}
	}
}

func rowsOf[T any](objects map[string][]T) (n int) {
	for _, rows := range objects {
		n += len(rows)
	}
	return n
}

// I4: what is sent to the topics is in RAW or in quarantine, whatever it is.
func TestEveryRecordEndsInRawOrInQuarantine(t *testing.T) {
	s, err := startStore(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.stop)
	for _, bucket := range []string{"shop-raw-data", "shop-quarantine"} {
		if err := s.MakeBucket(t.Context(), bucket, minio.MakeBucketOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	var topics []string
	entities := []string{"purchases", "products", "customers", "sellers"}
	for _, entity := range entities {
		topics = append(topics, entity, entity+".rejected")
	}
	brokers, client := startKafka(t, topics...)
	env := pipelineEnv(t, s, brokers)
	for _, entity := range entities {
		runPipeline(t, entity+"_raw", env)
	}
	runPipeline(t, "rejected_quarantine", env)

	const good = 500
	for i := range good {
		day := fmt.Sprintf("2023-11-%02d", 1+i%5)
		produce(t, client, &kgo.Record{Topic: "purchases", Key: fmt.Appendf(nil, "p-%d", i), Value: []byte(purchase(fmt.Sprintf("p-%d", i), day))})
	}
	bad := []*kgo.Record{
		{Topic: "purchases", Value: []byte("not JSON \xff\x00")},
		{Topic: "purchases", Value: nil},
		{Topic: "purchases", Value: []byte(strings.Repeat("x", brokerRecordBytes))},
		{Topic: "purchases.rejected", Value: []byte("by hand")},
		{Topic: "customers", Value: []byte(`{"customer_id":"seven"}`)},
	}
	produce(t, client, bad...)
	produce(t, client,
		// a producer's header has no say in where its record stands
		&kgo.Record{Topic: "purchases", Value: []byte(purchase("forged", "2023-11-01")), Headers: []kgo.RecordHeader{{Key: "kafka_offset", Value: []byte("x")}}},
		&kgo.Record{Topic: "products", Key: []byte("P1"), Value: []byte(`{"id":"P1","name":"Lamp","price":1.5}`)},
		&kgo.Record{Topic: "customers", Key: []byte("7"), Value: []byte(`{"customer_id":7,"first_name":"Ann"}`)},
		&kgo.Record{Topic: "sellers", Key: []byte("3"), Value: []byte(`{"id":3,"deleted":true}`)})

	raw := await(t, s, "shop-raw-data", func(found map[string][]rawRow) bool { return rowsOf(found) >= good+4 })
	set := await(t, s, "shop-quarantine", func(found map[string][]quarantine.Row) bool { return rowsOf(found) >= len(bad) })
	if rowsOf(raw) != good+4 || rowsOf(set) != len(bad) {
		t.Errorf("%d rows in RAW, want %d; %d in quarantine, want %d", rowsOf(raw), good+4, rowsOf(set), len(bad))
	}
	layers := map[string]int{}
	for key, rows := range set {
		folders := strings.Split(key, "/")
		layers[folders[0]+"/"+folders[1]] += len(rows)
	}
	if want := map[string]int{"purchases/layer=raw": 3, "purchases/layer=unknown": 1, "customers/layer=raw": 1}; !maps.Equal(layers, want) {
		t.Errorf("quarantine holds %v, want %v", layers, want)
	}
	for key, rows := range raw {
		if !slices.IsSortedFunc(rows, func(a, b rawRow) int { return int(a.Offset - b.Offset) }) {
			t.Errorf("%s is not in the order of offsets", key)
		}
	}
}
