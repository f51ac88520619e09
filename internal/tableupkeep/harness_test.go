package tableupkeep

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/iceberg-go/table"
	_ "github.com/redpanda-data/benthos/v4/public/components/pure"
	"github.com/redpanda-data/benthos/v4/public/service"

	"github.com/shop-connect/shop-connect/internal/clock"
	"github.com/shop-connect/shop-connect/internal/env"
	"github.com/shop-connect/shop-connect/internal/icebergcatalog"
	"github.com/shop-connect/shop-connect/internal/money"
	"github.com/shop-connect/shop-connect/internal/testservers"
	_ "github.com/shop-connect/shop-connect/plugins/icebergsink"
)

func TestMain(m *testing.M) { testservers.Main(m) }

const contract = "../../pipelines/contracts/purchases.yaml"

// shop is a table, its catalog, and the truth about it.
type shop struct {
	t      testing.TB
	config icebergcatalog.Config
	ident  table.Identifier
	want   map[string]string // "price day" by id
	ids    []string
	offset int
	random *rand.Rand
}

func newShop(t testing.TB) *shop {
	dir := t.TempDir()
	return &shop{
		t: t, ident: table.Identifier{"analytics", "purchases"}, want: map[string]string{}, random: rand.New(rand.NewPCG(1, 2)),
		config: icebergcatalog.Config{Name: "shop", URI: "sqlite://" + dir + "/catalog.db", Warehouse: "file://" + dir + "/warehouse"},
	}
}

// newStackShop is a shop with its catalog in PostgreSQL and its files in S3.
func newStackShop(t testing.TB) *shop {
	s := newShop(t)
	_, client := testservers.ObjectStore(t)
	servers := testservers.Env(t)
	s.config.URI, s.config.Warehouse = testservers.Postgres(t), "s3://"+testservers.Bucket(t, client, "upkeep")+"/"
	s.config.Storage = icebergcatalog.Storage{
		Endpoint: servers[env.S3Endpoint], Region: servers[env.S3Region], AccessKey: servers[env.S3AccessKey], SecretKey: servers[env.S3SecretKey],
	}
	return s
}

func (s *shop) open() *icebergcatalog.Catalog {
	s.t.Helper()
	cat, err := s.config.Open(s.t.Context())
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { _ = cat.Close() })
	return cat
}

func (s *shop) table() *table.Table {
	s.t.Helper()
	tbl, err := s.open().LoadTable(s.t.Context(), s.ident)
	if err != nil {
		s.t.Fatal(err)
	}
	return tbl
}

// keeper has thresholds for small tables, and keeps neither snapshots nor orphans for long.
func (s *shop) keeper() *Keeper {
	s.t.Helper()
	return New(s.open(), s.ident, Options{TargetBytes: 32 << 20, MinFiles: 4, MaxDeletes: 20, MaxManifests: 30, KeepSnapshots: time.Hour})
}

func (s *shop) run(k *Keeper) Report {
	s.t.Helper()
	report, err := k.Run(s.t.Context())
	if err != nil {
		s.t.Fatal(err)
	}
	return report
}

// writer starts a sink. Each call of what it returns is one commit.
func (s *shop) writer() func(rows ...string) {
	s.t.Helper()
	builder := service.NewStreamBuilder()
	push, err := builder.AddBatchProducerFunc()
	if err != nil {
		s.t.Fatal(err)
	}
	storage := ""
	if c := s.config.Storage; c.Endpoint != "" {
		storage = fmt.Sprintf("storage: {endpoint: %q, region: %q, access_key: %q, secret_key: %q}", c.Endpoint, c.Region, c.AccessKey, c.SecretKey)
	}
	err = builder.AddOutputYAML(fmt.Sprintf(`
iceberg_table:
  catalog: {name: %q, uri: %q, warehouse: %q}
  %s
  table: analytics.purchases
  contract: %s
  partition_by: [purchase_date]
  refused: {reject: "a row of this test is refused"}
`, s.config.Name, s.config.URI, s.config.Warehouse, storage, contract))
	if err != nil {
		s.t.Fatal(err)
	}
	if err := builder.SetLoggerYAML("level: none"); err != nil {
		s.t.Fatal(err)
	}
	stream, err := builder.Build()
	if err != nil {
		s.t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() { defer close(ended); _ = stream.Run(context.Background()) }()
	s.t.Cleanup(func() { _ = stream.StopWithin(10 * time.Second); <-ended })
	return func(rows ...string) {
		s.t.Helper()
		batch := make(service.MessageBatch, len(rows))
		for i, row := range rows {
			batch[i] = service.NewMessage([]byte(row))
			batch[i].MetaSetMut("kafka_topic", "purchases")
			batch[i].MetaSetMut("kafka_partition", 0)
			batch[i].MetaSetMut("kafka_offset", s.offset)
			batch[i].MetaSetMut("kafka_timestamp_ms", 1_750_000_000_000+s.offset)
			s.offset++
		}
		if err := push(s.t.Context(), batch); err != nil {
			s.t.Fatal(err)
		}
	}
}

// purchase is a row of an id, and becomes the truth about it.
func (s *shop) purchase(id string, day int) string {
	if _, known := s.want[id]; !known {
		s.ids = append(s.ids, id)
	}
	price := 1 + s.random.IntN(99)
	s.want[id] = fmt.Sprintf("%d.00 2024-01-%02d", price, 1+day)
	return fmt.Sprintf(`{"id":%q,"product_id":"85123A","customer_id":17850,"seller_id":3,"quantity":6,"price_at_time":%d,"purchased_at":"2024-01-%02dT08:26:00Z"}`, id, price, 1+day)
}

func (s *shop) deletion(id string) string {
	delete(s.want, id)
	return fmt.Sprintf(`{"id":%q,"deleted":true}`, id)
}

// fresh are new purchases, spread evenly over days.
func (s *shop) fresh(n, days int) []string {
	rows := make([]string, n)
	for i := range rows {
		rows[i] = s.purchase(fmt.Sprintf("p-%08x-%d", s.random.Uint32(), len(s.ids)), i%days)
	}
	return rows
}

// corrections are of purchases that there are: most stay in their day, some move, some are deleted.
func (s *shop) corrections(n, days int) []string {
	rows := make([]string, n)
	for i := range rows {
		id := s.ids[s.random.IntN(len(s.ids))]
		switch was, there := s.want[id]; {
		case i%10 == 9:
			rows[i] = s.deletion(id)
		case i%10 == 8 || !there:
			rows[i] = s.purchase(id, s.random.IntN(days))
		default:
			var day int
			_, _ = fmt.Sscanf(was[strings.LastIndexByte(was, '-')+1:], "%d", &day)
			rows[i] = s.purchase(id, day-1)
		}
	}
	return rows
}

// expect compares the table, deletes applied, with the truth.
func (s *shop) expect() {
	s.t.Helper()
	schema, records, err := s.table().Scan(table.WithSelectedFields("id", "price_at_time", "purchase_date")).ToArrowRecords(s.t.Context())
	if err != nil {
		s.t.Fatal(err)
	}
	at := func(name string) int { return schema.FieldIndices(name)[0] }
	got := map[string]string{}
	for rec, err := range records {
		if err != nil {
			s.t.Fatal(err)
		}
		for i := range int(rec.NumRows()) {
			id := strings.Clone(rec.Column(at("id")).(*array.String).Value(i))
			price := rec.Column(at("price_at_time")).(*array.Decimal128).Value(i)
			day := rec.Column(at("purchase_date")).(*array.Date32).Value(i)
			if other, twice := got[id]; twice {
				s.t.Errorf("%s is in the table twice: %q and %q", id, other, money.String(int64(price.LowBits())))
			}
			got[id] = money.String(int64(price.LowBits())) + " " + clock.DateString(int64(day))
		}
		rec.Release()
	}
	wrong := 0
	for id, row := range s.want {
		if got[id] != row {
			if wrong++; wrong <= 5 {
				s.t.Errorf("%s is %q in the table, want %q", id, got[id], row)
			}
		}
	}
	if len(got) != len(s.want) || wrong > 0 {
		s.t.Errorf("%d rows in the table, want %d; %d are wrong", len(got), len(s.want), wrong)
	}
}

// expectInClickHouse compares what ClickHouse reads with the truth.
func (s *shop) expectInClickHouse(when string) {
	s.t.Helper()
	dsn, err := url.Parse(testservers.Env(s.t)[env.ClickHouseDSN])
	if err != nil {
		s.t.Fatal(err)
	}
	c := s.config.Storage
	query := fmt.Sprintf("SELECT id, toString(toDecimal64(price_at_time, 2)) || ' ' || toString(purchase_date) FROM icebergS3('%s/%s/analytics.db/purchases/', '%s', '%s')",
		c.Endpoint, strings.Trim(strings.TrimPrefix(s.config.Warehouse, "s3://"), "/"), c.AccessKey, c.SecretKey)
	request, err := http.NewRequestWithContext(s.t.Context(), http.MethodPost, "http://"+dsn.Host+"/?output_format_decimal_trailing_zeros=1", strings.NewReader(query))
	if err != nil {
		s.t.Fatal(err)
	}
	password, _ := dsn.User.Password()
	request.SetBasicAuth(dsn.User.Username(), password)
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		s.t.Fatal(err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil || answer.StatusCode != http.StatusOK {
		s.t.Fatalf("%s: %v %s", answer.Status, err, body)
	}
	rows, wrong := strings.Split(strings.TrimSpace(string(body)), "\n"), 0
	for _, row := range rows {
		id, rest, _ := strings.Cut(row, "\t")
		price, day, _ := strings.Cut(rest, " ")
		whole, _, _ := strings.Cut(price, ".")
		if whole+".00 "+day != s.want[id] {
			if wrong++; wrong <= 5 {
				s.t.Errorf("%s: ClickHouse reads %q as %q, want %q", when, id, rest, s.want[id])
			}
		}
	}
	if len(rows) != len(s.want) {
		s.t.Errorf("%s: ClickHouse reads %d rows, want %d", when, len(rows), len(s.want))
	}
}

// files counts the Parquet files of a warehouse in a directory, those in no snapshot too.
func (s *shop) files() int {
	n := 0
	_ = filepath.WalkDir(strings.TrimPrefix(s.config.Warehouse, "file://"), func(path string, _ os.DirEntry, err error) error {
		if err == nil && strings.HasSuffix(path, ".parquet") {
			n++
		}
		return err
	})
	return n
}
