package erasure

import (
	"bytes"
	"fmt"
	"reflect"
	"testing"
	"time"

	"github.com/parquet-go/parquet-go"

	"github.com/shop-connect/shop-connect/internal/columns"
	"github.com/shop-connect/shop-connect/internal/contract"
	"github.com/shop-connect/shop-connect/internal/parquetfile"
	"github.com/shop-connect/shop-connect/internal/quarantine"
	"github.com/shop-connect/shop-connect/internal/store"
)

// raw is an object of RAW, as its sink writes it.
func raw(t *testing.T, layout *parquetfile.Layout, values ...string) []byte {
	t.Helper()
	decoder, batch := columns.NewDecoder(layout.Contract, columns.Typed, time.UTC), columns.NewBatch(layout.Contract, 0)
	rows := make([]int32, len(values))
	for i, value := range values {
		rows[i] = int32(i)
		pos := columns.Position{Topic: layout.Contract.Entity, Partition: 2, Offset: int64(40 + i), Timestamp: 1_700_000_000_000_000}
		if reasons, err := decoder.Append(batch, []byte(value), pos, i); err != nil || len(reasons) > 0 {
			t.Fatal(value, reasons, err)
		}
	}
	var file bytes.Buffer
	if err := layout.NewWriter(parquetfile.Zstd).WriteFile(&file, batch, rows, func(row int32) []byte { return []byte(values[row]) }); err != nil {
		t.Fatal(err)
	}
	return file.Bytes()
}

func open(t *testing.T, content []byte) *rowsFile {
	t.Helper()
	f, err := openTable(bytes.NewReader(content), int64(len(content)))
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// printed is each row of a file as text.
func (t *rowsFile) printed(test *testing.T) (rows []string) {
	test.Helper()
	for number := range t.RowGroups() {
		err := t.eachRow(number, 0, func(found []parquet.Row, _ int64) error {
			for _, row := range found {
				rows = append(rows, fmt.Sprintf("%v", row))
			}
			return nil
		})
		if err != nil {
			test.Fatal(err)
		}
	}
	return rows
}

func all(int) (bool, error) { return false, nil }

func TestI4AnErasedRowKeepsItsPlaceAndNobodyElsesChanges(t *testing.T) {
	contracts, err := contract.LoadDir("../../pipelines/contracts")
	if err != nil {
		t.Fatal(err)
	}
	for entity, values := range map[string][]string{
		"customers": {
			`{"customer_id":6,"first_name":"Bo","last_name":"Ray","email":"bo@example.org","created_at":"2026-01-01T00:00:00Z"}`,
			`{"customer_id":7,"first_name":"Zoe","last_name":"Quill","email":"zoe@example.org","phone":"+44 117 496","nickname":"Zed"}`,
			`{"first_name":"Zoe","email":"ZOE@example.org"}`,
			`{"customer_id":8,"first_name":"Zoe","last_name":"Other","email":"another@example.org"}`,
		},
		"purchases": {
			`{"id":"a","product_id":"lamp","customer_id":6,"seller_id":1,"quantity":1,"price_at_time":1,"note":"Bo"}`,
			`{"id":"b","product_id":"lamp","customer_id":7,"seller_id":1,"quantity":1,"price_at_time":1,"note":"for Zoe"}`,
			`{"id":"c","product_id":"lamp","seller_id":1,"quantity":1,"price_at_time":1,"by":"zoe@example.org"}`,
			`{"id":"d","product_id":"lamp","customer_id":7,"seller_id":1,"quantity":1,"price_at_time":1}`,
		},
	} {
		layout, err := parquetfile.NewLayout(contracts[entity])
		if err != nil {
			t.Fatal(err)
		}
		before := open(t, raw(t, layout, values...))
		p := newPerson(&store.Erasure{CustomerID: 7, Clues: store.Clues{Emails: []string{"zoe@example.org"}}}, contracts)
		edit := p.lakeEditor(entity)
		if refers, err := before.mayRefer(0, 7); !refers || err != nil {
			t.Errorf("%s: statistics hide the person, %v", entity, err)
		}
		if n, err := before.count(all, edit); n != 2 || err != nil {
			t.Errorf("%s: %d rows to be edited, %v", entity, n, err)
		}
		content, err := before.edited(layout, edit)
		if err != nil {
			t.Fatal(err)
		}
		after := open(t, content)
		if !reflect.DeepEqual(after.Metadata().Schema, before.Metadata().Schema) || !reflect.DeepEqual(after.Metadata().KeyValueMetadata, before.Metadata().KeyValueMetadata) {
			t.Errorf("%s: the file has another form", entity)
		}
		if n, err := after.count(all, edit); n != 0 || err != nil {
			t.Errorf("%s: %d rows are still to be edited, %v", entity, n, err)
		}
		was, is := before.printed(t), after.printed(t)
		for i := range was {
			if changed := was[i] != is[i]; changed != (i == 1 || i == 2) {
				t.Errorf("%s, row %d was\n%s and is\n%s", entity, i, was[i], is[i])
			}
		}
		if found := p.hasClue(content); found || bytes.Contains([]byte(fmt.Sprint(is)), []byte("Zed")) || bytes.Contains([]byte(fmt.Sprint(is)), []byte("for Zoe")) {
			t.Errorf("%s: the person is in %v", entity, is)
		}
		err = after.eachRow(0, 0, func(rows []parquet.Row, _ int64) error {
			for i, row := range rows {
				if offset, ok := after.number(row, parquetfile.ColumnOffset); !ok || offset != int64(40+i) {
					t.Errorf("%s, row %d has offset %d", entity, i, offset)
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

func TestARowGroupThatCannotReferToThePersonIsNotRead(t *testing.T) {
	rules, err := contract.Load("../../pipelines/contracts/customers.yaml")
	if err != nil {
		t.Fatal(err)
	}
	layout, err := parquetfile.NewLayout(rules)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		values []string
		want   bool
	}{
		"others":       {[]string{`{"customer_id":8}`, `{"customer_id":9}`}, false},
		"around":       {[]string{`{"customer_id":6}`, `{"customer_id":9}`}, false},
		"theirs":       {[]string{`{"customer_id":6}`, `{"customer_id":7}`}, true},
		"nobody's too": {[]string{`{"customer_id":8}`, `{"email":"a@example.org"}`}, true},
		"nobody's":     {[]string{`{"email":"a@example.org"}`}, true},
	} {
		if refers, err := open(t, raw(t, layout, c.values...)).mayRefer(0, 7); refers != c.want || err != nil {
			t.Errorf("%s: %v, %v", name, refers, err)
		}
	}
}

func TestARefusedRowKeepsItsPlaceAndTheRulesItBroke(t *testing.T) {
	rows := []quarantine.Row{
		{Entity: "customers", Layer: "raw", Source: "customers-1-5", Reasons: `[{"field":"email","rule":"type","message":"must be a text, is Zoe"}]`, Value: []byte(`{"customer_id":7,"email":5}`), Topic: "customers.rejected", Offset: 3},
		{Entity: "customers", Layer: "raw", Source: "customers-1-6", Reasons: `[{"field":"email","rule":"type","message":"must be a text, is 6"}]`, Value: []byte(`{"customer_id":8,"email":6}`), Topic: "customers.rejected", Offset: 4},
	}
	var file bytes.Buffer
	if err := parquet.Write(&file, rows); err != nil {
		t.Fatal(err)
	}
	p := newPerson(&store.Erasure{CustomerID: 7}, nil)
	places := store.Places{}
	content, err := open(t, file.Bytes()).edited(nil, p.refusedEditor("customers", func(row *quarantine.Row, number int64) { places.Add(row.Place("x", number)) }))
	if err != nil {
		t.Fatal(err)
	}
	after, err := parquet.Read[quarantine.Row](bytes.NewReader(content), int64(len(content)))
	if err != nil || len(after) != 2 || !reflect.DeepEqual(after[1], rows[1]) {
		t.Fatalf("%+v, %v", after, err)
	}
	if string(after[0].Value) != `{"customer_id":7,"deleted":true}` || quarantine.Label(after[0].Reasons) != "email type" || after[0].Source != rows[0].Source || bytes.Contains(content, []byte("is Zoe")) {
		t.Errorf("%+v", after[0])
	}
	if places.Len() != 1 || !places.Has("customers-1", 5) {
		t.Errorf("%v", places)
	}
}
