package stagevalidate

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/encoding/thrift"
	"github.com/parquet-go/parquet-go/format"
	"gopkg.in/yaml.v3"

	"github.com/shop-connect/shop-connect/internal/contract"
	"github.com/shop-connect/shop-connect/internal/parquetfile"
)

// Each folder of testdata is a case: object.yaml says what the RAW object is like, expected.yaml what
// must become of it. A new case is a new folder.

// goldenObject describes a Parquet file by how it differs from a good one.
type goldenObject struct {
	// Rows overlay a good row: column -> stored value (decimals times 10^4, times in microseconds).
	// Null is a value; text beginning with hex: stands for those bytes, with repeat: N for a long one.
	Rows []map[string]any `yaml:"rows"`
	// Repeat multiplies the rows.
	Repeat int `yaml:"repeat"`
	// Schema changes the columns.
	Schema struct {
		Retype map[string]string `yaml:"retype"`
		Drop   []string          `yaml:"drop"`
		Add    map[string]string `yaml:"add"`
		// AddMany adds so many columns of strings.
		AddMany int `yaml:"add_many"`
	} `yaml:"schema"`
	// File is one beside object.yaml, as another program wrote it.
	File string `yaml:"file"`
	// Content stands for the whole object.
	Content *string `yaml:"content"`
	// Keep cuts the object to its first so many percent of bytes; Corrupt overwrites bytes.
	KeepPercent int `yaml:"keep_percent"`
	// Bomb replaces the pages of a column by one that becomes so many bytes.
	Bomb struct {
		Column string `yaml:"column"`
		Bytes  int64  `yaml:"bytes"`
		// Says is what its header says that it becomes.
		Says int32 `yaml:"says"`
	} `yaml:"bomb"`
	// CorruptColumn flips a bit in the middle of a column's pages.
	CorruptColumn string         `yaml:"corrupt_column"`
	Corrupt       map[int]string `yaml:"corrupt"`
}

type goldenExpectation struct {
	RowsIn      int64 `yaml:"rows_in"`
	RowsOut     int64 `yaml:"rows_out"`
	RowsRefused int64 `yaml:"rows_refused"`
	RowsSkipped int64 `yaml:"rows_skipped"`
	// Fault is part of the reason why the object is refused whole.
	Fault string `yaml:"fault"`
	// Prices are what a reader of STAGE finds, times 10^4.
	Prices []int64 `yaml:"prices"`
	// Reasons are those of each refused row, as "field rule", by row number.
	Reasons map[int][]string `yaml:"reasons"`
}

func TestGoldenCases(t *testing.T) {
	cases, err := filepath.Glob(filepath.Join("testdata", "*", "object.yaml"))
	if err != nil || len(cases) == 0 {
		t.Fatalf("%d cases, %v", len(cases), err)
	}
	l := newLake(t)
	for i, path := range cases {
		folder := filepath.Dir(path)
		t.Run(filepath.Base(folder), func(t *testing.T) {
			var object goldenObject
			var want goldenExpectation
			readYAML(t, path, &object)
			readYAML(t, filepath.Join(folder, "expected.yaml"), &want)
			l := &lake{TB: t, client: l.client, raw: l.raw, stage: l.stage, quarantine: l.quarantine, processor: l.processor}
			content := object.build(t)
			if object.File != "" {
				if content, err = os.ReadFile(filepath.Join(folder, object.File)); err != nil {
					t.Fatal(err)
				}
			}
			l.checkGolden(rawKey(fmt.Sprintf("2026-02-%02d", i%28+1), int64(i)), content, want)
		})
	}
}

func readYAML(t *testing.T, path string, into any) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	decoder := yaml.NewDecoder(bytes.NewReader(text))
	decoder.KnownFields(true)
	if err := decoder.Decode(into); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
}

func (l *lake) checkGolden(key string, content []byte, want goldenExpectation) {
	l.Helper()
	// the folder makes each case a slice of its own
	key = strings.Replace(key, "purchases/", "purchases/case="+filepath.Base(l.Name())+"/", 1)
	r := l.process(l.processor, l.put(key, content))[0]
	got := goldenExpectation{RowsIn: r.RowsIn, RowsOut: r.RowsOut, RowsRefused: r.RowsRefused, RowsSkipped: r.RowsSkipped}
	if got.RowsIn != want.RowsIn || got.RowsOut != want.RowsOut || got.RowsRefused != want.RowsRefused || got.RowsSkipped != want.RowsSkipped {
		l.Errorf("got %+v", r)
	}
	if (want.Fault == "") != (r.Fault == "") || !strings.Contains(r.Fault, want.Fault) {
		l.Errorf("fault is %q, want %q", r.Fault, want.Fault)
	}
	if want.Fault != "" {
		if !bytes.Equal(l.get(l.quarantine, r.QuarantineKey), content) {
			l.Error("the object in quarantine is another one")
		}
		return
	}
	if r.RowsOut > 0 {
		l.checkStaged(r, want)
	}
	if r.RowsRefused > 0 {
		l.checkReasons(r, want)
	}
}

func (l *lake) checkStaged(r report, want goldenExpectation) {
	l.Helper()
	content := l.get(l.stage, r.StageKey)
	rows, err := parquet.Read[staged](bytes.NewReader(content), int64(len(content)))
	if err != nil || int64(len(rows)) != r.RowsOut {
		l.Errorf("STAGE holds %d rows, %v", len(rows), err)
	}
	var prices []int64
	for _, row := range rows {
		if want.Prices != nil && row.Price != nil {
			prices = append(prices, *row.Price)
		}
	}
	if !slices.Equal(prices, want.Prices) {
		l.Errorf("STAGE holds prices %v, want %v", prices, want.Prices)
	}
}

func (l *lake) checkReasons(r report, want goldenExpectation) {
	l.Helper()
	got := map[int][]string{}
	for _, row := range l.refusedRowsOf(r.QuarantineKey) {
		var reasons []contract.Reason
		if err := json.Unmarshal([]byte(row.Reasons), &reasons); err != nil {
			l.Fatal(err)
		}
		_, number, _ := strings.Cut(row.Source, "#")
		at, err := strconv.Atoi(number)
		if err != nil {
			l.Fatal(err)
		}
		for _, reason := range reasons {
			got[at] = append(got[at], reason.Field+" "+reason.Rule)
		}
	}
	for row, reasons := range want.Reasons {
		if !slices.Equal(got[row], reasons) {
			l.Errorf("row %d is refused for %q, want %q", row, got[row], reasons)
		}
		delete(got, row)
	}
	if len(want.Reasons) > 0 && len(got) > 0 {
		l.Errorf("refused, but not expected: %v", got)
	}
}

func (o *goldenObject) build(t *testing.T) []byte {
	t.Helper()
	if o.Content != nil {
		return []byte(*o.Content)
	}
	content := o.encode(t)
	if o.Bomb.Column != "" {
		content = o.arm(t, content)
	}
	if o.CorruptColumn != "" {
		start, end := parquetfile.Extent(columnChunk(t, openMetadata(t, content), o.CorruptColumn))
		content[(start+end)/2] ^= 0x10
	}
	if o.KeepPercent > 0 {
		content = content[:len(content)*o.KeepPercent/100]
	}
	for at, bytes := range o.Corrupt {
		if at < 0 {
			at += len(content)
		}
		copy(content[at:], unhex(t, bytes))
	}
	return content
}

func openMetadata(t *testing.T, content []byte) *format.FileMetaData {
	t.Helper()
	f, err := parquet.OpenFile(bytes.NewReader(content), int64(len(content)))
	if err != nil {
		t.Fatal(err)
	}
	return f.Metadata()
}

func columnChunk(t *testing.T, meta *format.FileMetaData, column string) *format.ColumnChunk {
	t.Helper()
	for i := range meta.RowGroups[0].Columns {
		if chunk := &meta.RowGroups[0].Columns[i]; chunk.MetaData.PathInSchema[0] == column {
			return chunk
		}
	}
	t.Fatalf("there is no column %q", column)
	return nil
}

// zstdBlockBytes is the most that a block becomes.
const zstdBlockBytes = 128 << 10

// arm puts a zstd page of repeated bytes in the place of a column's pages.
func (o *goldenObject) arm(t *testing.T, content []byte) []byte {
	t.Helper()
	frame := []byte{0x28, 0xb5, 0x2f, 0xfd, 0x00, 0x58} // a window of 2 MiB, no size
	for n := o.Bomb.Bytes; n > 0; n -= zstdBlockBytes {
		block := uint32(min(n, zstdBlockBytes))<<3 | 1<<1
		if n <= zstdBlockBytes {
			block |= 1
		}
		frame = append(frame, byte(block), byte(block>>8), byte(block>>16), 'x')
	}
	meta := openMetadata(t, content)
	chunk := columnChunk(t, meta, o.Bomb.Column)
	rows := int32(meta.RowGroups[0].NumRows)
	page, err := appendPage(nil, &format.PageHeader{Type: format.DataPageV2, UncompressedPageSize: o.Bomb.Says,
		DataPageHeaderV2: thrift.New(format.DataPageHeaderV2{NumValues: rows, NumRows: rows, Encoding: format.Plain})}, frame)
	if err != nil {
		t.Fatal(err)
	}
	chunk.MetaData.Codec, chunk.MetaData.DictionaryPageOffset = format.Zstd, 0
	chunk.MetaData.DataPageOffset, chunk.MetaData.TotalCompressedSize = int64(len(content)), int64(len(page))
	var out bytes.Buffer
	splice, err := parquetfile.NewSplice(&out, meta)
	if err != nil {
		t.Fatal(err)
	}
	if err := splice.Add(bytes.NewReader(append(content, page...)), meta.RowGroups[0]); err != nil {
		t.Fatal(err)
	}
	if err := splice.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// goodCells is a row as RAW stores it.
var goodCells = map[string]any{
	"id": "p", "product_id": "a", "customer_id": 7, "seller_id": 3, "quantity": 6, "price_at_time": 199900,
	"purchased_at": 1767331248000000, "deleted": false, "_topic": "purchases", "_partition": 3, "_timestamp": 1767331248000000, "_value": "{}",
}

func (o *goldenObject) encode(t *testing.T) []byte {
	t.Helper()
	schema := o.schema(t)
	var out bytes.Buffer
	writer := parquet.NewWriter(&out, schema)
	repeat := max(o.Repeat, 1)
	for n := range repeat * len(o.Rows) {
		var row parquet.Row
		for i, path := range schema.Columns() {
			value, given := o.Rows[n%len(o.Rows)][path[0]]
			if !given {
				value = goodCells[path[0]]
				if path[0] == parquetfile.ColumnOffset {
					value = n
				}
			}
			leaf, _ := schema.Lookup(path...)
			row = append(row, cell(t, leaf, value).Level(0, definition(leaf, value), i))
		}
		if _, err := writer.WriteRows([]parquet.Row{row}); err != nil {
			t.Fatal(err)
		}
	}
	if err := writer.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func definition(leaf parquet.LeafColumn, value any) int {
	if value == nil {
		return 0
	}
	return leaf.MaxDefinitionLevel
}

func cell(t *testing.T, leaf parquet.LeafColumn, value any) parquet.Value {
	t.Helper()
	switch v := value.(type) {
	case nil:
		return parquet.Value{}
	case bool:
		return parquet.BooleanValue(v)
	case string:
		if rest, ok := strings.CutPrefix(v, "hex:"); ok {
			return parquet.ByteArrayValue(unhex(t, rest))
		}
		if rest, ok := strings.CutPrefix(v, "repeat:"); ok {
			n, err := strconv.Atoi(rest)
			if err != nil {
				t.Fatal(err)
			}
			return parquet.ByteArrayValue(bytes.Repeat([]byte("x"), n))
		}
		return parquet.ByteArrayValue([]byte(v))
	case float64:
		return parquet.DoubleValue(v)
	case int:
		switch leaf.Node.Type().Kind() {
		case parquet.Int32:
			return parquet.Int32Value(int32(v))
		case parquet.Double:
			return parquet.DoubleValue(float64(v))
		}
		return parquet.Int64Value(int64(v))
	}
	t.Fatalf("cell %v of type %T", value, value)
	return parquet.Value{}
}

func (o *goldenObject) schema(t *testing.T) *parquet.Schema {
	t.Helper()
	layout, err := parquetfile.NewLayout(loadContract(t))
	if err != nil {
		t.Fatal(err)
	}
	group := parquet.Group{}
	for _, field := range layout.Schema.Fields() {
		group[field.Name()] = field
	}
	for _, name := range o.Schema.Drop {
		delete(group, name)
	}
	nodes := map[string]parquet.Node{
		"double": parquet.Leaf(parquet.DoubleType), "string": parquet.String(), "int64": parquet.Int(64), "plain_int64": parquet.Leaf(parquet.Int64Type),
		"int32": parquet.Int(32), "timestamp_ns": parquet.Timestamp(parquet.Nanosecond),
		"timestamp_local": parquet.TimestampAdjusted(parquet.Microsecond, false), "boolean": parquet.Leaf(parquet.BooleanType),
		"decimal(18,2)": parquet.Decimal(2, 18, parquet.Int64Type),
		"bytes":         parquet.Leaf(parquet.ByteArrayType), "group": parquet.Group{"inner": parquet.String()}, "list": parquet.Repeated(parquet.Int(64)),
	}
	for changes, optional := range map[*map[string]string]bool{&o.Schema.Retype: true, &o.Schema.Add: true} {
		for name, kind := range *changes {
			node, known := nodes[kind]
			if !known {
				t.Fatalf("type %q is unknown", kind)
			}
			if optional && kind != "list" {
				node = parquet.Optional(node)
			}
			group[name] = node
		}
	}
	for i := range o.Schema.AddMany {
		group[fmt.Sprintf("extra_%d", i)] = parquet.Optional(parquet.String())
	}
	return parquet.NewSchema("purchases", group)
}

func unhex(t *testing.T, text string) []byte {
	t.Helper()
	raw, err := hex.DecodeString(text)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}
