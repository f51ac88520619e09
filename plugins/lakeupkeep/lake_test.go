package lakeupkeep

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/parquet-go/parquet-go"
	"github.com/redpanda-data/benthos/v4/public/service"

	_ "github.com/shop-connect/shop-connect/plugins/stagevalidate"

	"github.com/shop-connect/shop-connect/internal/columns"
	"github.com/shop-connect/shop-connect/internal/contract"
	"github.com/shop-connect/shop-connect/internal/env"
	"github.com/shop-connect/shop-connect/internal/objectstore"
	"github.com/shop-connect/shop-connect/internal/parquetfile"
	"github.com/shop-connect/shop-connect/internal/store"
	"github.com/shop-connect/shop-connect/internal/testservers"
)

func TestMain(m *testing.M) { testservers.Main(m) }

const (
	contracts = "../../pipelines/contracts"
	runID     = "01900000-0000-7000-8000-0000000000cc"
)

// testLake is the buckets of a lake and its ledger.
type testLake struct {
	testing.TB
	config                 objectstore.Config
	client                 *minio.Client
	raw, stage, quarantine string
	dsn                    string
	ledger                 *store.Store
	contracts              string
}

func newTestLake(t testing.TB) *testLake {
	t.Helper()
	l := &testLake{TB: t, dsn: testservers.Postgres(t), contracts: contracts}
	l.config, l.client = testservers.ObjectStore(t)
	for purpose, into := range map[string]*string{"raw": &l.raw, "stage": &l.stage, "quarantine": &l.quarantine} {
		*into = testservers.Bucket(t, l.client, purpose)
	}
	var err error
	if l.ledger, err = store.Open(t.Context(), l.dsn); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.ledger.Close)
	if err := l.ledger.CreateRun(t.Context(), runID, "upkeep", nil); err != nil {
		t.Fatal(err)
	}
	return l
}

// servers are the fields that every processor here needs.
func (l *testLake) servers() string {
	return fmt.Sprintf("endpoint: %s\naccess_key: %s\nsecret_key: %s\npostgres_dsn: %s\ncontract: %s\n",
		l.config.Endpoint, l.config.AccessKey, l.config.SecretKey, l.dsn, l.contracts)
}

func (l *testLake) bucket(layer store.Layer) string {
	if layer == store.LayerStage {
		return l.stage
	}
	return l.raw
}

// compactor makes a processor through its spec; the fields come on top of those of a test.
func (l *testLake) compactor(layer store.Layer, fields string) *compactor {
	l.Helper()
	yaml := l.servers() + fmt.Sprintf("layer: %s\nbucket: %s\n", layer, l.bucket(layer)) + fields
	if !strings.Contains(fields, fieldSettled) {
		yaml += "settled_for: 0s\n"
	}
	if !strings.Contains(fields, fieldEntity) {
		yaml += "entity: purchases\n"
	}
	conf, err := CompactSpec().ParseYAML(yaml, nil)
	if err != nil {
		l.Fatal(err)
	}
	p, err := newCompactor(conf, service.MockResources())
	if err != nil {
		l.Fatal(err)
	}
	l.Cleanup(func() { _ = p.Close(context.Background()) })
	return p.(*compactor)
}

func process[R any](ctx context.Context, p service.Processor) (r R, err error) {
	msg := service.NewMessage([]byte("{}"))
	msg.MetaSetMut(store.MetaRunID, runID)
	out, err := p.Process(ctx, msg)
	if err != nil {
		return r, err
	}
	text, err := out[0].AsBytes()
	return r, errors.Join(err, json.Unmarshal(text, &r))
}

func (l *testLake) compact(layer store.Layer, fields string) compactReport {
	l.Helper()
	r, err := process[compactReport](l.Context(), l.compactor(layer, fields))
	if err != nil {
		l.Fatal(err)
	}
	return r
}

// rawRow is a record of topic purchases.
type rawRow struct {
	offset int64
	json   string
}

func rowsOf(first, last int64) (rows []rawRow) {
	for offset := first; offset <= last; offset++ {
		rows = append(rows, rawRow{offset, fmt.Sprintf(`{"id":"p-%d","product_id":"prod-%d","customer_id":7,"seller_id":3,"quantity":%d,"price_at_time":"%d.9901","purchased_at":"2026-01-02T05:20:48.123456Z"}`,
			offset, offset%10, 1+offset%5, 10+offset)})
	}
	return rows
}

func (l *testLake) encode(partition int32, rows ...rawRow) []byte {
	l.Helper()
	c, err := contract.Load(filepath.Join(l.contracts, "purchases.yaml"))
	if err != nil {
		l.Fatal(err)
	}
	layout, err := parquetfile.NewLayout(c)
	if err != nil {
		l.Fatal(err)
	}
	decoder, batch := columns.NewDecoder(c, columns.Typed, time.UTC), columns.NewBatch(c, len(rows))
	numbers := make([]int32, len(rows))
	for i, row := range rows {
		pos := columns.Position{Topic: "purchases", Partition: partition, Offset: row.offset, Timestamp: 1_770_000_000_000_000 + row.offset}
		if reasons, err := decoder.Append(batch, []byte(row.json), pos, i); err != nil || reasons != nil {
			l.Fatal(reasons, err)
		}
		numbers[i] = int32(i)
	}
	var out bytes.Buffer
	if err := layout.NewWriter(parquetfile.Zstd).WriteFile(&out, batch, numbers, func(row int32) []byte { return []byte(rows[row].json) }); err != nil {
		l.Fatal(err)
	}
	return out.Bytes()
}

func keyOf(day string, partition int32, first int64) string {
	return fmt.Sprintf("purchases/purchase_date=%s/purchases-%d-%d.parquet", day, partition, first)
}

// sink puts an object of RAW and registers it, as the output s3_parquet does.
func (l *testLake) sink(day string, partition int32, rows ...rawRow) string {
	l.Helper()
	key := keyOf(day, partition, rows[0].offset)
	l.register(key, l.encode(partition, rows...), rows[len(rows)-1].offset)
	return key
}

func (l *testLake) register(key string, content []byte, last int64) {
	l.Helper()
	info := l.put(l.raw, key, content)
	err := l.ledger.RegisterRaw(l.Context(), l.raw, "purchases", []store.RawObject{{
		Object: store.Object{Key: key, ETag: info.ETag}, Size: int64(len(content)), LastOffset: last,
	}})
	if err != nil {
		l.Fatal(err)
	}
}

func (l *testLake) put(bucket, key string, content []byte) minio.UploadInfo {
	l.Helper()
	info, err := l.client.PutObject(l.Context(), bucket, key, bytes.NewReader(content), int64(len(content)), minio.PutObjectOptions{})
	if err != nil {
		l.Fatal(err)
	}
	return info
}

func (l *testLake) pending() service.MessageBatch {
	l.Helper()
	until, err := l.ledger.Now(l.Context())
	if err != nil {
		l.Fatal(err)
	}
	waiting, err := l.ledger.PendingRaw(l.Context(), store.RawScope{Bucket: l.raw, Entity: "purchases", Until: until}, store.RawObject{}, 2000)
	if err != nil {
		l.Fatal(err)
	}
	var batch service.MessageBatch
	for _, o := range waiting {
		msg := service.NewMessage(nil)
		for name, value := range map[string]any{"s3_bucket": o.Bucket, "s3_key": o.Key, "s3_etag": o.ETag, "s3_size": o.Size} {
			msg.MetaSetMut(name, value)
		}
		batch = append(batch, msg)
	}
	return batch
}

// toStage runs stage_validate over what is pending and returns how many rows came out.
func (l *testLake) toStage() (out int64) {
	l.Helper()
	yaml := l.servers() + fmt.Sprintf("stage_bucket: %s\nquarantine_bucket: %s\n", l.stage, l.quarantine)
	conf, err := service.NewConfigSpec().Field(service.NewProcessorField("p")).ParseYAML("p:\n  stage_validate:\n    "+strings.ReplaceAll(yaml, "\n", "\n    "), nil)
	if err != nil {
		l.Fatal(err)
	}
	stage, err := conf.FieldProcessor("p")
	if err != nil {
		l.Fatal(err)
	}
	defer stage.Close(context.Background())
	batches, err := stage.ProcessBatch(l.Context(), l.pending())
	if err != nil {
		l.Fatal(err)
	}
	for _, msg := range slices.Concat(batches...) {
		if err := msg.GetError(); err != nil {
			l.Fatal(err)
		}
		text, _ := msg.AsBytes()
		var r struct {
			RowsOut int64 `json:"rows_out"`
		}
		if err := json.Unmarshal(text, &r); err != nil {
			l.Fatal(err)
		}
		out += r.RowsOut
	}
	return out
}

func (l *testLake) keys(bucket string) []string {
	l.Helper()
	var keys []string
	for info := range l.client.ListObjectsIter(l.Context(), bucket, minio.ListObjectsOptions{Recursive: true}) {
		if info.Err != nil {
			l.Fatal(info.Err)
		}
		keys = append(keys, info.Key)
	}
	return keys
}

func (l *testLake) get(bucket, key string) ([]byte, error) {
	object, err := l.client.GetObject(l.Context(), bucket, key, minio.GetObjectOptions{})
	if err != nil {
		return nil, err
	}
	defer object.Close()
	return io.ReadAll(object)
}

// storedRow is what tells a record from another.
type storedRow struct {
	ID        *string `parquet:"id,optional"`
	Price     *int64  `parquet:"price_at_time,optional,decimal(4:18)"`
	Topic     string  `parquet:"_topic"`
	Partition int32   `parquet:"_partition"`
	Offset    int64   `parquet:"_offset"`
	Value     []byte  `parquet:"_value"`
}

// offsets returns the offsets of a bucket's objects of a partition whose keys begin so, sorted; a
// repeated one is there twice. In each object they ascend.
func (l *testLake) offsets(bucket, prefix string) []int64 {
	l.Helper()
	all := []int64{}
	for _, key := range l.keys(bucket) {
		if !strings.HasPrefix(key, prefix) {
			continue
		}
		content, err := l.get(bucket, key)
		if err != nil {
			l.Fatal(key, err)
		}
		rows, err := parquet.Read[storedRow](bytes.NewReader(content), int64(len(content)))
		if err != nil {
			l.Fatal(key, err)
		}
		for i, row := range rows {
			if i > 0 && row.Offset <= rows[i-1].Offset {
				l.Fatalf("%s: offset %d behind %d", key, row.Offset, rows[i-1].Offset)
			}
			if row.Price == nil || *row.Price != (10+row.Offset)*10_000+9901 || !strings.Contains(string(row.Value), fmt.Sprintf(`"p-%d"`, row.Offset)) || *row.ID != fmt.Sprintf("p-%d", row.Offset) {
				l.Fatalf("%s: row %+v is another one", key, row)
			}
			all = append(all, row.Offset)
		}
	}
	slices.Sort(all)
	return all
}

func upTo(first, last int64) (all []int64) {
	for offset := first; offset <= last; offset++ {
		all = append(all, offset)
	}
	return all
}

func (l *testLake) wantOffsets(bucket, prefix string, want []int64) {
	l.Helper()
	if got := l.offsets(bucket, prefix); !slices.Equal(got, want) {
		l.Fatalf("s3://%s/%s holds %d rows, %v; want %d, %v", bucket, prefix, len(got), got, len(want), want)
	}
}

// clickhouse asks another reader, which reads a bucket.
func (l *testLake) clickhouse(bucket, columns string) string {
	l.Helper()
	dsn, err := url.Parse(testservers.Env(l)[env.ClickHouseDSN])
	if err != nil {
		l.Fatal(err)
	}
	dsn.Path = "/"
	query := fmt.Sprintf("SELECT %s FROM s3('%s/%s/purchases/**.parquet', '%s', '%s', 'Parquet') SETTINGS schema_inference_mode = 'union' FORMAT JSONEachRow",
		columns, l.config.Endpoint, bucket, l.config.AccessKey, l.config.SecretKey)
	response, err := http.Post(dsn.String(), "text/plain", strings.NewReader(query))
	if err != nil {
		l.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != http.StatusOK {
		l.Fatal(string(body), err)
	}
	return strings.TrimSpace(string(body))
}

func (l *testLake) run() store.Run {
	l.Helper()
	run, err := l.ledger.Run(l.Context(), runID)
	if err != nil {
		l.Fatal(err)
	}
	return run
}
