package postgresexport_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/parquet-go/parquet-go"
	_ "github.com/redpanda-data/benthos/v4/public/components/pure"
	"github.com/redpanda-data/benthos/v4/public/service"

	_ "github.com/shop-connect/shop-connect/plugins/postgresexport"
	_ "github.com/shop-connect/shop-connect/plugins/stagevalidate"

	"github.com/shop-connect/shop-connect/internal/env"
	"github.com/shop-connect/shop-connect/internal/store"
	"github.com/shop-connect/shop-connect/internal/testservers"
)

func TestMain(m *testing.M) { testservers.Main(m) }

const (
	contracts = "../../pipelines/contracts"
	run       = "01900000-0000-7000-8000-00000000000e"
)

// shop is a database and a bucket, with a run in the ledger that is at work.
type shop struct {
	*store.Store
	t       *testing.T
	dsn     string
	objects *minio.Client
	bucket  string
	fields  string
}

func newShop(t *testing.T) *shop {
	t.Helper()
	dsn := testservers.Postgres(t)
	ledger, err := store.Open(t.Context(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(ledger.Close)
	if err := ledger.CreateRun(t.Context(), run, "export", nil); err != nil {
		t.Fatal(err)
	}
	config, objects := testservers.ObjectStore(t)
	s := &shop{Store: ledger, t: t, dsn: dsn, objects: objects, bucket: testservers.Bucket(t, objects, "raw")}
	s.fields = fmt.Sprintf("endpoint: %s\naccess_key: %s\nsecret_key: %s\nbucket: %s\npostgres_dsn: %s\nprefix: sellers/\ncontract: %s/sellers.yaml\nrefused: { drop: {} }\n",
		config.Endpoint, config.AccessKey, config.SecretKey, s.bucket, dsn, contracts)
	return s
}

func (s *shop) sell(first, last int) {
	s.t.Helper()
	if _, err := s.Pool().Exec(s.t.Context(), `INSERT INTO sellers (id, name, email, phone, address, created_at)
		SELECT n, 'Seller ' || n, n || '@example.org', '', '', '2026-01-02T05:20:48.123456Z' FROM generate_series($1::int, $2::int) AS n`, first, last); err != nil {
		s.t.Fatal(err)
	}
}

func (s *shop) processor(fields string) *service.OwnedProcessor {
	s.t.Helper()
	yaml := "processor:\n  postgres_export:\n    " + strings.ReplaceAll(s.fields+fields, "\n", "\n    ")
	conf, err := service.NewConfigSpec().Field(service.NewProcessorField("processor")).ParseYAML(yaml, nil)
	if err != nil {
		s.t.Fatal(err)
	}
	processor, err := conf.FieldProcessor("processor")
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { _ = processor.Close(context.Background()) })
	return processor
}

type report struct {
	Key         string
	RowsIn      int64 `json:"rows_in"`
	RowsOut     int64 `json:"rows_out"`
	RowsRefused int64 `json:"rows_refused"`
	Bytes       int64
}

func (s *shop) export(fields string) (r report, err error) {
	s.t.Helper()
	msg := service.NewMessage([]byte("{}"))
	msg.MetaSetMut(store.MetaRunID, run)
	out, err := s.processor(fields).Process(s.t.Context(), msg)
	if err != nil {
		s.t.Fatal(err)
	}
	if err := out[0].GetError(); err != nil {
		return r, err
	}
	text, err := out[0].AsBytes()
	if err == nil {
		err = json.Unmarshal(text, &r)
	}
	return r, err
}

func (s *shop) exported(fields string) report {
	s.t.Helper()
	r, err := s.export(fields)
	if err != nil {
		s.t.Fatal(err)
	}
	return r
}

func (s *shop) keys() (keys []string) {
	s.t.Helper()
	for object := range s.objects.ListObjectsIter(s.t.Context(), s.bucket, minio.ListObjectsOptions{Recursive: true}) {
		if object.Err != nil {
			s.t.Fatal(object.Err)
		}
		keys = append(keys, object.Key)
	}
	return keys
}

type row struct {
	ID        *int64  `parquet:"id,optional"`
	Name      *string `parquet:"name,optional"`
	CreatedAt *int64  `parquet:"created_at,optional"`
	Deleted   bool    `parquet:"deleted"`
	Topic     string  `parquet:"_topic"`
	Timestamp int64   `parquet:"_timestamp"`
	Value     []byte  `parquet:"_value"`
}

func (s *shop) read(key string) []row {
	s.t.Helper()
	object, err := s.objects.GetObject(s.t.Context(), s.bucket, key, minio.GetObjectOptions{})
	if err != nil {
		s.t.Fatal(err)
	}
	file, err := io.ReadAll(object)
	if err != nil {
		s.t.Fatal(err)
	}
	rows, err := parquet.Read[row](bytes.NewReader(file), int64(len(file)))
	if err != nil {
		s.t.Fatal(err)
	}
	return rows
}

func TestATableBecomesOneObjectAndAgainTheSame(t *testing.T) {
	s := newShop(t)
	const sellers = 300_000 // several row groups
	s.sell(1, sellers)
	first := s.exported("full: true\ndate: 2026-01-31")
	if first.Key != "sellers/export_2026-01-31_full.parquet" || first.RowsIn != sellers || first.RowsOut != sellers || first.Bytes == 0 {
		t.Fatalf("got %+v", first)
	}
	rows := s.read(first.Key)
	if len(rows) != sellers {
		t.Fatalf("%d rows", len(rows))
	}
	created := time.Date(2026, 1, 2, 5, 20, 48, 123456000, time.UTC).UnixMicro()
	for i, r := range rows {
		if *r.ID != int64(i+1) || *r.Name != fmt.Sprintf("Seller %d", i+1) || *r.CreatedAt != created || r.Deleted || r.Topic != "" ||
			r.Timestamp < time.Now().Add(-time.Hour).UnixMicro() || !json.Valid(r.Value) {
			t.Fatalf("row %d is %+v, %s", i, r, r.Value)
		}
	}
	before, err := s.objects.StatObject(t.Context(), s.bucket, first.Key, minio.StatObjectOptions{})
	if err != nil {
		t.Fatal(err)
	}
	s.exported("full: true\ndate: 2026-01-31")
	after, err := s.objects.StatObject(t.Context(), s.bucket, first.Key, minio.StatObjectOptions{})
	if err != nil || after.ETag != before.ETag || len(s.keys()) != 1 {
		t.Fatalf("%s became %s, %v; there are %v", before.ETag, after.ETag, err, s.keys())
	}
	entry, err := s.Run(t.Context(), run)
	if err != nil || entry.RowsIn != 2*sellers || !entry.Reconciles() || entry.Objects != 2 || entry.Bytes != 2*first.Bytes {
		t.Fatalf("got %+v, %v", entry, err)
	}
}

func TestOfNothingNewThereIsNoObject(t *testing.T) {
	s := newShop(t)
	if empty := s.exported(""); empty.Key != "" || empty.RowsIn != 0 {
		t.Fatalf("of an empty table: %+v", empty)
	}
	s.sell(1, 2)
	if first := s.exported("date: 2026-01-31"); first.RowsOut != 2 {
		t.Fatalf("got %+v", first)
	}
	if second := s.exported("date: 2026-01-31"); second.Key != "" || second.RowsIn != 0 {
		t.Fatalf("got %+v", second)
	}
	if keys := s.keys(); len(keys) != 1 {
		t.Fatalf("there are %q", keys)
	}
	if entry, err := s.Run(t.Context(), run); err != nil || !strings.Contains(entry.Progress, "nothing has changed") {
		t.Fatalf("got %+v, %v", entry, err)
	}
}

func TestChangesAndDeletionsHaveAnObjectOfTheirOwn(t *testing.T) {
	s := newShop(t)
	s.sell(1, 3)
	s.exported("date: 2026-01-31")
	if _, err := s.Pool().Exec(t.Context(), `DELETE FROM sellers WHERE id = 2`); err != nil {
		t.Fatal(err)
	}
	s.sell(4, 4)
	second := s.exported("date: 2026-01-31")
	rows := s.read(second.Key)
	if len(rows) != 2 || *rows[0].ID != 4 || *rows[1].ID != 2 || !rows[1].Deleted || rows[1].Name != nil {
		t.Fatalf("%s holds %+v", second.Key, rows)
	}
	if keys := s.keys(); len(keys) != 2 || !slices.Contains(keys, second.Key) {
		t.Fatalf("there are %q", keys)
	}
}

func TestSinceADayGoesByUpdatedAtAndLeavesTheNextExportAlone(t *testing.T) {
	s := newShop(t)
	s.sell(1, 2)
	if _, err := s.Pool().Exec(t.Context(), `UPDATE sellers SET updated_at = '2020-05-06T12:00:00Z' WHERE id = 1`); err != nil {
		t.Fatal(err)
	}
	if r := s.exported("since: 2021-01-01\ndate: 2026-01-31"); r.RowsOut != 1 || r.Key != "sellers/export_2026-01-31_since_2021-01-01.parquet" {
		t.Fatalf("got %+v", r)
	}
	if r := s.exported("since: 2020-05-06"); r.RowsOut != 2 {
		t.Fatalf("got %+v", r)
	}
	if r := s.exported(""); r.RowsOut != 2 {
		t.Fatalf("the next one: got %+v", r)
	}
}

func TestAnExportThatEndsEarlyLeavesNothingBehind(t *testing.T) {
	s := newShop(t)
	s.sell(1, 200_000)
	s.sell(200_001, 200_001)
	// the last row cannot be read
	if _, err := s.Pool().Exec(t.Context(), `UPDATE sellers SET updated_at = 'infinity' WHERE id = 200001`); err != nil {
		t.Fatal(err)
	}
	if _, err := s.export("full: true"); err == nil || !strings.Contains(err.Error(), "infinity") || !strings.Contains(err.Error(), "sellers") {
		t.Fatalf("got %v", err)
	}
	if keys := s.keys(); len(keys) != 0 {
		t.Fatalf("there are %q", keys)
	}
	uploads := s.objects.ListIncompleteUploads(t.Context(), s.bucket, "", true)
	for upload := range uploads {
		t.Errorf("an upload is left: %+v", upload)
	}
}

func TestACancelledRunEndsTheExport(t *testing.T) {
	s := newShop(t)
	s.sell(1, 10)
	if err := s.RequestCancel(t.Context(), run); err != nil {
		t.Fatal(err)
	}
	if _, err := s.export("full: true"); err == nil || !strings.Contains(err.Error(), "cancelled") {
		t.Fatalf("got %v", err)
	}
	if keys := s.keys(); len(keys) != 0 {
		t.Fatalf("there are %q", keys)
	}
}

func TestAStoreOrDatabaseThatIsAwayIsAnErrorThatNamesIt(t *testing.T) {
	s := newShop(t)
	s.sell(1, 2)
	fields := s.fields
	s.fields = strings.Replace(fields, "bucket: "+s.bucket, "bucket: nowhere", 1)
	if _, err := s.export(""); err == nil || !strings.Contains(err.Error(), "nowhere") {
		t.Errorf("got %v", err)
	}
	s.fields = strings.Replace(fields, s.dsn, "postgres://shop:shop@127.0.0.1:1/shop?sslmode=disable", 1)
	if _, err := s.export(""); err == nil || !strings.Contains(err.Error(), "PostgreSQL") {
		t.Errorf("got %v", err)
	}
	s.fields = fields
	if r := s.exported(""); r.RowsOut != 2 {
		t.Errorf("once they are back: %+v", r)
	}
}

func TestEveryFaultOfTheConfigIsReportedAtOnce(t *testing.T) {
	conf, err := service.NewConfigSpec().Field(service.NewProcessorField("processor")).ParseYAML(
		"processor: { postgres_export: { endpoint: x, access_key: '', secret_key: '', bucket: '', prefix: /x, contract: /none.yaml, postgres_dsn: '', date: 2026-13-45, since: yesterday, timezone: Mars, refused: { drop: {} } } }", nil)
	if err == nil {
		_, err = conf.FieldProcessor("processor")
	}
	if err == nil {
		t.Fatal("accepted")
	}
	for _, field := range []string{"endpoint", "access_key", "secret_key", "bucket", "prefix", "contract", "postgres_dsn", "date", "timezone"} {
		if !strings.Contains(err.Error(), `"`+field+`"`) {
			t.Errorf("%v does not name %s", err, field)
		}
	}
}

func TestStageTakesAnExport(t *testing.T) {
	s := newShop(t)
	s.sell(1, 3)
	r := s.exported("full: true")
	vars := testservers.Env(t)
	stage, quarantine := testservers.Bucket(t, s.objects, "stage"), testservers.Bucket(t, s.objects, "quarantine")
	yaml := fmt.Sprintf("processor: { stage_validate: { contract: %s/sellers.yaml, endpoint: %q, access_key: %q, secret_key: %q, stage_bucket: %s, quarantine_bucket: %s, postgres_dsn: %q } }",
		contracts, vars[env.S3Endpoint], vars[env.S3AccessKey], vars[env.S3SecretKey], stage, quarantine, s.dsn)
	conf, err := service.NewConfigSpec().Field(service.NewProcessorField("processor")).ParseYAML(yaml, nil)
	if err != nil {
		t.Fatal(err)
	}
	processor, err := conf.FieldProcessor("processor")
	if err != nil {
		t.Fatal(err)
	}
	defer processor.Close(context.Background())
	object, err := s.objects.StatObject(t.Context(), s.bucket, r.Key, minio.StatObjectOptions{})
	if err != nil {
		t.Fatal(err)
	}
	msg := service.NewMessage(nil)
	for name, value := range map[string]any{"s3_bucket": s.bucket, "s3_key": r.Key, "s3_etag": object.ETag, "s3_size": object.Size} {
		msg.MetaSetMut(name, value)
	}
	out, err := processor.ProcessBatch(t.Context(), service.MessageBatch{msg})
	if err != nil || out[0][0].GetError() != nil {
		t.Fatal(err, out[0][0].GetError())
	}
	text, err := out[0][0].AsBytes()
	if err != nil || !strings.Contains(string(text), `"rows_out":3`) {
		t.Fatalf("got %s, %v", text, err)
	}
}
