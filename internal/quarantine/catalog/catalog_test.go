package catalog_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/minio/minio-go/v7"
	"github.com/parquet-go/parquet-go"

	"github.com/shop-connect/shop-connect/internal/quarantine"
	"github.com/shop-connect/shop-connect/internal/quarantine/catalog"
	"github.com/shop-connect/shop-connect/internal/store"
	"github.com/shop-connect/shop-connect/internal/testservers"
)

func TestMain(m *testing.M) { testservers.Main(m) }

func newCatalog(t testing.TB) *catalog.Catalog {
	t.Helper()
	s, err := store.Open(t.Context(), testservers.Postgres(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	_, objects := testservers.ObjectStore(t)
	return &catalog.Catalog{Store: s, Objects: objects, Bucket: testservers.Bucket(t, objects, "quarantine")}
}

func put(t testing.TB, c *catalog.Catalog, key string, content []byte) {
	t.Helper()
	if _, err := c.Objects.PutObject(t.Context(), c.Bucket, key, bytes.NewReader(content), int64(len(content)), minio.PutObjectOptions{}); err != nil {
		t.Fatal(err)
	}
}

// object is a Parquet object of rows from one partition, from an offset on.
func object(t testing.TB, first, rows int) []byte {
	t.Helper()
	list := make([]quarantine.Row, rows)
	for i := range list {
		list[i] = quarantine.Row{
			Source: fmt.Sprintf("purchases-0-%d", first+i), Reasons: fmt.Sprintf(`[{"field":"quantity","rule":"range","message":"is %d"}]`, i),
			Topic: "purchases.rejected", Offset: int64(first + i), Value: []byte("{}"),
		}
	}
	var file bytes.Buffer
	if err := parquet.Write(&file, list); err != nil {
		t.Fatal(err)
	}
	return file.Bytes()
}

func counts(t testing.TB, c *catalog.Catalog) map[string]int64 {
	t.Helper()
	if err := c.Refresh(t.Context(), ""); err != nil {
		t.Fatal(err)
	}
	list, err := c.Store.QuarantineCounts(t.Context(), store.QuarantineFilter{})
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]int64{}
	for _, n := range list {
		found[n.Entity+" "+n.Layer+" "+n.Day+" "+n.Reason] += n.Open
	}
	return found
}

func TestCountsFollowTheBucketWhoeverWritesToIt(t *testing.T) {
	c := newCatalog(t)
	const key = "purchases/layer=raw/date=2026-01-02/a.parquet"
	want := func(what string, rows int64) {
		t.Helper()
		got := counts(t, c)
		if got["purchases raw 2026-01-02 quantity range"] != rows || len(got) > 1 {
			t.Errorf("%s: %v, want %d", what, got, rows)
		}
	}
	want("an empty bucket", 0)
	put(t, c, key, object(t, 0, 10))
	want("an object", 10)
	put(t, c, key, object(t, 0, 12))
	want("overwritten, as by a redelivered batch", 12)
	for _, foreign := range []string{"a.parquet", "purchases/a.parquet", "purchases/layer=raw/date=2026-01-02/notes.txt", "x/y/z/a.parquet"} {
		put(t, c, foreign, object(t, 100, 5))
	}
	want("objects of no quarantine", 12)
	if err := c.Objects.RemoveObject(t.Context(), c.Bucket, key, minio.RemoveObjectOptions{}); err != nil {
		t.Fatal(err)
	}
	want("removed, as by retention", 0)
}

func TestI3ARowThatAKilledStreamWroteTwiceCountsOnce(t *testing.T) {
	for _, layer := range []string{"raw", "clickhouse", "iceberg", "api"} {
		t.Run(layer, func(t *testing.T) {
			c := newCatalog(t)
			folder := "purchases/layer=" + layer + "/date=2026-01-02/"
			want := func(what string, rows int64) {
				t.Helper()
				if got := counts(t, c); got["purchases "+layer+" 2026-01-02 quantity range"] != rows || len(got) > 1 {
					t.Errorf("%s: %v, want %d", what, got, rows)
				}
			}
			put(t, c, folder+"0.parquet", object(t, 0, 10))
			want("an object", 10)
			put(t, c, folder+"5.parquet", object(t, 5, 15))
			want("its batch again, with other bounds", 20)
			put(t, c, folder+"0.parquet", object(t, 0, 3))
			want("and overwritten by a shorter one", 18)
			put(t, c, folder+"5.parquet", object(t, 5, 20))
			want("and the other one by a longer one", 23)
			put(t, c, folder+"20.parquet", object(t, 20, 5))
			want("once more", 23)
			if err := c.Objects.RemoveObject(t.Context(), c.Bucket, folder+"5.parquet", minio.RemoveObjectOptions{}); err != nil {
				t.Fatal(err)
			}
			want("what counted is removed, its copies stay", 8)
		})
	}
}

// A file from before replays were kept in it, or by somebody else, may lack columns.
func TestRowsOfAnOlderFileAreRead(t *testing.T) {
	c := newCatalog(t)
	type older struct {
		Reasons string `parquet:"reasons"`
		Source  string `parquet:"source"`
		Value   []byte `parquet:"_value"`
	}
	var file bytes.Buffer
	if err := parquet.Write(&file, []older{{`[{"field":"a","rule":"b"}]`, "req#0", []byte("x")}}); err != nil {
		t.Fatal(err)
	}
	put(t, c, "sellers/layer=api/date=2026-01-02/old.parquet", file.Bytes())
	if got := counts(t, c); got["sellers api 2026-01-02 a b"] != 1 {
		t.Errorf("counts %v", got)
	}
	items, err := c.Samples(t.Context(), catalog.Filter{}, 5, 5)
	if err != nil || len(items) != 1 || string(items[0].Value) != "x" || items[0].Entity != "sellers" || items[0].Source != "req#0" {
		t.Errorf("samples %+v (%v)", items, err)
	}
}

func TestSamplesOfALargeObjectAreItsFirstRows(t *testing.T) {
	c := newCatalog(t)
	noise := rand.NewChaCha8([32]byte{})
	list := make([]quarantine.Row, 40)
	for i := range list {
		list[i] = quarantine.Row{Source: fmt.Sprintf("req#%d", i), Reasons: `[{"field":"a","rule":"b"}]`, Topic: "purchases.rejected", Offset: int64(i), Value: make([]byte, 100_000)}
		_, _ = noise.Read(list[i].Value)
	}
	var file bytes.Buffer
	if err := parquet.Write(&file, list); err != nil {
		t.Fatal(err)
	}
	put(t, c, "purchases/layer=api/date=2026-01-02/large.parquet", file.Bytes())
	counts(t, c)
	items, err := c.Samples(t.Context(), catalog.Filter{}, 3, 1)
	if err != nil || len(items) != 3 {
		t.Fatalf("%d samples (%v)", len(items), err)
	}
	for i := range items {
		if items[i].Source != list[i].Source || !bytes.Equal(items[i].Value, list[i].Value) {
			t.Errorf("sample %d is %s", i, items[i].Source)
		}
	}
}

// BenchmarkAThousandObjects measures what a request for counts costs, and what the first look does.
func BenchmarkAThousandObjects(b *testing.B) {
	c := newCatalog(b)
	for i := range 1000 {
		put(b, c, fmt.Sprintf("purchases/layer=raw/date=2026-01-%02d/purchases.rejected-0-%d.parquet", i%28+1, i*64), object(b, i*64, 64))
	}
	b.Run("first look", func(b *testing.B) {
		for b.Loop() {
			b.StopTimer()
			if _, err := c.Store.Pool().Exec(b.Context(), `DELETE FROM quarantine_objects`); err != nil {
				b.Fatal(err)
			}
			b.StartTimer()
			if err := c.Refresh(b.Context(), ""); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("nothing new", func(b *testing.B) {
		for b.Loop() {
			if err := c.Refresh(b.Context(), ""); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("counts", func(b *testing.B) {
		for b.Loop() {
			if _, err := c.Store.QuarantineCounts(b.Context(), store.QuarantineFilter{}); err != nil {
				b.Fatal(err)
			}
		}
	})
}
