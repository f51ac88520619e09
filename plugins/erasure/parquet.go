package erasure

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"reflect"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/format"

	"github.com/shop-connect/shop-connect/internal/parquetfile"
)

// errUnlike is of an object that is no flat Parquet file: nobody but its writer knows what its rows are.
var errUnlike = errors.New("is no Parquet file with one value a column")

// rowsFile is a Parquet file whose rows are looked at.
type rowsFile struct {
	*parquet.File
	// column is where the leaves are by name, optional which of them may be null.
	column   map[string]int
	optional []bool
}

func openTable(r io.ReaderAt, size int64) (t *rowsFile, err error) {
	defer func() {
		// parquet-go trusts what a file says of itself; one that lies must not end the process
		if p := recover(); p != nil {
			t, err = nil, errUnlike
		}
	}()
	f, err := parquet.OpenFile(r, size, parquet.SkipPageIndex(true), parquet.SkipBloomFilters(true))
	if err != nil {
		return nil, errors.Join(errUnlike, err)
	}
	t = &rowsFile{File: f, column: map[string]int{}}
	for i, c := range f.Root().Columns() {
		if !c.Leaf() || c.Repeated() {
			return nil, errUnlike
		}
		t.column[c.Name()] = i
		t.optional = append(t.optional, c.Optional())
	}
	return t, nil
}

// at is where a column is, -1 where there is none.
func (t *rowsFile) at(name string) int {
	if i, there := t.column[name]; there {
		return i
	}
	return -1
}

// mayRefer tells by the statistics of a row group, and else by one column of it, whether a row refers to a
// customer or does not say to whom: what it cannot have is not read.
func (t *rowsFile) mayRefer(number int, id int64) (bool, error) {
	at := t.at(columnCustomer)
	if at < 0 {
		return true, nil
	}
	meta := &t.Metadata().RowGroups[number].Columns[at].MetaData
	if meta.Type != format.Int64 {
		return true, nil
	}
	if s := &meta.Statistics; len(s.MinValue) == 8 && len(s.MaxValue) == 8 && s.NullCount == 0 {
		if low, high := int64(binary.LittleEndian.Uint64(s.MinValue)), int64(binary.LittleEndian.Uint64(s.MaxValue)); id < low || id > high {
			return false, nil
		}
	}
	found := false
	err := eachValue(t.RowGroups()[number].ColumnChunks()[at], func(v parquet.Value) {
		found = found || v.IsNull() || v.Int64() == id
	})
	return found, err
}

func eachValue(chunk parquet.ColumnChunk, do func(parquet.Value)) error {
	pages := chunk.Pages()
	defer pages.Close()
	buffer := make([]parquet.Value, 512)
	for {
		page, err := pages.ReadPage()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		values := page.Values()
		for {
			n, err := values.ReadValues(buffer)
			for _, v := range buffer[:n] {
				do(v)
			}
			if errors.Is(err, io.EOF) {
				break
			}
			if err == nil && n == 0 {
				err = io.ErrNoProgress
			}
			if err != nil {
				parquet.Release(page)
				return err
			}
		}
		parquet.Release(page)
	}
}

// editor changes a row where it is the person's, and says whether it did. The number is that of the row in
// the file.
type editor func(t *rowsFile, row parquet.Row, number int64) bool

// rowsAtOnce is how many rows are decoded at a time.
const rowsAtOnce = 64

// eachRow hands over the rows of a row group, which are valid until the next one is.
func (t *rowsFile) eachRow(number int, first int64, do func(rows []parquet.Row, first int64) error) error {
	rows := t.RowGroups()[number].Rows()
	defer rows.Close()
	buffer := make([]parquet.Row, rowsAtOnce)
	for {
		n, err := rows.ReadRows(buffer)
		if n > 0 {
			if err := do(buffer[:n], first); err != nil {
				return err
			}
			first += int64(n)
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err == nil && n == 0 {
			err = io.ErrNoProgress
		}
		if err != nil {
			return err
		}
	}
}

// count returns how many rows an editor would change. Row groups for which skip says so are not read.
func (t *rowsFile) count(skip func(number int) (bool, error), edit editor) (n int64, err error) {
	defer damaged(&err)
	first := int64(0)
	for number, group := range t.RowGroups() {
		leave, err := skip(number)
		if err == nil && !leave {
			err = t.eachRow(number, first, func(rows []parquet.Row, first int64) error {
				for i, row := range rows {
					if edit(t, row, first+int64(i)) {
						n++
					}
				}
				return nil
			})
		}
		if err != nil {
			return 0, errors.Join(errUnlike, err)
		}
		first += group.NumRows()
	}
	return n, nil
}

func damaged(err *error) {
	if p := recover(); p != nil {
		*err = errors.Join(errUnlike, fmt.Errorf("decoding: %v", p))
	}
}

// edited returns the file with its rows as the editor leaves them: in the same order and row groups, with the
// same columns and footer, so that whoever counts rows or knows them by their offsets sees no difference.
func (t *rowsFile) edited(layout *parquetfile.Layout, edit editor) (content []byte, err error) {
	defer damaged(&err)
	var file bytes.Buffer
	w := parquet.NewGenericWriter[any](&file, t.options(layout)...)
	for _, kv := range t.Metadata().KeyValueMetadata {
		w.SetKeyValueMetadata(kv.Key, kv.Value)
	}
	first := int64(0)
	for number, group := range t.RowGroups() {
		err := t.eachRow(number, first, func(rows []parquet.Row, first int64) error {
			for i, row := range rows {
				edit(t, row, first+int64(i))
			}
			_, err := w.WriteRows(rows)
			return err
		})
		if err == nil {
			err = w.Flush()
		}
		if err != nil {
			return nil, fmt.Errorf("writing rows again: %w", err)
		}
		first += group.NumRows()
	}
	if err := w.Close(); err != nil {
		return nil, fmt.Errorf("writing rows again: %w", err)
	}
	// what takes the place of an object must be readable, and whole
	again, err := openTable(bytes.NewReader(file.Bytes()), int64(file.Len()))
	if err != nil {
		return nil, fmt.Errorf("reading rewritten rows: %w", err)
	}
	if again.NumRows() != t.NumRows() {
		return nil, fmt.Errorf("rewriting %d rows made %d of them", t.NumRows(), again.NumRows())
	}
	return file.Bytes(), nil
}

// options write a file of our own as our own writers do, and any other with its own schema.
func (t *rowsFile) options(layout *parquetfile.Layout) []parquet.WriterOption {
	if layout != nil {
		var file bytes.Buffer
		options := layout.WriterOptions(parquetfile.Zstd)
		w := parquet.NewGenericWriter[any](&file, options...)
		if w.Close() == nil {
			like, err := parquet.OpenFile(bytes.NewReader(file.Bytes()), int64(file.Len()))
			if err == nil && reflect.DeepEqual(like.Metadata().Schema[1:], t.Metadata().Schema[1:]) {
				return options
			}
		}
	}
	return []parquet.WriterOption{t.Schema(), parquetfile.Zstd.WriterOption(), parquet.MaxRowsPerRowGroup(parquetfile.RowGroupRows), parquet.DataPageStatistics(true)}
}

// set changes a value of a row.
func (t *rowsFile) set(row parquet.Row, at int, v parquet.Value) {
	level := 0
	if t.optional[at] {
		level = 1
	}
	row[at] = v.Level(0, level, at)
}

// clear takes a value away; where it may not be null, it becomes an empty one.
func (t *rowsFile) clear(row parquet.Row, at int) {
	if t.optional[at] {
		row[at] = parquet.NullValue().Level(0, 0, at)
		return
	}
	row[at] = parquet.ZeroValue(t.Root().Columns()[at].Type().Kind()).Level(0, 0, at)
}

func (t *rowsFile) isClear(row parquet.Row, at int) bool {
	v := row[at]
	return v.IsNull() || v.Kind() != parquet.Boolean && !t.optional[at] && parquet.Equal(v, parquet.ZeroValue(v.Kind()))
}

// text is a value of bytes, empty where there is none.
func (t *rowsFile) text(row parquet.Row, name string) []byte {
	at := t.at(name)
	if at < 0 || row[at].IsNull() || row[at].Kind() != parquet.ByteArray {
		return nil
	}
	return row[at].ByteArray()
}

// origin is the partition that the rows came from; ok is false where they never were in Kafka.
func (t *rowsFile) origin() (topic string, partition int32, ok bool) {
	defer func() {
		if recover() != nil {
			ok = false // a damaged file has no rows that anybody stages
		}
	}()
	rows := t.RowGroups()[0].Rows()
	defer rows.Close()
	buffer := make([]parquet.Row, 1)
	if n, _ := rows.ReadRows(buffer); n == 0 {
		return "", 0, false
	}
	topic = string(t.text(buffer[0], parquetfile.ColumnTopic))
	number, _ := t.number(buffer[0], parquetfile.ColumnPartition)
	return topic, int32(number), topic != ""
}

// number is a value of an integer column.
func (t *rowsFile) number(row parquet.Row, name string) (n int64, ok bool) {
	at := t.at(name)
	if at < 0 || row[at].IsNull() {
		return 0, false
	}
	switch row[at].Kind() {
	case parquet.Int64:
		return row[at].Int64(), true
	case parquet.Int32:
		return int64(row[at].Int32()), true
	}
	return 0, false
}
