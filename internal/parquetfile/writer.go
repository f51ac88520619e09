package parquetfile

import (
	"fmt"
	"io"
	"strconv"
	"unsafe"

	"github.com/parquet-go/parquet-go"

	"github.com/shop-connect/shop-connect/internal/columns"
	"github.com/shop-connect/shop-connect/internal/contract"
)

// chunkRows is how many rows of a column are handed over at a time: a page can outgrow its size by so
// many, and their values stay in the processor's cache.
const chunkRows = 512

// Writer writes files of one layout, one after the other, and keeps its buffers between them. It is not
// safe for concurrent use.
type Writer struct {
	layout  *Layout
	file    *parquet.GenericWriter[any]
	scratch []parquet.Value
}

// NewWriter makes a writer.
func (l *Layout) NewWriter(compression Compression) *Writer {
	return &Writer{
		layout:  l,
		file:    parquet.NewGenericWriter[any](io.Discard, l.WriterOptions(compression)...),
		scratch: make([]parquet.Value, chunkRows),
	}
}

// WriteFile writes a whole file of the rows of a batch that are named by their numbers, one or more of
// them in offset order. value returns the bytes that a row came as.
func (w *Writer) WriteFile(out io.Writer, b *columns.Batch, rows []int32, value func(row int32) []byte) error {
	w.file.Reset(out)
	w.describe(b.Position[rows[0]].Offset, b.Position[rows[len(rows)-1]].Offset)
	for len(rows) > 0 {
		n := min(len(rows), RowGroupRows)
		if err := w.writeRowGroup(b, rows[:n], value); err != nil {
			return fmt.Errorf("writing Parquet rows: %w", err)
		}
		rows = rows[n:]
	}
	if err := w.file.Close(); err != nil {
		return fmt.Errorf("writing Parquet footer: %w", err)
	}
	return nil
}

func (w *Writer) describe(first, last int64) {
	w.file.SetKeyValueMetadata(MetaEntity, w.layout.Contract.Entity)
	w.file.SetKeyValueMetadata(MetaVersion, strconv.Itoa(w.layout.Contract.Version))
	w.file.SetKeyValueMetadata(MetaFirstOffset, strconv.FormatInt(first, 10))
	w.file.SetKeyValueMetadata(MetaLastOffset, strconv.FormatInt(last, 10))
}

func (w *Writer) writeRowGroup(b *columns.Batch, rows []int32, value func(row int32) []byte) error {
	fills := make([]fill, 0, len(b.Columns)+6)
	for i := range b.Columns {
		fills = append(fills, fieldFill(w.layout.Contract.Fields[i].Type, &b.Columns[i]))
	}
	fills = append(fills,
		required(func(row int32) parquet.Value { return parquet.BooleanValue(b.Deleted[row]) }),
		required(func(row int32) parquet.Value { return parquet.ByteArrayValue(view(b.Position[row].Topic)) }),
		required(func(row int32) parquet.Value { return parquet.Int32Value(b.Position[row].Partition) }),
		required(func(row int32) parquet.Value { return parquet.Int64Value(b.Position[row].Offset) }),
		required(func(row int32) parquet.Value { return parquet.Int64Value(b.Position[row].Timestamp) }),
		required(func(row int32) parquet.Value { return parquet.ByteArrayValue(value(row)) }),
	)
	for i, column := range w.file.ColumnWriters() {
		for rest := rows; len(rest) > 0; {
			chunk := w.scratch[:min(len(rest), chunkRows)]
			fills[i](chunk, rest)
			if _, err := column.WriteRowValues(chunk); err != nil {
				return err
			}
			rest = rest[len(chunk):]
		}
	}
	return w.file.Flush()
}

// fill sets values to those of the first len(values) rows of one column.
type fill func(values []parquet.Value, rows []int32)

func required(at func(row int32) parquet.Value) fill {
	return func(values []parquet.Value, rows []int32) {
		for i := range values {
			values[i] = at(rows[i])
		}
	}
}

func fieldFill(t contract.Type, col *columns.Column) fill {
	switch t {
	case contract.String:
		return optional(col, func(row int32) parquet.Value { return parquet.ByteArrayValue(col.Text.At(int(row))) })
	case contract.Date:
		return optional(col, func(row int32) parquet.Value { return parquet.Int32Value(int32(col.Int[row])) })
	case contract.Bool:
		return optional(col, func(row int32) parquet.Value { return parquet.BooleanValue(col.Int[row] != 0) })
	default:
		return optional(col, func(row int32) parquet.Value { return parquet.Int64Value(col.Int[row]) })
	}
}

func optional(col *columns.Column, at func(row int32) parquet.Value) fill {
	return func(values []parquet.Value, rows []int32) {
		for i := range values {
			row := rows[i]
			if col.Null[row] {
				values[i] = parquet.Value{}
				continue
			}
			values[i] = at(row)
			values[i].SetDefinitionLevel(1)
		}
	}
}

// view returns the bytes of a text without copying them; they must not be changed.
func view(s string) []byte { return unsafe.Slice(unsafe.StringData(s), len(s)) }
