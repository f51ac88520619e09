package stagevalidate

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/parquet-go/parquet-go"
	"github.com/redpanda-data/benthos/v4/public/service"

	"github.com/shop-connect/shop-connect/internal/columns"
	"github.com/shop-connect/shop-connect/internal/contract"
	"github.com/shop-connect/shop-connect/internal/parquetfile"
	"github.com/shop-connect/shop-connect/internal/quarantine"
	"github.com/shop-connect/shop-connect/internal/store"
	"github.com/shop-connect/shop-connect/internal/testservers"
)

func TestMain(m *testing.M) { testservers.Main(m) }

var contractPath = filepath.Join("..", "..", "pipelines", "contracts", "purchases.yaml")

// lake is a RAW, a STAGE and a quarantine bucket, and a processor between them.
type lake struct {
	testing.TB
	yaml                   string
	client                 *minio.Client
	raw, stage, quarantine string
	ledger                 *store.Store
	processor              *processor
}

func newLake(t testing.TB) *lake {
	t.Helper()
	config, client := testservers.ObjectStore(t)
	l := &lake{
		TB: t, client: client,
		raw: testservers.Bucket(t, client, "raw"), stage: testservers.Bucket(t, client, "stage"), quarantine: testservers.Bucket(t, client, "quarantine"),
	}
	dsn := testservers.Postgres(t)
	l.yaml = fmt.Sprintf("contract: %s\nendpoint: %s\nregion: %s\naccess_key: %s\nsecret_key: %s\nstage_bucket: %s\nquarantine_bucket: %s\npostgres_dsn: %s\n",
		contractPath, config.Endpoint, config.Region, config.AccessKey, config.SecretKey, l.stage, l.quarantine, dsn)
	l.processor = l.newProcessor()
	var err error
	if l.ledger, err = store.Open(t.Context(), dsn); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.ledger.Close)
	return l
}

// newProcessor makes another worker of the same lake.
func (l *lake) newProcessor() *processor {
	l.Helper()
	conf, err := Spec().ParseYAML(l.yaml, nil)
	if err != nil {
		l.Fatal(err)
	}
	built, err := fromParsed(conf, service.MockResources())
	if err != nil {
		l.Fatal(err)
	}
	p := built.(*processor)
	l.Cleanup(func() { p.Close(l.Context()) })
	return p
}

// put writes a RAW object and returns the message that names it.
func (l *lake) put(key string, content []byte) *service.Message {
	l.Helper()
	info, err := l.client.PutObject(l.Context(), l.raw, key, bytes.NewReader(content), int64(len(content)), minio.PutObjectOptions{})
	if err != nil {
		l.Fatal(err)
	}
	msg := service.NewMessage(nil)
	msg.MetaSetMut(metaBucket, l.raw)
	msg.MetaSetMut(metaKey, key)
	msg.MetaSetMut(metaETag, info.ETag)
	msg.MetaSetMut(metaSize, strconv.Itoa(len(content)))
	return msg
}

// process stages the objects of messages, which must not be in error.
func (l *lake) process(p *processor, messages ...*service.Message) []report {
	l.Helper()
	batches, err := p.ProcessBatch(l.Context(), service.MessageBatch(messages).Copy())
	if err != nil {
		l.Fatal(err)
	}
	var reports []report
	for _, msg := range batches[0] {
		if err := msg.GetError(); err != nil {
			l.Fatal(err)
		}
		body, err := msg.AsBytes()
		if err != nil {
			l.Fatal(err)
		}
		var r report
		if err := json.Unmarshal(body, &r); err != nil {
			l.Fatal(err)
		}
		reports = append(reports, r)
	}
	return reports
}

// keys lists a bucket.
func (l *lake) keys(bucket string) []string {
	l.Helper()
	var keys []string
	for info := range l.client.ListObjects(l.Context(), bucket, minio.ListObjectsOptions{Recursive: true}) {
		if info.Err != nil {
			l.Fatal(info.Err)
		}
		keys = append(keys, info.Key)
	}
	slices.Sort(keys)
	return keys
}

func (l *lake) get(bucket, key string) []byte {
	l.Helper()
	object, err := l.client.GetObject(l.Context(), bucket, key, minio.GetObjectOptions{})
	if err != nil {
		l.Fatal(err)
	}
	content, err := io.ReadAll(object)
	if err != nil {
		l.Fatal(err)
	}
	return content
}

// staged is what a reader of STAGE sees of a row.
type staged struct {
	ID        *string `parquet:"id,optional"`
	ProductID *string `parquet:"product_id,optional"`
	Price     *int64  `parquet:"price_at_time,optional,decimal(4:18)"`
	Deleted   bool    `parquet:"deleted"`
	Offset    int64   `parquet:"_offset"`
	Value     []byte  `parquet:"_value"`
}

// stagedRows returns every row of every object in STAGE.
func (l *lake) stagedRows() []staged {
	l.Helper()
	var all []staged
	for _, key := range l.keys(l.stage) {
		rows, err := parquet.Read[staged](bytes.NewReader(l.get(l.stage, key)), int64(len(l.get(l.stage, key))))
		if err != nil {
			l.Fatalf("%s: %v", key, err)
		}
		all = append(all, rows...)
	}
	return all
}

// offsets returns the offsets of STAGE, sorted; a repeated one is there twice.
func (l *lake) offsets() []int64 {
	var all []int64
	for _, row := range l.stagedRows() {
		all = append(all, row.Offset)
	}
	slices.Sort(all)
	return all
}

func (l *lake) refusedRows() []quarantine.Row {
	l.Helper()
	var all []quarantine.Row
	for _, key := range l.keys(l.quarantine) {
		if !strings.Contains(key, "/objects/") {
			all = append(all, l.refusedRowsOf(key)...)
		}
	}
	return all
}

func (l *lake) refusedRowsOf(key string) []quarantine.Row {
	l.Helper()
	content := l.get(l.quarantine, key)
	rows, err := parquet.Read[quarantine.Row](bytes.NewReader(content), int64(len(content)))
	if err != nil {
		l.Fatalf("%s: %v", key, err)
	}
	return rows
}

// rawRow is a row of a RAW object: a record of partition 3 of topic purchases.
type rawRow struct {
	offset int64
	json   string
}

func good(offset int64) rawRow {
	return rawRow{offset, fmt.Sprintf(`{"id":"p-%d","product_id":"prod-%d","customer_id":7,"seller_id":3,"quantity":6,"price_at_time":"19.9900","purchased_at":"2026-01-02T05:20:48Z"}`, offset, offset%10)}
}

func goodRows(first, last int64) []rawRow {
	var rows []rawRow
	for offset := first; offset <= last; offset++ {
		rows = append(rows, good(offset))
	}
	return rows
}

func loadContract(t testing.TB) *contract.Contract {
	t.Helper()
	return loadContractOf(t, contractPath)
}

func loadContractOf(t testing.TB, path string) *contract.Contract {
	t.Helper()
	c, err := contract.Load(path)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// encode makes a RAW object as the RAW sink does. Rows of topic "" come from elsewhere than Kafka.
func encode(t testing.TB, topic string, rows ...rawRow) []byte {
	t.Helper()
	return encodeAs(t, contractPath, topic, rows...)
}

func encodeAs(t testing.TB, contractPath, topic string, rows ...rawRow) []byte {
	t.Helper()
	c := loadContractOf(t, contractPath)
	layout, err := parquetfile.NewLayout(c)
	if err != nil {
		t.Fatal(err)
	}
	decoder, batch := columns.NewDecoder(c, columns.Typed, time.UTC), columns.NewBatch(c, len(rows))
	var numbers []int32
	for i, row := range rows {
		pos := columns.Position{Topic: topic, Partition: 3, Offset: row.offset, Timestamp: 1_770_000_000_000_000 + row.offset}
		reasons, err := decoder.Append(batch, []byte(row.json), pos, i)
		if err != nil || reasons != nil {
			t.Fatal(reasons, err)
		}
		numbers = append(numbers, int32(i))
	}
	var out bytes.Buffer
	value := func(row int32) []byte { return []byte(rows[batch.Source[row]].json) }
	if err := layout.NewWriter(parquetfile.Zstd).WriteFile(&out, batch, numbers, value); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func rawKey(day string, first int64) string {
	return fmt.Sprintf("purchases/purchase_date=%s/purchases-3-%d.parquet", day, first)
}
