package stagevalidate

import (
	"bytes"
	"errors"
	"fmt"
	"io"

	"github.com/parquet-go/parquet-go"
)

// valuesAtOnce is how many values of a column are moved at a time.
const valuesAtOnce = 512

// rewrite decodes and encodes the good rows of a row group again, as a file of its own. It knows every form
// of column chunk that parquet-go knows, and takes several times as long as a sieve.
func (f *file) rewrite(g *rowGroup, options []parquet.WriterOption) (*parquet.File, io.ReaderAt, error) {
	if !f.complete {
		options = append(options, f.Schema())
	}
	var encoded bytes.Buffer
	encoded.Grow(int(min(f.Metadata().RowGroups[g.number].TotalCompressedSize, spanBytes)) + footerBytes)
	writer := parquet.NewWriter(&encoded, options...)
	columns := writer.ColumnWriters()
	order := f.writeOrder()
	if len(columns) != len(order) {
		return nil, nil, fmt.Errorf("rewriting row group %d: %d columns became %d", g.number, len(order), len(columns))
	}
	for i, column := range order {
		if err := f.moveColumn(g, column, columns[i]); err != nil {
			return nil, nil, err
		}
	}
	if err := errors.Join(writer.Flush(), writer.Close()); err != nil {
		return nil, nil, fmt.Errorf("rewriting row group %d: %w", g.number, err)
	}
	reader := bytes.NewReader(encoded.Bytes())
	rewritten, err := parquet.OpenFile(reader, reader.Size(), parquet.SkipPageIndex(true), parquet.SkipBloomFilters(true))
	if err != nil {
		return nil, nil, fmt.Errorf("reading rewritten row group %d: %w", g.number, err)
	}
	return rewritten, reader, nil
}

// writeOrder returns the columns of the layout in the order in which the file has them.
func (f *file) writeOrder() []int {
	order := make([]int, len(f.Root().Columns()))
	for column, at := range f.columns {
		if at >= 0 {
			order[at] = column
		}
	}
	return order
}

func (f *file) moveColumn(g *rowGroup, column int, to *parquet.ColumnWriter) error {
	buffer := make([]parquet.Value, valuesAtOnce)
	return f.eachPage(g.number, column, func(page parquet.Page, first int) error {
		values := page.Values()
		for row, end := first, first+int(page.NumRows()); row < end; {
			n, err := values.ReadValues(buffer)
			if n == 0 {
				if err == nil {
					err = io.ErrNoProgress
				}
				return decodeError(f.source, fmt.Sprintf("row group %d, column %d", g.number, column), err)
			}
			kept := 0
			for i := range n {
				if g.marks[row+i]&(markSkipped|markRefused) == 0 {
					buffer[kept] = buffer[i]
					kept++
				}
			}
			row += n
			if kept == 0 {
				continue
			}
			if _, err := to.WriteRowValues(buffer[:kept]); err != nil {
				return fmt.Errorf("rewriting row group %d: %w", g.number, err)
			}
		}
		return nil
	})
}
