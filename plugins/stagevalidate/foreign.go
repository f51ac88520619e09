package stagevalidate

import (
	"cmp"
	"errors"
	"fmt"
	"io"

	"github.com/parquet-go/parquet-go"

	"github.com/shop-connect/shop-connect/internal/money"
	"github.com/shop-connect/shop-connect/internal/parquetfile"
)

// Other writers have forms of their own for the same values: numbers without a logical type, decimals as
// bytes, columns that all may be null. STAGE has one form only, so that all its objects are read, merged and
// copied alike: an object of another form is encoded anew, and checked as if it had come so.

const (
	decimalPrecision = 18
	// maxDecimalBytes is what 38 digits take, the most that other writers know.
	maxDecimalBytes = 16
)

// sameValues reports whether a column holds the wanted values in a form that can be converted exactly.
func sameValues(have, want parquet.Type) bool {
	is, must := have.String(), want.String()
	switch {
	case is == must && have.Kind() == want.Kind():
		return true
	case must == "INT(64,true)":
		return is == "INT64" // as writers without logical types say it
	case must == "INT(32,true)":
		return is == "INT32"
	case must == "BYTE_ARRAY":
		return is == "STRING" // texts are bytes
	}
	return isDecimal(want) && isDecimal(have) && readableDecimal(have)
}

// isForeign reports whether a column that fits has another form than STAGE's.
func isForeign(have *parquet.Column, want parquet.Field) bool {
	return have.Optional() && want.Required() ||
		have.Type().Kind() != want.Type().Kind() || have.Type().String() != want.Type().String()
}

func isDecimal(t parquet.Type) bool {
	logical := t.LogicalType()
	return logical != nil && logical.Decimal != nil
}

func readableDecimal(t parquet.Type) bool {
	decimal := t.LogicalType().Decimal
	if decimal.Scale != money.Scale || decimal.Precision > decimalPrecision {
		return false
	}
	switch t.Kind() {
	case parquet.Int32, parquet.Int64:
		return true
	case parquet.FixedLenByteArray:
		return t.Length() <= maxDecimalBytes
	}
	return false
}

// describe names a type for those who write it: the values and how they are stored.
func describe(t parquet.Type) string {
	if logical := t.LogicalType(); logical == nil || logical.Integer != nil || logical.UTF8 != nil {
		return t.String()
	}
	return t.String() + " in " + t.Kind().String()
}

// converted is the file in STAGE's own form, on disk.
func (f *file) converted(compression parquetfile.Compression) (*file, *spool, error) {
	out, err := newSpool()
	if err != nil {
		return nil, nil, err
	}
	own, err := f.convertInto(out, compression)
	if err != nil {
		out.close()
		return nil, nil, err
	}
	return own, out, nil
}

func (f *file) convertInto(out *spool, compression parquetfile.Compression) (*file, error) {
	writer := parquet.NewWriter(out, f.layout.WriterOptions(compression)...)
	c := &converter{file: f, writers: writer.ColumnWriters()}
	for group := range f.RowGroups() {
		if err := f.readAhead(group); err != nil {
			return nil, err
		}
		for column := range f.columns {
			if err := c.column(group, column); err != nil {
				return nil, err
			}
		}
		if err := writer.Flush(); err != nil {
			return nil, fmt.Errorf("converting row group %d: %w", group, err)
		}
	}
	if err := c.checkPlaces(); err != nil {
		return nil, err
	}
	if err := writer.Close(); err != nil {
		return nil, fmt.Errorf("converting an object: %w", err)
	}
	local, err := out.reader()
	if err != nil {
		return nil, err
	}
	o := f.source.object
	o.size = local.Size()
	return openFile(&source{ctx: f.source.ctx, object: o, local: local}, f.layout)
}

// converter moves columns, value by value.
type converter struct {
	file    *file
	writers []*parquet.ColumnWriter

	// placed says that a row has a topic, unplaced is the first column of a row's place that is null somewhere.
	placed   bool
	unplaced string
}

// checkPlaces refuses rows that came from Kafka if it is not known from where: an offset would be made up.
func (c *converter) checkPlaces() error {
	if c.placed && c.unplaced != "" {
		return faultf("column %q is null in a row, and there are rows of a topic: write all of the row's place in Kafka, or an empty %q", c.unplaced, parquetfile.ColumnTopic)
	}
	return nil
}

func (c *converter) column(group, column int) error {
	f, to := c.file, c.writers[column]
	if f.columns[column] < 0 {
		return c.absent(to, column, int(f.RowGroups()[group].NumRows()))
	}
	buffer := make([]parquet.Value, valuesAtOnce)
	return f.eachPage(group, column, func(page parquet.Page, _ int) error {
		values := page.Values()
		for left := int(page.NumRows()); left > 0; {
			n, err := values.ReadValues(buffer[:min(left, len(buffer))])
			if n == 0 {
				if err == nil || errors.Is(err, io.EOF) {
					err = io.ErrUnexpectedEOF
				}
				return decodeError(f.source, fmt.Sprintf("row group %d, column %d", group, column), err)
			}
			left -= n
			for i := range buffer[:n] {
				if buffer[i], err = c.value(column, buffer[i]); err != nil {
					return err
				}
			}
			if _, err := to.WriteRowValues(buffer[:n]); err != nil {
				return fmt.Errorf("converting row group %d: %w", group, err)
			}
		}
		return nil
	})
}

// absent fills a column of the contract that an older file lacks.
func (c *converter) absent(to *parquet.ColumnWriter, column, rows int) error {
	nulls := make([]parquet.Value, min(rows, valuesAtOnce))
	for i := range nulls {
		nulls[i] = parquet.NullValue().Level(0, 0, column)
	}
	for ; rows > 0; rows -= len(nulls) {
		if _, err := to.WriteRowValues(nulls[:min(rows, len(nulls))]); err != nil {
			return fmt.Errorf("converting an object: %w", err)
		}
	}
	return nil
}

func (c *converter) value(column int, v parquet.Value) (parquet.Value, error) {
	want := c.file.layout.Schema.Fields()[column]
	switch {
	case v.IsNull() && want.Optional():
		return v.Level(0, 0, column), nil
	case v.IsNull():
		switch name := want.Name(); name {
		case parquetfile.ColumnPartition, parquetfile.ColumnOffset, parquetfile.ColumnTimestamp:
			c.unplaced = cmp.Or(c.unplaced, name)
		}
		return parquet.ZeroValue(want.Type().Kind()).Level(0, 0, column), nil
	}
	if want.Name() == parquetfile.ColumnTopic && len(v.ByteArray()) > 0 {
		c.placed = true
	}
	if isDecimal(want.Type()) {
		number, err := unscaled(v)
		if err != nil {
			return v, faultf("column %q: %v", want.Name(), err)
		}
		v = parquet.Int64Value(number)
	}
	if want.Optional() {
		return v.Level(0, 1, column), nil
	}
	return v.Level(0, 0, column), nil
}

// unscaled is a decimal as a multiple of its smallest part. I5: exactly, or not at all.
func unscaled(v parquet.Value) (int64, error) {
	switch v.Kind() {
	case parquet.Int32:
		return int64(v.Int32()), nil
	case parquet.Int64:
		return v.Int64(), nil
	}
	// big-endian two's complement
	bytes := v.ByteArray()
	number := int64(0)
	if len(bytes) > 0 {
		number = int64(int8(bytes[0]))
		bytes = bytes[1:]
	}
	for _, b := range bytes {
		shifted := number << 8
		if shifted>>8 != number {
			return 0, money.ErrTooLarge
		}
		number = shifted | int64(b)
	}
	return number, nil
}
