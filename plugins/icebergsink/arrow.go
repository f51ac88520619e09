package icebergsink

import (
	"unsafe"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/bitutil"
	"github.com/apache/arrow-go/v18/arrow/decimal128"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/iceberg-go/table"

	"github.com/shop-connect/shop-connect/internal/columns"
	"github.com/shop-connect/shop-connect/internal/contract"
)

// arrowSchema is the part of the table's schema that rows of the contract fill, with field ids. Columns
// that others have added to the table stay null.
func arrowSchema(tbl *table.Table, cfg *config) (*arrow.Schema, error) {
	whole, err := table.SchemaToArrowSchema(tbl.Schema(), nil, true, false)
	if err != nil {
		return nil, err
	}
	wanted := cfg.schema()
	fields := make([]arrow.Field, 0, wanted.NumFields())
	for _, f := range wanted.Fields() {
		fields = append(fields, whole.Field(whole.FieldIndices(f.Name)[0]))
	}
	return arrow.NewSchema(fields, nil), nil
}

// arrowRecord makes an Arrow record of some rows of a batch. With rows nil it is all of them, and strings
// and 64-bit columns are the batch's own memory: it must not be reset before they are written.
func arrowRecord(schema *arrow.Schema, b *columns.Batch, rows []int32) arrow.RecordBatch {
	n := b.Len
	if rows != nil {
		n = len(rows)
	}
	arrays := make([]arrow.Array, schema.NumFields())
	for i := range b.Columns {
		arrays[i] = columnArray(schema.Field(i).Type, b.Contract.Fields[i].Type, &b.Columns[i], rows, n)
	}
	if len(b.Columns) < len(arrays) {
		day := pick(b.Day, rows)
		arrays[len(b.Columns)] = fixed(schema.Field(len(b.Columns)).Type, n, nil, 0, bytesOf(day))
	}
	out := array.NewRecordBatch(schema, arrays, int64(n))
	for _, a := range arrays {
		a.Release()
	}
	return out
}

func columnArray(arrowType arrow.DataType, t contract.Type, col *columns.Column, rows []int32, n int) arrow.Array {
	valid, nulls := validity(col, rows, n)
	switch t {
	case contract.String:
		text := pickText(&col.Text, rows)
		data := array.NewData(arrowType, n, []*memory.Buffer{valid, memory.NewBufferBytes(bytesOf(text.Offsets)), memory.NewBufferBytes(text.Data)}, nil, nulls, 0)
		defer data.Release()
		return array.MakeFromData(data)
	case contract.Decimal:
		// I5: ten-thousandths as they are, with the table's scale of 4.
		wide := make([]decimal128.Num, n)
		for i, v := range pick(col.Int, rows) {
			wide[i] = decimal128.FromI64(v)
		}
		return fixed(arrowType, n, valid, nulls, bytesOf(wide))
	case contract.Date:
		narrow := make([]int32, n)
		for i, v := range pick(col.Int, rows) {
			narrow[i] = int32(v)
		}
		return fixed(arrowType, n, valid, nulls, bytesOf(narrow))
	case contract.Bool:
		flags := make([]byte, bitutil.BytesForBits(int64(n)))
		for i, v := range pick(col.Int, rows) {
			bitutil.SetBitTo(flags, i, v != 0)
		}
		return fixed(arrowType, n, valid, nulls, flags)
	default:
		return fixed(arrowType, n, valid, nulls, bytesOf(pick(col.Int, rows)))
	}
}

func fixed(t arrow.DataType, n int, valid *memory.Buffer, nulls int, values []byte) arrow.Array {
	data := array.NewData(t, n, []*memory.Buffer{valid, memory.NewBufferBytes(values)}, nil, nulls, 0)
	defer data.Release()
	return array.MakeFromData(data)
}

func validity(col *columns.Column, rows []int32, n int) (*memory.Buffer, int) {
	if col.Nulls == 0 {
		return nil, 0
	}
	bitmap, nulls := make([]byte, bitutil.BytesForBits(int64(n))), 0
	for i := range n {
		row := i
		if rows != nil {
			row = int(rows[i])
		}
		if col.Null[row] {
			nulls++
		} else {
			bitutil.SetBit(bitmap, i)
		}
	}
	if nulls == 0 {
		return nil, 0
	}
	return memory.NewBufferBytes(bitmap), nulls
}

func pick[T any](values []T, rows []int32) []T {
	if rows == nil {
		return values
	}
	picked := make([]T, len(rows))
	for i, row := range rows {
		picked[i] = values[row]
	}
	return picked
}

func pickText(t *columns.Text, rows []int32) columns.Text {
	if rows == nil {
		return *t
	}
	size := 0
	for _, row := range rows {
		size += int(t.Offsets[row+1] - t.Offsets[row])
	}
	picked := columns.Text{Offsets: make([]int32, 1, len(rows)+1), Data: make([]byte, 0, size)}
	for _, row := range rows {
		picked.Data = append(picked.Data, t.At(int(row))...)
		picked.Offsets = append(picked.Offsets, int32(len(picked.Data)))
	}
	return picked
}

// bytesOf views numbers as the bytes they are in memory, which is what an Arrow buffer holds.
func bytesOf[T any](values []T) []byte {
	if len(values) == 0 {
		return []byte{}
	}
	return unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(values))), len(values)*int(unsafe.Sizeof(values[0])))
}
