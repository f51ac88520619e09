package reconcile

import (
	"bytes"
	"database/sql"
	"fmt"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/iceberg-go"
	catalogsql "github.com/apache/iceberg-go/catalog/sql"
	"github.com/apache/iceberg-go/table"
	"github.com/minio/minio-go/v7"
	"github.com/parquet-go/parquet-go"

	"github.com/shop-connect/shop-connect/internal/env"
	"github.com/shop-connect/shop-connect/internal/load"
	"github.com/shop-connect/shop-connect/internal/provision"
	"github.com/shop-connect/shop-connect/internal/quarantine"
	"github.com/shop-connect/shop-connect/internal/testservers"
)

func TestMain(m *testing.M) { testservers.Main(m) }

// record is a row of RAW, STAGE or quarantine, as far as counting goes.
type record struct {
	Value     []byte  `parquet:"_value"`
	Topic     *string `parquet:"_topic,optional,dict"`
	Partition *int32  `parquet:"_partition,optional"`
	Offset    *int64  `parquet:"_offset,optional"`
}

func records(topic string, partition int32, from, to int64) []record {
	var out []record
	for offset := from; offset < to; offset++ {
		out = append(out, record{Value: bytes.Repeat([]byte{byte(offset)}, 50), Topic: &topic, Partition: &partition, Offset: &offset})
	}
	return out
}

// refusals are rows that a sink refused, as the records of purchases.rejected from an offset on.
func refusals(carried, from, to int64) []quarantine.Row {
	var out []quarantine.Row
	for offset := from; offset < to; offset++ {
		out = append(out, quarantine.Row{Source: fmt.Sprintf("purchases-0-%d", offset), Topic: "purchases.rejected", Offset: carried + offset - from})
	}
	return out
}

func put[T any](t *testing.T, store *minio.Client, bucket, key string, rows []T) {
	t.Helper()
	var file bytes.Buffer
	w := parquet.NewGenericWriter[T](&file, parquet.MaxRowsPerRowGroup(30_000))
	if _, err := w.Write(rows); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := store.PutObject(t.Context(), bucket, key, &file, int64(file.Len()), minio.PutObjectOptions{}); err != nil {
		t.Fatal(err)
	}
}

func exec(t *testing.T, db *sql.DB, statements ...string) {
	t.Helper()
	for _, s := range statements {
		if _, err := db.ExecContext(t.Context(), s); err != nil {
			t.Fatalf("%s: %v", s, err)
		}
	}
}

func TestCounterCountsEveryLayerOnRealServers(t *testing.T) {
	vars := testservers.Env(t)
	if err := provision.All(t.Context(), vars); err != nil {
		t.Fatal(err)
	}
	counter, err := NewCounter(vars)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = counter.Close() })
	store := counter.objects.store

	empty, err := counter.Count(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if empty.Raw.Rows != 0 || empty.ClickHouse != (Sales{}) || empty.Iceberg != (Sales{}) || len(empty.Days) != 0 {
		t.Errorf("a shop without rows was counted as %+v", empty)
	}
	fillClickHouse(t, counter.clickhouse)

	// RAW holds records 40 to 49 of partition 0 twice: a redelivery.
	put(t, store, bucketRaw, "purchases/purchase_date=2026-01-01/purchases-0-0.parquet", records("purchases", 0, 0, 50))
	put(t, store, bucketRaw, "purchases/purchase_date=2026-01-01/purchases-0-40.parquet", records("purchases", 0, 40, 100))
	put(t, store, bucketRaw, "purchases/purchase_date=2026-01-02/purchases-1-0.parquet", records("purchases", 1, 0, 100_000))
	put(t, store, bucketRaw, "products/other.parquet", records("products", 0, 0, 7))
	put(t, store, bucketStage, "purchases/purchase_date=2026-01-01/a.parquet", records("purchases", 0, 0, 99))
	put(t, store, bucketQuarantine, "purchases/layer=stage/date=2026-01-01/a.parquet", records("purchases", 0, 99, 100))
	put(t, store, bucketQuarantine, "purchases/layer=api/date=2026-01-01/a.parquet", records("purchases.rejected", 2, 10, 14))
	put(t, store, bucketQuarantine, "purchases/layer=api/date=2026-01-01/b.parquet", []record{{}, {}})
	// a sink that was killed refused records 10 to 14 twice, and the stream behind it wrote 12 to 14 twice
	put(t, store, bucketQuarantine, "purchases/layer=raw/date=2026-01-01/a.parquet", refusals(0, 10, 15))
	put(t, store, bucketQuarantine, "purchases/layer=raw/date=2026-01-01/b.parquet", refusals(2, 12, 15))
	put(t, store, bucketQuarantine, "purchases/layer=raw/date=2026-01-02/c.parquet", refusals(5, 10, 15))
	facts := newFacts(t, vars)
	facts.append(t, []string{"a", "b", "b"}, []int64{1, 2, 3}, []int64{10_000, 25_001, 1})

	got, err := counter.Count(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if want := (Records{Rows: 100_110, Distinct: 100_100}); got.Raw != want {
		t.Errorf("RAW is %+v, it should be %+v", got.Raw, want)
	}
	if want := (Records{Rows: 99, Distinct: 99}); got.Stage != want {
		t.Errorf("STAGE is %+v, it should be %+v", got.Stage, want)
	}
	if got.Quarantined["api"] != 6 || got.Quarantined["stage"] != 1 || got.Quarantined["raw"] != 5 {
		t.Errorf("quarantine is %v", got.Quarantined)
	}
	if want := (Sales{Rows: 2, IDs: 2, Items: 12, Revenue: amount(t, "99999999999999.9999").Add(amount(t, "11.0011"))}); got.ClickHouse != want {
		t.Errorf("ClickHouse is %+v, it should be %+v", got.ClickHouse, want)
	}
	if want := (load.Day{Date: "2026-01-01", Purchases: 2, Items: 12, Revenue: amount(t, "11.0011")}); len(got.Days) != 1 || got.Days[0] != want {
		t.Errorf("the statistics are %+v, they should be %+v", got.Days, want)
	}
	if want := (Sales{Rows: 2, Items: 12, Revenue: amount(t, "11.0011")}); got.ByCategory != want {
		t.Errorf("the statistics by category are %+v, they should be %+v", got.ByCategory, want)
	}
	if want := (Sales{Rows: 2, Revenue: amount(t, "11.0011")}); got.ByCustomer != want {
		t.Errorf("the statistics by customer are %+v, they should be %+v", got.ByCustomer, want)
	}
	if want := (Sales{Rows: 3, IDs: 2, Items: 6, Revenue: amount(t, "6.0005")}); got.Iceberg != want {
		t.Errorf("Iceberg is %+v, it should be %+v", got.Iceberg, want)
	}

	// An object that is written anew, and a deletion, change the next count.
	put(t, store, bucketRaw, "purchases/purchase_date=2026-01-01/purchases-0-0.parquet", records("purchases", 0, 0, 20))
	facts.delete(t, "b")
	again, err := counter.Count(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if want := (Records{Rows: 100_080, Distinct: 100_080}); again.Raw != want {
		t.Errorf("after an object was replaced RAW is %+v, it should be %+v", again.Raw, want)
	}
	if want := (Sales{Rows: 1, IDs: 1, Items: 1, Revenue: amount(t, "1")}); again.Iceberg != want {
		t.Errorf("after a deletion Iceberg is %+v, it should be %+v", again.Iceberg, want)
	}

	put(t, store, bucketRaw, "purchases/purchase_date=2026-01-01/x.parquet", []record{{}})
	if _, err := counter.Count(t.Context()); err == nil || !strings.Contains(err.Error(), "x.parquet") {
		t.Errorf("a row of RAW without a place in Kafka gave %v", err)
	}
}

// fillClickHouse writes a replaced and a deleted purchase, and two computations of one day.
func fillClickHouse(t *testing.T, db *sql.DB) {
	t.Helper()
	const purchase = `INSERT INTO analytics.purchases (id, quantity, price_at_time, purchase_date, version, is_deleted) SELECT `
	const totals = `INSERT INTO analytics.purchase_sums (purchase_date, total_purchases, total_items, total_revenue, sum_of_prices, computed_at) SELECT `
	exec(t, db,
		purchase+`'a', 11, toDecimal64('1.0001', 4), toDate32('2026-01-01'), 1, 0`,
		purchase+`'b', 5, toDecimal64('2', 4), toDate32('2026-01-01'), 1, 0`,
		purchase+`'b', 1, toDecimal64('99999999999999.9999', 4), toDate32('2026-01-01'), 2, 0`,
		purchase+`'c', 1, toDecimal64('3', 4), toDate32('2026-02-01'), 1, 0`,
		purchase+`'c', 1, toDecimal64('3', 4), toDate32('2026-02-01'), 2, 1`,
		totals+`toDate32('2026-01-01'), 2, 12, toDecimal128('11.0011', 4), toDecimal128('3', 4), now64(6)`,
		totals+`toDate32('2026-01-01'), 1, 1, toDecimal128('1', 4), toDecimal128('1', 4), now64(6) - 60`,
		totals+`toDate32('2026-01-02'), 0, 0, toDecimal128('0', 4), toDecimal128('0', 4), now64(6)`,
		// the first day has another slice, by product and customer only
		"INSERT INTO analytics.purchase_sums (purchase_date, slice, computed_at, `sold.hour`, `sold.product_id`, `sold.purchases`, `sold.items`, `sold.revenue`, `sold.sum_of_prices`, "+
			"`bought.customer_id`, `bought.purchases`, `bought.revenue`, `bought.last_at`) SELECT toDate32('2026-01-01'), 1, now64(6), [1, 2], ['a', 'b'], [1, 1], [11, 1], "+
			"[toDecimal128('11.0011', 4), 0], [1, 2], [7], [2], [toDecimal128('11.0011', 4)], [now64(6)]",
	)
}

// facts is an Iceberg table such as the sink makes.
type facts struct{ table *table.Table }

func newFacts(t *testing.T, vars map[string]string) *facts {
	t.Helper()
	properties := icebergProperties(vars)
	properties["init_catalog_tables"] = "true"
	db, err := sql.Open("pgx", vars[env.PostgresDSN])
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	cat, err := catalogsql.NewCatalog(catalogName, db, catalogsql.Postgres, properties)
	if err != nil {
		t.Fatal(err)
	}
	if err := cat.CreateNamespace(t.Context(), table.Identifier{"analytics"}, nil); err != nil {
		t.Fatal(err)
	}
	schema := iceberg.NewSchema(0,
		iceberg.NestedField{ID: 1, Name: "id", Type: iceberg.PrimitiveTypes.String, Required: true},
		iceberg.NestedField{ID: 2, Name: "quantity", Type: iceberg.PrimitiveTypes.Int64, Required: true},
		iceberg.NestedField{ID: 3, Name: "price_at_time", Type: iceberg.DecimalTypeOf(18, 4), Required: true},
	)
	created, err := cat.CreateTable(t.Context(), factsTable, schema)
	if err != nil {
		t.Fatal(err)
	}
	return &facts{table: created}
}

func (f *facts) append(t *testing.T, ids []string, quantities, units []int64) {
	t.Helper()
	schema, err := table.SchemaToArrowSchema(f.table.Schema(), nil, false, false)
	if err != nil {
		t.Fatal(err)
	}
	builder := array.NewRecordBuilder(memory.DefaultAllocator, schema)
	defer builder.Release()
	for i := range ids {
		builder.Field(0).(*array.StringBuilder).Append(ids[i])
		builder.Field(1).(*array.Int64Builder).Append(quantities[i])
		if err := builder.Field(2).AppendValueFromString(fmt.Sprintf("%d.%04d", units[i]/10_000, units[i]%10_000)); err != nil {
			t.Fatal(err)
		}
	}
	reader, err := array.NewRecordReader(schema, []arrow.RecordBatch{builder.NewRecordBatch()})
	if err != nil {
		t.Fatal(err)
	}
	if f.table, err = f.table.Append(t.Context(), reader, nil); err != nil {
		t.Fatal(err)
	}
}

func (f *facts) delete(t *testing.T, id string) {
	t.Helper()
	var err error
	if f.table, err = f.table.Delete(t.Context(), iceberg.EqualTo(iceberg.Reference("id"), id), nil); err != nil {
		t.Fatal(err)
	}
}

func TestCounterNamesEveryVariableThatIsMissing(t *testing.T) {
	_, err := NewCounter(map[string]string{env.S3Endpoint: "http://127.0.0.1:1", env.S3AccessKey: "x"})
	if err == nil {
		t.Fatal("a counter was made of nothing")
	}
	for _, name := range []string{env.S3SecretKey, env.PostgresDSN, env.ClickHouseDSN} {
		if !strings.Contains(err.Error(), name) {
			t.Errorf("the error does not name %s: %v", name, err)
		}
	}
}
