package runs_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/minio/minio-go/v7"
	_ "github.com/redpanda-data/connect/v4/public/components/kafka"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	_ "github.com/shop-connect/shop-connect/plugins/backlog"
	_ "github.com/shop-connect/shop-connect/plugins/kafkarows"
	_ "github.com/shop-connect/shop-connect/plugins/outbox"
	_ "github.com/shop-connect/shop-connect/plugins/postgresexport"

	"github.com/shop-connect/shop-connect/internal/env"
	"github.com/shop-connect/shop-connect/internal/runs"
	"github.com/shop-connect/shop-connect/internal/store"
	"github.com/shop-connect/shop-connect/internal/testservers"
)

// shipped puts one of the project's own batch streams where the server finds it, with a bucket of the
// test's own for RAW.
func (s *server) shipped(name string) (raw string) {
	s.t.Helper()
	text, err := os.ReadFile("../../streams/" + name + ".yaml")
	if err != nil {
		s.t.Fatal(err)
	}
	raw = testservers.Bucket(s.t, s.objects, "raw")
	s.Dir = filepath.Dir(write(s.t, name+".yaml", strings.ReplaceAll(string(text), ": shop-raw-data\n", ": "+raw+"\n")))
	return raw
}

func (s *server) again(name string, params map[string]string) store.Run {
	s.t.Helper()
	return s.run(filepath.Join(s.Dir, name+".yaml"), params)
}

func (s *server) keys(bucket string) (keys []string) {
	s.t.Helper()
	for object := range s.objects.ListObjectsIter(s.t.Context(), bucket, minio.ListObjectsOptions{Recursive: true}) {
		if object.Err != nil {
			s.t.Fatal(object.Err)
		}
		keys = append(keys, object.Key)
	}
	return keys
}

func TestProcessKafkaDataReadsAllTopicsItselfWhereNoStreamIsAtWork(t *testing.T) {
	s := startServer(t)
	raw := s.shipped("process_kafka_data")
	client, err := kgo.NewClient(kgo.SeedBrokers(s.vars[env.KafkaBrokers]), kgo.AllowAutoTopicCreation())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	topics := []string{"purchases", "products", "customers", "sellers"}
	if _, err := kadm.NewClient(client).CreateTopics(t.Context(), 2, 1, nil, append(topics, "purchases.rejected")...); err != nil {
		t.Fatal(err)
	}
	produce := func(topic, value string, headers ...kgo.RecordHeader) {
		t.Helper()
		if err := client.ProduceSync(t.Context(), &kgo.Record{Topic: topic, Value: []byte(value), Headers: headers}).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	produce("purchases", purchase)
	produce("purchases", "not JSON")
	produce("purchases", purchase, kgo.RecordHeader{Key: "kafka_topic", Value: []byte("nowhere")}, kgo.RecordHeader{Key: "backlog_topic", Value: []byte("nowhere")})
	for _, topic := range topics[1:] {
		produce(topic, `{"id":1,"customer_id":1,"name":"Ann"}`)
	}
	first := s.again("process_kafka_data", nil)
	if first.Status != store.Succeeded || first.RowsIn != 6 || first.RowsOut != 6 || first.Bytes == 0 {
		t.Fatalf("got %+v", first)
	}
	written := s.keys(raw)
	for _, topic := range topics {
		if !strings.Contains(strings.Join(written, "\n"), topic+"/") {
			t.Errorf("RAW has no %s: %q", topic, written)
		}
	}
	if second := s.again("process_kafka_data", nil); second.Status != store.Succeeded || second.RowsIn != 0 || len(s.keys(raw)) != len(written) {
		t.Fatalf("again: got %+v, and %q", second, s.keys(raw))
	}
	ends, err := kadm.NewClient(client).ListEndOffsets(t.Context(), "purchases.rejected")
	if err != nil {
		t.Fatal(err)
	}
	refused := int64(0)
	ends.Each(func(end kadm.ListedOffset) { refused += end.Offset })
	if refused != 1 {
		t.Errorf("%d purchases were set aside, want the one that is not JSON", refused)
	}
}

func TestProcessPurchasesFromAPIPublishesTheOutboxWhereNoStreamIsAtWork(t *testing.T) {
	s := startServer(t)
	s.shipped("process_purchases_from_api")
	for n := range 3 {
		tx, err := s.Store.Pool().Begin(t.Context())
		if err == nil {
			err = store.Enqueue(t.Context(), tx, "flow.events", fmt.Sprint(n), []byte("{}"))
		}
		if err == nil {
			err = tx.Commit(t.Context())
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if first := s.again("process_purchases_from_api", nil); first.Status != store.Succeeded || first.RowsOut != 3 {
		t.Fatalf("got %+v", first)
	}
	if second := s.again("process_purchases_from_api", nil); second.Status != store.Succeeded || second.RowsIn != 0 {
		t.Fatalf("again: got %+v", second)
	}
}

func TestAnExportOfTheSameDayIsOneObject(t *testing.T) {
	s := startServer(t)
	raw := s.shipped("export_customers_to_raw")
	if _, err := s.Store.Pool().Exec(t.Context(), `INSERT INTO customers (first_name, last_name, email) SELECT 'A', 'B', n || '@x.org' FROM generate_series(1, 1000) AS n`); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		run := s.again("export_customers_to_raw", map[string]string{"full": "true", "date": "2026-01-31"})
		if run.Status != store.Succeeded || run.RowsIn != 1000 || run.RowsOut != 1000 {
			t.Fatalf("got %+v", run)
		}
	}
	if keys := s.keys(raw); len(keys) != 1 || keys[0] != "customers/export_2026-01-31_full.parquet" {
		t.Fatalf("RAW has %q", keys)
	}
}

func TestABucketThatIsNotThereFailsTheRunAfterItsAttemptsWithItsName(t *testing.T) {
	s := startServer(t)
	s.shipped("export_customers_to_raw")
	text, err := os.ReadFile(filepath.Join(s.Dir, "export_customers_to_raw.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(string(text), "\n")
	for i, line := range lines {
		if strings.Contains(line, "        bucket: ") {
			lines[i] = "        bucket: gone-away"
		}
	}
	if _, err := s.Store.Pool().Exec(t.Context(), `INSERT INTO customers (first_name, last_name, email) VALUES ('A', 'B', 'a@x.org')`); err != nil {
		t.Fatal(err)
	}
	run := s.run(write(t, "export_customers_to_raw.yaml", strings.Join(lines, "\n")), nil)
	if run.Status != store.Failed || run.Attempts != 3 || !strings.Contains(run.Error, "gone-away") || run.RowsIn != 0 {
		t.Fatalf("got %+v", run)
	}
}

func TestALedgerThatIsAwayIsSaidBeforeAnythingStarts(t *testing.T) {
	s := startServer(t)
	path := write(t, "endless.yaml", strings.Replace(endless, "${POSTGRES_DSN}", "postgres://shop:shop@127.0.0.1:1/shop?sslmode=disable", 1))
	s.Dir = filepath.Dir(path)
	_, err := s.Start(t.Context(), runs.Request{Name: "endless"})
	if err == nil || !strings.Contains(err.Error(), "without entering a run") {
		t.Fatalf("got %v", err)
	}
}
