package parquetfile_test

import (
	"bytes"
	"errors"
	"io"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/parquet-go/parquet-go"

	"github.com/shop-connect/shop-connect/internal/columns"
	"github.com/shop-connect/shop-connect/internal/contract"
	"github.com/shop-connect/shop-connect/internal/parquetfile"
)

func purchases(tb testing.TB) *contract.Contract {
	tb.Helper()
	c, err := contract.Load(filepath.Join("..", "..", "pipelines", "contracts", "purchases.yaml"))
	if err != nil {
		tb.Fatal(err)
	}
	return c
}

func layout(tb testing.TB) *parquetfile.Layout {
	tb.Helper()
	l, err := parquetfile.NewLayout(purchases(tb))
	if err != nil {
		tb.Fatal(err)
	}
	return l
}

// stored is a row as a reader of the lake sees it.
type stored struct {
	ID          *string    `parquet:"id,optional"`
	ProductID   *string    `parquet:"product_id,optional"`
	CustomerID  *int64     `parquet:"customer_id,optional"`
	SellerID    *int64     `parquet:"seller_id,optional"`
	Quantity    *int64     `parquet:"quantity,optional"`
	PriceAtTime *int64     `parquet:"price_at_time,optional,decimal(4:18)"`
	PurchasedAt *time.Time `parquet:"purchased_at,optional,timestamp(microsecond)"`
	Deleted     bool       `parquet:"deleted"`
	Topic       string     `parquet:"_topic"`
	Partition   int32      `parquet:"_partition"`
	Offset      int64      `parquet:"_offset"`
	Timestamp   time.Time  `parquet:"_timestamp,timestamp(microsecond)"`
	Value       []byte     `parquet:"_value"`
}

func decode(t *testing.T, rows ...string) (*columns.Batch, func(int32) []byte) {
	t.Helper()
	c := purchases(t)
	decoder, batch := columns.NewDecoder(c, columns.Typed, time.UTC), columns.NewBatch(c, len(rows))
	for i, row := range rows {
		pos := columns.Position{Topic: "purchases", Partition: 3, Offset: int64(40 + i), Timestamp: 1_700_000_000_000_000 + int64(i)}
		if reasons, err := decoder.Append(batch, []byte(row), pos, i); err != nil || reasons != nil {
			t.Fatal(reasons, err)
		}
	}
	return batch, func(row int32) []byte { return []byte(rows[batch.Source[row]]) }
}

func read(t *testing.T, file []byte) []stored {
	t.Helper()
	reader := parquet.NewGenericReader[stored](bytes.NewReader(file))
	defer reader.Close()
	rows := make([]stored, reader.NumRows())
	if n, err := reader.Read(rows); n != len(rows) || (err != nil && !errors.Is(err, io.EOF)) {
		t.Fatalf("read %d of %d rows: %v", n, len(rows), err)
	}
	return rows
}

const (
	whole    = `{"id":"p-1","product_id":456,"customer_id":7,"seller_id":3,"quantity":6,"price_at_time":12345678901234.5678,"purchased_at":"2023-11-09T05:20:48.123456+02:00"}`
	bare     = `{"note":"RAW keeps what it is sent"}`
	negative = `{"id":"p-2","quantity":-6,"price_at_time":"-0.0001"}`
	deletion = `{"id":"p-1","deleted":true,"quantity":4}`
)

func TestRowsReadBackAsTheyWereWritten(t *testing.T) {
	batch, value := decode(t, whole, bare, negative, deletion)
	var file bytes.Buffer
	if err := layout(t).NewWriter(parquetfile.Zstd).WriteFile(&file, batch, []int32{0, 1, 2, 3}, value); err != nil {
		t.Fatal(err)
	}
	rows := read(t, file.Bytes())
	if len(rows) != 4 {
		t.Fatalf("%d rows", len(rows))
	}
	first := rows[0]
	if *first.ID != "p-1" || *first.ProductID != "456" || *first.CustomerID != 7 || *first.SellerID != 3 || *first.Quantity != 6 {
		t.Errorf("fields of the first row: %+v", first)
	}
	// I5: 18 digits, and not one of them lost
	if *first.PriceAtTime != 123456789012345678 || *rows[2].PriceAtTime != -1 {
		t.Errorf("prices %d and %d", *first.PriceAtTime, *rows[2].PriceAtTime)
	}
	// I6
	if want := time.Date(2023, 11, 9, 3, 20, 48, 123456000, time.UTC); !first.PurchasedAt.Equal(want) {
		t.Errorf("purchased at %v, want %v", first.PurchasedAt, want)
	}
	if *rows[1].ID != "purchases-3-41" || rows[1].ProductID != nil || rows[1].Quantity != nil || rows[1].PurchasedAt != nil {
		t.Errorf("a row without fields: %+v", rows[1])
	}
	if !rows[3].Deleted || *rows[3].ID != "p-1" || rows[3].Quantity != nil || rows[2].Deleted {
		t.Errorf("a deletion holds its id and nothing else: %+v", rows[3])
	}
	for i, sent := range []string{whole, bare, negative, deletion} {
		row := rows[i]
		if string(row.Value) != sent || row.Topic != "purchases" || row.Partition != 3 || row.Offset != int64(40+i) {
			t.Errorf("row %d is not the record it came from: %+v", i, row)
		}
		if row.Timestamp.UnixMicro() != 1_700_000_000_000_000+int64(i) {
			t.Errorf("row %d: Kafka time %v", i, row.Timestamp)
		}
	}
}

func TestAWriterIsReusedWithoutATraceOfTheFileBefore(t *testing.T) {
	batch, value := decode(t, whole, bare, negative, deletion)
	writer := layout(t).NewWriter(parquetfile.Zstd)
	write := func(rows ...int32) []byte {
		var file bytes.Buffer
		if err := writer.WriteFile(&file, batch, rows, value); err != nil {
			t.Fatal(err)
		}
		return file.Bytes()
	}
	alone := write(2)
	write(0, 1, 3)
	if err := writer.WriteFile(&failingWriter{}, batch, []int32{0, 1}, value); err == nil {
		t.Error("an error of the store is not returned")
	}
	if again := write(2); !bytes.Equal(alone, again) {
		t.Error("the same rows give another file after other files were written")
	}
	if rows := read(t, alone); len(rows) != 1 || rows[0].Offset != 42 {
		t.Errorf("rows %+v", rows)
	}
}

type failingWriter struct{}

func (*failingWriter) Write([]byte) (int, error) { return 0, errors.New("disk on fire") }

func TestColumnsStandInTheOrderOfTheContract(t *testing.T) {
	l := layout(t)
	want := []string{"id", "product_id", "customer_id", "seller_id", "quantity", "price_at_time", "purchased_at",
		"deleted", "_topic", "_partition", "_offset", "_timestamp", "_value"}
	var got []string
	for i, path := range l.Schema.Columns() {
		got = append(got, path[0])
		if l.Index(path[0]) != i {
			t.Errorf("Index(%q) is %d, want %d", path[0], l.Index(path[0]), i)
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("columns %v, want %v", got, want)
	}
	if l.Index("nothing") != -1 {
		t.Error("an unknown name has a column")
	}
}

func TestTheFooterSaysWhatTheFileHolds(t *testing.T) {
	batch, value := decode(t, whole, bare, negative, deletion)
	var file bytes.Buffer
	if err := layout(t).NewWriter(parquetfile.Snappy).WriteFile(&file, batch, []int32{1, 2, 3}, value); err != nil {
		t.Fatal(err)
	}
	opened, err := parquet.OpenFile(bytes.NewReader(file.Bytes()), int64(file.Len()))
	if err != nil {
		t.Fatal(err)
	}
	for key, want := range map[string]string{
		parquetfile.MetaEntity: "purchases", parquetfile.MetaVersion: "1",
		parquetfile.MetaFirstOffset: "41", parquetfile.MetaLastOffset: "43",
	} {
		if got, _ := opened.Lookup(key); got != want {
			t.Errorf("%s is %q, want %q", key, got, want)
		}
	}
	if !parquet.EqualNodes(opened.Schema(), layout(t).Schema) {
		t.Errorf("schema of the file:\n%s\nwant:\n%s", opened.Schema(), layout(t).Schema)
	}
}
