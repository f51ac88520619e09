package stagevalidate

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/format"

	"github.com/shop-connect/shop-connect/internal/contract"
	"github.com/shop-connect/shop-connect/internal/parquetfile"
)

// memoryFile opens a RAW object that needs no store.
func memoryFile(t testing.TB, content []byte) *file {
	t.Helper()
	layout, err := parquetfile.NewLayout(loadContract(t))
	if err != nil {
		t.Fatal(err)
	}
	src := &source{object: object{bucket: "raw", key: "k", size: int64(len(content))}, tail: span{data: content}}
	f, err := openFile(src, layout)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// sparseRows have nulls in every optional column, deletions, and more texts than a dictionary takes.
func sparseRows(n int) []rawRow {
	random := rand.New(rand.NewPCG(3, 4))
	rows := make([]rawRow, n)
	for i := range rows {
		var fields []string
		add := func(share float64, format string, args ...any) {
			if random.Float64() < share {
				fields = append(fields, fmt.Sprintf(format, args...))
			}
		}
		fields = append(fields, fmt.Sprintf(`"id":"%x"`, random.Uint64()))
		if random.IntN(20) == 0 {
			rows[i] = rawRow{int64(i), "{" + fields[0] + `,"deleted":true}`}
			continue
		}
		add(0.9, `"product_id":"%s%d"`, strings.Repeat("p", random.IntN(60)), random.IntN(1+i))
		add(0.7, `"customer_id":%d`, random.Int64()-random.Int64())
		add(0.99, `"seller_id":%d`, random.IntN(3))
		add(0.01, `"quantity":%d`, random.IntN(9))
		add(0.5, `"price_at_time":-%d.%04d`, random.IntN(900), random.IntN(10_000))
		rows[i] = rawRow{int64(i), "{" + strings.Join(fields, ",") + "}"}
	}
	return rows
}

func TestSievedRowsAreThoseOfARowGroupEncodedAnew(t *testing.T) {
	f := memoryFile(t, encode(t, "purchases", sparseRows(20_000)...))
	random := rand.New(rand.NewPCG(5, 6))
	var s *sieve
	for name, dropped := range map[string]func(row int) bool{
		"one in fifty":         func(int) bool { return random.IntN(50) == 0 },
		"every other":          func(row int) bool { return row%2 == 0 },
		"all but the last":     func(row int) bool { return row < 19_999 },
		"all but the first":    func(row int) bool { return row > 0 },
		"long stretches":       func(row int) bool { return row/3000%2 == 0 },
		"the first":            func(row int) bool { return row == 0 },
		"the last":             func(row int) bool { return row == 19_999 },
		"all but one in fifty": func(int) bool { return random.IntN(50) != 0 },
	} {
		for _, codec := range parquetfile.Compressions() {
			t.Run(name+", "+codec, func(t *testing.T) {
				compression := parquetfile.Compression(codec)
				if s == nil || s.codec != compression.Codec() {
					s = &sieve{codec: compression.Codec()}
				}
				once := sievedAndRewritten(t, f, s, compression, dropped)
				// what a sieve has written goes through it again, whatever the codec
				sievedAndRewritten(t, memoryFile(t, once), s, compression, func(row int) bool { return row%3 == 1 })
			})
		}
	}
}

// sievedAndRewritten holds a sieve against the writer of rows, and returns the sieve's file.
func sievedAndRewritten(t *testing.T, f *file, s *sieve, compression parquetfile.Compression, dropped func(row int) bool) []byte {
	t.Helper()
	g := &rowGroup{marks: make([]uint8, f.NumRows()), reasons: map[int][]contract.Reason{}}
	for row := range g.marks {
		if dropped(row) {
			g.refuse(row, contract.Reason{})
		}
	}
	sieved, err := f.sieve(g, s)
	if err != nil || sieved == nil {
		t.Fatal(sieved, err)
	}
	rewritten, reader, err := f.rewrite(g, f.layout.WriterOptions(compression))
	if err != nil {
		t.Fatal(err)
	}
	got := spliced(t, f, bytes.NewReader(sieved.data), sieved.group)
	sameFiles(t, got, spliced(t, f, reader, rewritten.Metadata().RowGroups[0]))
	if len(sieved.ends) != g.refused {
		t.Errorf("%d refused values, not %d", len(sieved.ends), g.refused)
	}
	return got
}

// spliced makes a file of one row group.
func spliced(t *testing.T, like *file, from io.ReaderAt, group format.RowGroup) []byte {
	t.Helper()
	var out bytes.Buffer
	s, err := parquetfile.NewSplice(&out, like.Metadata())
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Add(from, group); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// wholeRow is every column of a file.
type wholeRow struct {
	ID          *string `parquet:"id,optional"`
	ProductID   *string `parquet:"product_id,optional"`
	CustomerID  *int64  `parquet:"customer_id,optional"`
	SellerID    *int64  `parquet:"seller_id,optional"`
	Quantity    *int64  `parquet:"quantity,optional"`
	PriceAtTime *int64  `parquet:"price_at_time,optional,decimal(4:18)"`
	PurchasedAt *int64  `parquet:"purchased_at,optional,timestamp(microsecond)"`
	Deleted     bool    `parquet:"deleted"`
	Topic       string  `parquet:"_topic"`
	Partition   int32   `parquet:"_partition"`
	Offset      int64   `parquet:"_offset"`
	Timestamp   int64   `parquet:"_timestamp,timestamp(microsecond)"`
	Value       []byte  `parquet:"_value"`
}

func sameFiles(t *testing.T, got, want []byte) {
	t.Helper()
	rows, err := parquet.Read[wholeRow](bytes.NewReader(got), int64(len(got)))
	if err != nil {
		t.Fatal(err)
	}
	others, err := parquet.Read[wholeRow](bytes.NewReader(want), int64(len(want)))
	if err != nil {
		t.Fatal(err)
	}
	if len(rows) != len(others) {
		t.Fatalf("%d rows, not %d", len(rows), len(others))
	}
	for i := range rows {
		if !reflect.DeepEqual(rows[i], others[i]) {
			t.Fatalf("row %d is %+v, not %+v", i, rows[i], others[i])
		}
	}
	opened, err := parquet.OpenFile(bytes.NewReader(got), int64(len(got)))
	if err != nil {
		t.Fatal(err)
	}
	reference, err := parquet.OpenFile(bytes.NewReader(want), int64(len(want)))
	if err != nil {
		t.Fatal(err)
	}
	for i, column := range opened.Metadata().RowGroups[0].Columns {
		other := reference.Metadata().RowGroups[0].Columns[i].MetaData
		if !reflect.DeepEqual(column.MetaData.Statistics, other.Statistics) {
			t.Errorf("column %v: statistics %+v, not %+v", column.MetaData.PathInSchema, column.MetaData.Statistics, other.Statistics)
		}
		if column.MetaData.NumValues != other.NumValues || column.MetaData.Codec != other.Codec {
			t.Errorf("column %v: %+v, not %+v", column.MetaData.PathInSchema, column.MetaData, other)
		}
	}
}
