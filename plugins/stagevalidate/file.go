package stagevalidate

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/parquet-go/parquet-go"

	"github.com/shop-connect/shop-connect/internal/parquetfile"
)

const (
	readBufferBytes = 256 << 10
	// Bounds on what one object may ask of memory; RAW writes a sixteenth of it.
	maxRowGroupRows   = 16 << 20
	maxRowGroupBytes  = 8 << 30
	maxRowGroupChunks = 2000
)

// fault says why an object as a whole is refused: it is not a Parquet file of its contract.
type fault struct{ reason string }

func (f fault) Error() string { return f.reason }

func faultf(format string, args ...any) error { return fault{fmt.Sprintf(format, args...)} }

// file is an open RAW object whose columns are those of the contract.
type file struct {
	*parquet.File
	source *source
	layout *parquetfile.Layout
	// columns holds, for each column of the layout, its place in the file, or -1 where an older file lacks it.
	columns []int
	// complete says that the file has every column of the layout, in its order and as optional as there.
	complete bool
	// foreign says that values are in another form than STAGE's, and are to be converted before they are read.
	foreign bool

	// sound says of which column chunks, by row group and column, the pages are of reasonable size.
	sound map[[2]int]bool
	pages parquetfile.PageCheck
	// scratch holds the partitions of a page.
	scratch []int64
}

func openFile(src *source, layout *parquetfile.Layout) (*file, error) {
	if src.object.size == 0 {
		return nil, fault{"is empty: 0 bytes"}
	}
	opened, err := parquet.OpenFile(src, src.object.size,
		parquet.SkipPageIndex(true), parquet.SkipBloomFilters(true), parquet.ReadBufferSize(readBufferBytes))
	if err != nil {
		return nil, decodeError(src, "is not a readable Parquet file", err)
	}
	f := &file{
		File: opened, source: src, layout: layout,
		sound: map[[2]int]bool{}, pages: parquetfile.PageCheck{From: src, Size: src.object.size},
	}
	if err := f.matchSchema(); err != nil {
		return nil, err
	}
	return f, f.checkSize()
}

// decodeError tells the store's errors, which are worth another try, from those of the object's bytes.
func decodeError(src *source, what string, err error) error {
	var already fault
	switch {
	case src.trouble != nil:
		return src.trouble
	case errors.As(err, &already):
		return err
	case errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF):
		return faultf("%s: it ends too early (%v)", what, err)
	}
	return faultf("%s: %v", what, err)
}

// matchSchema finds the layout's columns in the file and reports everything that does not fit.
func (f *file) matchSchema() error {
	var faults []string
	wanted := f.layout.Schema.Fields()
	f.columns = make([]int, len(wanted))
	byName := map[string]int{}
	for i, field := range wanted {
		byName[field.Name()] = i
		f.columns[i] = -1
	}
	found := f.Root().Columns()
	f.complete = len(found) == len(wanted)
	for i, column := range found {
		at, known := byName[column.Name()]
		if !known {
			faults = append(faults, fmt.Sprintf("column %q is not in the contract", column.Name()))
			continue
		}
		if reason := misfit(column, wanted[at]); reason != "" {
			faults = append(faults, fmt.Sprintf("column %q %s", column.Name(), reason))
		} else {
			f.foreign = f.foreign || isForeign(column, wanted[at])
		}
		f.complete = f.complete && at == i && column.Optional() == wanted[at].Optional()
		f.columns[at] = i
	}
	for i, field := range wanted {
		if f.columns[i] < 0 && (i >= len(f.layout.Contract.Fields) || i == f.layout.Contract.Key) {
			faults = append(faults, fmt.Sprintf("column %q is missing", field.Name()))
		}
	}
	if len(faults) == 0 {
		return nil
	}
	const shown = 10
	more := ""
	if len(faults) > shown {
		faults, more = faults[:shown], fmt.Sprintf(" and %d more", len(faults)-shown)
	}
	return faultf("does not have the columns of contract %q version %d: %s%s",
		f.layout.Contract.Entity, f.layout.Contract.Version, strings.Join(faults, "; "), more)
}

// misfit says what is wrong with a column's type, or "".
func misfit(have *parquet.Column, want parquet.Field) string {
	if !have.Leaf() {
		return "is nested, must be " + want.Type().String()
	}
	if have.Repeated() {
		return "is repeated, must hold one value a row"
	}
	if sameValues(have.Type(), want.Type()) {
		return ""
	}
	others := ""
	if isDecimal(want.Type()) {
		others = ", INT32 or FIXED_LEN_BYTE_ARRAY"
	}
	return fmt.Sprintf("is %s, must be %s%s", describe(have.Type()), describe(want.Type()), others)
}

func (f *file) checkSize() error {
	for i, group := range f.Metadata().RowGroups {
		if group.NumRows < 0 || group.NumRows > maxRowGroupRows || group.TotalByteSize > maxRowGroupBytes || len(group.Columns) > maxRowGroupChunks {
			return faultf("row group %d is too large: %d rows, %d bytes, %d columns", i, group.NumRows, group.TotalByteSize, len(group.Columns))
		}
		if len(group.Columns) != len(f.Root().Columns()) {
			return faultf("row group %d has %d columns, the schema %d", i, len(group.Columns), len(f.Root().Columns()))
		}
	}
	return nil
}

// readAhead reads the columns of a row group that are checked, which RAW keeps in one piece before the
// rows' bytes.
func (f *file) readAhead(group int) error {
	columns := f.Metadata().RowGroups[group].Columns
	low, high := int64(0), int64(0)
	for at, i := range f.columns {
		if i < 0 || at == f.layout.Index(parquetfile.ColumnValue) {
			continue
		}
		start, end := parquetfile.Extent(&columns[i])
		if low == 0 || start < low {
			low = start
		}
		high = max(high, end)
	}
	return f.source.readAhead(low, high-low)
}

// checkPages refuses a column chunk of which a page could take more memory than any page should.
func (f *file) checkPages(group, column int) error {
	if f.sound[[2]int{group, column}] {
		return nil
	}
	if err := f.pages.Chunk(&f.Metadata().RowGroups[group].Columns[column]); err != nil {
		return err
	}
	f.sound[[2]int{group, column}] = true
	return nil
}

// eachPage hands over the pages of a column of a row group, each with the number of its first row.
func (f *file) eachPage(group, column int, do func(page parquet.Page, first int) error) (err error) {
	name := f.layout.Schema.Fields()[column].Name()
	what := fmt.Sprintf("row group %d, column %q cannot be decoded", group, name)
	defer func() {
		// parquet-go trusts lengths and indexes of pages; one that lies must not end the process
		if p := recover(); p != nil {
			err = decodeError(f.source, what, fmt.Errorf("%v", p))
		}
	}()
	rows := f.RowGroups()[group].NumRows()
	chunk, ok := f.RowGroups()[group].ColumnChunks()[f.columns[column]].(*parquet.FileColumnChunk)
	if !ok {
		return faultf("%s: unexpected kind of column chunk", what)
	}
	if err := f.checkPages(group, f.columns[column]); err != nil {
		return decodeError(f.source, what, err)
	}
	pages := chunk.PagesFrom(f.source)
	defer pages.Close()
	first := int64(0)
	for first < rows {
		page, err := pages.ReadPage()
		if err != nil {
			return decodeError(f.source, what, err)
		}
		if n := page.NumRows(); n != page.NumValues() || first+n > rows {
			parquet.Release(page)
			return faultf("%s: its pages hold more rows than the row group's %d", what, rows)
		}
		err = do(page, int(first))
		first += page.NumRows()
		parquet.Release(page)
		if err != nil {
			return err
		}
	}
	return nil
}
