package erasure

import (
	"encoding/json"

	"github.com/parquet-go/parquet-go"

	"github.com/shop-connect/shop-connect/internal/contract"
	"github.com/shop-connect/shop-connect/internal/parquetfile"
	"github.com/shop-connect/shop-connect/internal/quarantine"
)

// lakeEditor edits rows of RAW and STAGE. A row of the person in `customers` becomes what a deletion is there:
// the number, `deleted`, its place in Kafka, and nothing else. So every count stays what it was (I4).
func (p *person) lakeEditor(entity string) editor {
	return func(t *rowsFile, row parquet.Row, _ int64) bool {
		id, said := t.number(row, columnCustomer)
		if said && id != p.id {
			return false
		}
		value := t.text(row, parquetfile.ColumnValue)
		kept, changed := p.rewrite(entity, value)
		switch {
		case said && entity == entityCustomers:
			p.know(string(t.text(row, columnEmail)), string(t.text(row, columnPhone)), string(t.text(row, columnLastName)))
			if !changed && t.onlyNumber(row, p.fields[entity]) {
				return false
			}
			t.strip(row, p.fields[entity], p.bare())
		case said, entity != entityCustomers && changed && !p.inTexts(t, row):
			t.setValue(row, kept)
			return changed
		case changed, p.inTexts(t, row):
			t.strip(row, p.fields[entity], nobody)
		default:
			return false
		}
		return true
	}
}

// strip leaves a row its customer's number, its place in Kafka, and that it is gone.
func (t *rowsFile) strip(row parquet.Row, fields []string, value []byte) {
	for _, name := range fields {
		if at := t.at(name); at >= 0 && name != columnCustomer {
			t.clear(row, at)
		}
	}
	if at := t.at(parquetfile.ColumnDeleted); at >= 0 {
		t.set(row, at, parquet.BooleanValue(true))
	}
	if len(t.text(row, parquetfile.ColumnValue)) > 0 {
		t.setValue(row, value)
	}
}

func (t *rowsFile) setValue(row parquet.Row, value []byte) {
	if at := t.at(parquetfile.ColumnValue); at >= 0 && !row[at].IsNull() {
		t.set(row, at, parquet.ByteArrayValue(value))
	}
}

// onlyNumber reports whether a row has nothing of its contract but the customer's number.
func (t *rowsFile) onlyNumber(row parquet.Row, fields []string) bool {
	for _, name := range fields {
		at := t.at(name)
		if at >= 0 && name != columnCustomer && name != parquetfile.ColumnDeleted && !t.isClear(row, at) {
			return false
		}
	}
	return true
}

// inTexts reports whether a column of a row that does not say whose it is holds a clue.
func (p *person) inTexts(t *rowsFile, row parquet.Row) bool {
	var all []byte
	for name := range t.column {
		if name != parquetfile.ColumnValue {
			all = append(append(all, t.text(row, name)...), '\n')
		}
	}
	return p.hasClue(all)
}

// The columns of a refused row.
const (
	columnReasons       = "reasons"
	columnReplayReasons = "replay_reasons"
)

// refusedEditor edits rows of the quarantine. The row stays, with its place and with what rules it broke;
// what the reasons quote of it goes with its bytes. found is told of each.
func (p *person) refusedEditor(entity string, found func(row *quarantine.Row, number int64)) editor {
	return func(t *rowsFile, row parquet.Row, number int64) bool {
		kept, changed := p.rewrite(entity, t.text(row, parquetfile.ColumnValue))
		if !changed && !p.hasClue(t.text(row, columnReasons)) && !p.hasClue(t.text(row, columnReplayReasons)) {
			return false
		}
		found(t.refused(row), number)
		t.setValue(row, kept)
		for _, name := range []string{columnReasons, columnReplayReasons} {
			if text := t.text(row, name); text != nil {
				t.set(row, t.at(name), parquet.ByteArrayValue(unquoted(text)))
			}
		}
		return true
	}
}

// unquoted is reasons without what they quote.
func unquoted(text []byte) []byte {
	var reasons []contract.Reason
	if json.Unmarshal(text, &reasons) != nil {
		reasons = []contract.Reason{{}}
	}
	for i := range reasons {
		reasons[i].Message = "what was refused is erased"
	}
	return []byte(quarantine.ReasonsJSON(reasons))
}

// refused is what of a refused row says where it belongs.
func (t *rowsFile) refused(row parquet.Row) *quarantine.Row {
	partition, _ := t.number(row, parquetfile.ColumnPartition)
	offset, _ := t.number(row, parquetfile.ColumnOffset)
	at, _ := t.number(row, "refused_at")
	return &quarantine.Row{
		Layer: string(t.text(row, "layer")), Source: string(t.text(row, "source")), RefusedAt: at,
		Topic: string(t.text(row, parquetfile.ColumnTopic)), Partition: int32(partition), Offset: offset,
	}
}
