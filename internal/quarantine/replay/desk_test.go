package replay_test

import (
	"bytes"
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/parquet-go/parquet-go"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	_ "github.com/redpanda-data/connect/v4/public/components/pure"
	_ "github.com/redpanda-data/connect/v4/public/components/pure/extended"

	"github.com/shop-connect/shop-connect/internal/contract"
	"github.com/shop-connect/shop-connect/internal/env"
	"github.com/shop-connect/shop-connect/internal/quarantine"
	"github.com/shop-connect/shop-connect/internal/quarantine/catalog"
	"github.com/shop-connect/shop-connect/internal/quarantine/replay"
	"github.com/shop-connect/shop-connect/internal/store"
	"github.com/shop-connect/shop-connect/internal/testservers"
)

func TestMain(m *testing.M) { testservers.Main(m) }

var entities atomic.Int64

// desk is an engine with a database, buckets and a topic of the test's own.
type desk struct {
	*testing.T
	*replay.Engine
	entity string
	dsn    string
	admin  *kadm.Client
}

func newDesk(t *testing.T) *desk {
	t.Helper()
	vars := testservers.Env(t)
	dsn := testservers.Postgres(t)
	s, err := store.Open(t.Context(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	kafka, err := kgo.NewClient(kgo.SeedBrokers(strings.Split(vars[env.KafkaBrokers], ",")...), kgo.RecordDeliveryTimeout(10*time.Second))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(kafka.Close)
	rules, err := contract.Load(filepath.Join("..", "..", "..", "pipelines", "contracts", "purchases.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	d := &desk{T: t, entity: fmt.Sprintf("purchases%d", entities.Add(1)), dsn: dsn, admin: kadm.NewClient(kafka)}
	rules.Entity = d.entity
	if _, err := d.admin.CreateTopic(t.Context(), 3, 1, nil, d.entity); err != nil {
		t.Fatal(err)
	}
	_, objects := testservers.ObjectStore(t)
	d.Engine = &replay.Engine{
		Catalog: &catalog.Catalog{Store: s, Objects: objects, Bucket: testservers.Bucket(t, objects, "quarantine")},
		Store:   s, Kafka: kafka, Contracts: map[string]*contract.Contract{d.entity: rules}, Timezone: time.UTC,
		RawBucket: testservers.Bucket(t, objects, "raw"),
	}
	return d
}

// refused is a row as the edge or a sink sets it aside; the label of its reasons is "field rule".
func refused(source, value, field, rule string) quarantine.Row {
	return quarantine.Row{
		Source: source, Value: []byte(value), ContractVersion: 1, RefusedAt: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC).UnixMicro(),
		Reasons: quarantine.ReasonsJSON([]contract.Reason{{Field: field, Rule: rule, Message: "is wrong"}}),
	}
}

// keep writes refused rows of one layer as the stream does that carries them.
func (d *desk) keep(layer, name string, rows ...quarantine.Row) string {
	d.Helper()
	key := fmt.Sprintf("%s/layer=%s/date=2026-01-02/%s.parquet", d.entity, layer, name)
	for i := range rows {
		rows[i].Entity, rows[i].Layer = d.entity, layer
		if rows[i].Topic == "" {
			rows[i].Topic, rows[i].Offset = d.entity+".rejected", int64(len(name)*1000+i)
		}
	}
	var file bytes.Buffer
	writer := parquet.NewGenericWriter[quarantine.Row](&file)
	if _, err := writer.Write(rows); err != nil {
		d.Fatal(err)
	}
	if err := writer.Close(); err != nil {
		d.Fatal(err)
	}
	d.put(d.Catalog.Bucket, key, file.Bytes(), nil)
	return key
}

func (d *desk) put(bucket, key string, content []byte, metadata map[string]string) {
	d.Helper()
	options := minio.PutObjectOptions{UserMetadata: metadata}
	if _, err := d.Catalog.Objects.PutObject(d.Context(), bucket, key, bytes.NewReader(content), int64(len(content)), options); err != nil {
		d.Fatal(err)
	}
}

func (d *desk) request(mapping string) replay.Request {
	d.Helper()
	r := replay.Request{Filter: catalog.Filter{QuarantineFilter: store.QuarantineFilter{Entity: d.entity}}, MappingText: mapping, By: "test"}
	if mapping != "" {
		var err error
		if r.Mapping, err = replay.ParseMapping(mapping); err != nil {
			d.Fatal(err)
		}
	}
	return r
}

func (d *desk) replay(r replay.Request) replay.Report {
	d.Helper()
	report, err := d.Replay(d.Context(), r)
	if err != nil {
		d.Fatal(err)
	}
	return report
}

// sent returns the records of the topic.
func (d *desk) sent() []*kgo.Record {
	d.Helper()
	ends, err := d.admin.ListEndOffsets(d.Context(), d.entity)
	if err != nil {
		d.Fatal(err)
	}
	var want int64
	partitions := map[int32]kgo.Offset{}
	ends.Each(func(o kadm.ListedOffset) {
		want += o.Offset
		partitions[o.Partition] = kgo.NewOffset().AtStart()
	})
	consumer, err := kgo.NewClient(kgo.SeedBrokers(strings.Split(testservers.Env(d)[env.KafkaBrokers], ",")...),
		kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{d.entity: partitions}))
	if err != nil {
		d.Fatal(err)
	}
	defer consumer.Close()
	ctx, cancel := context.WithTimeout(d.Context(), 10*time.Second)
	defer cancel()
	var records []*kgo.Record
	for int64(len(records)) < want {
		fetches := consumer.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			d.Fatal(err)
		}
		records = append(records, fetches.Records()...)
	}
	return records
}

// counts adds up what the catalog says of the entity.
func (d *desk) counts() (sum store.QuarantineCount, all []store.QuarantineCount) {
	d.Helper()
	if err := d.Catalog.Refresh(d.Context(), d.entity); err != nil {
		d.Fatal(err)
	}
	all, err := d.Store.QuarantineCounts(d.Context(), store.QuarantineFilter{Entity: d.entity})
	if err != nil {
		d.Fatal(err)
	}
	for _, c := range all {
		sum.Rows, sum.Open, sum.Replayed, sum.Discarded = sum.Rows+c.Rows, sum.Open+c.Open, sum.Replayed+c.Replayed, sum.Discarded+c.Discarded
		if c.Rows != c.Open+c.Replayed+c.Discarded {
			d.Errorf("I4: %+v", c)
		}
	}
	return sum, all
}

func (d *desk) ledger(run string) store.Run {
	d.Helper()
	found, err := d.Store.Run(d.Context(), run)
	if err != nil {
		d.Fatal(err)
	}
	return found
}
