package lakeupkeep

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"

	"github.com/RoaringBitmap/roaring/v2/roaring64"
	"github.com/parquet-go/parquet-go"

	"github.com/shop-connect/shop-connect/internal/parquetfile"
	"github.com/shop-connect/shop-connect/internal/store"
)

const (
	// properRows is from where on a row group is copied as it is: it costs nothing and reads well enough.
	properRows = parquetfile.RowGroupRows / 4
	// groupBytes ends a row group whose rows are long.
	groupBytes = 64 << 20
)

// errBackwards is of an object with rows between those that are merged already: it begins another merge.
var errBackwards = errors.New("the object has rows between those of objects before it")

// merge is a merged object on its way: on disk, since memory is for one row group and one source.
type merge struct {
	layout *parquetfile.Layout
	slice  store.Slice
	// like is an empty file of the layout.
	like *parquet.File

	file   *os.File
	buffer *bufio.Writer
	splice *parquetfile.Splice

	// group is the row group at hand, in a file of its own.
	group               bytes.Buffer
	writer              *parquet.GenericWriter[any]
	groupRows, groupHas int64

	sources        []store.Object
	taken          int64 // bytes of the sources
	rows, repeated int64
	first, last    int64
	seen           *roaring64.Bitmap
}

func newMerge(layout *parquetfile.Layout, slice store.Slice) (*merge, error) {
	m := &merge{layout: layout, slice: slice, first: -1, last: -1, seen: roaring64.New()}
	m.writer = parquet.NewGenericWriter[any](&m.group, layout.WriterOptions(parquetfile.Zstd)...)
	m.writer.SetKeyValueMetadata(parquetfile.MetaEntity, layout.Contract.Entity)
	m.writer.SetKeyValueMetadata(parquetfile.MetaVersion, strconv.Itoa(layout.Contract.Version))
	m.writer.SetKeyValueMetadata(parquetfile.MetaFirstOffset, "")
	m.writer.SetKeyValueMetadata(parquetfile.MetaLastOffset, "")
	var err error
	if m.like, err = m.endGroup(); err != nil {
		return nil, err
	}
	m.beginGroup()
	if m.file, err = os.CreateTemp("", "shop-connect-merge-*.parquet"); err != nil {
		return nil, fmt.Errorf("creating a temporary file: %w; TMPDIR names where", err)
	}
	// the name is not needed, and without it a crash leaves nothing behind
	if err := os.Remove(m.file.Name()); err != nil {
		m.discard()
		return nil, fmt.Errorf("hiding a temporary file: %w", err)
	}
	m.buffer = bufio.NewWriterSize(m.file, 1<<20)
	if m.splice, err = parquetfile.NewSplice(m.buffer, m.like.Metadata()); err != nil {
		m.discard()
		return nil, fmt.Errorf("writing a temporary file: %w", err)
	}
	return m, nil
}

// discard frees the disk space. It is safe on nil and twice.
func (m *merge) discard() {
	if m != nil && m.file != nil {
		_ = m.file.Close()
		m.file = nil
	}
}

// add appends the rows of an object that are not there yet.
func (m *merge) add(o object, content []byte) error {
	s, err := openSource(m.layout, m.like, m.slice, content)
	if err != nil {
		return err
	}
	last := m.last
	for _, offset := range s.offsets {
		if offset <= last && !m.seen.Contains(uint64(offset)) {
			return errBackwards
		}
	}
	begin := 0
	for number, group := range s.RowGroups() {
		offsets := s.offsets[begin : begin+int(group.NumRows())]
		begin += len(offsets)
		if err := m.addGroup(s, number, offsets); err != nil {
			return fmt.Errorf("merging %q: %w", o.key, err)
		}
	}
	m.sources = append(m.sources, store.Object{Entity: m.slice.Entity, Key: o.key, ETag: o.etag})
	m.taken += o.size
	return nil
}

func (m *merge) addGroup(s *source, number int, offsets []int64) error {
	if len(offsets) == 0 {
		return nil
	}
	// what is there already is at the beginning: offsets ascend
	skip := 0
	for skip < len(offsets) && offsets[skip] <= m.last {
		skip++
	}
	m.repeated += int64(skip)
	fresh := offsets[skip:]
	if len(fresh) == 0 {
		return nil
	}
	meta := s.Metadata().RowGroups[number]
	var err error
	if s.same && skip == 0 && len(fresh) >= properRows {
		if err = m.flush(); err == nil {
			err = m.splice.Add(bytes.NewReader(s.content), meta)
		}
	} else {
		if m.groupRows+int64(len(fresh)) > parquetfile.RowGroupRows || m.groupHas+meta.TotalByteSize > groupBytes {
			err = m.flush()
		}
		if err == nil {
			err = m.appendRows(s, number, skip)
			m.groupRows += int64(len(fresh))
			m.groupHas += meta.TotalByteSize
		}
	}
	if err != nil {
		return err
	}
	if m.first < 0 {
		m.first = fresh[0]
	}
	m.last = fresh[len(fresh)-1]
	m.rows += int64(len(fresh))
	for _, offset := range fresh {
		m.seen.Add(uint64(offset))
	}
	return nil
}

// appendRows appends the rows of a row group from one on, a column at a time.
func (m *merge) appendRows(s *source, number, skip int) error {
	group := s.RowGroups()[number]
	for column, to := range m.writer.ColumnWriters() {
		if s.columns[column] < 0 {
			if err := appendNulls(to, int(group.NumRows())-skip); err != nil {
				return err
			}
			continue
		}
		// a column that was required may be optional now
		promote := m.layout.Schema.Fields()[column].Optional() && s.Root().Columns()[s.columns[column]].Required()
		row := 0
		err := eachValues(group.ColumnChunks()[s.columns[column]], func(values []parquet.Value) error {
			ahead := min(max(skip-row, 0), len(values))
			row += len(values)
			values = values[ahead:]
			if promote {
				for i := range values {
					values[i].SetDefinitionLevel(1)
				}
			}
			if len(values) == 0 {
				return nil
			}
			_, err := to.WriteRowValues(values)
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// appendNulls gives rows of an older contract a column that came later.
func appendNulls(to *parquet.ColumnWriter, n int) error {
	nulls := make([]parquet.Value, min(n, valuesAtOnce))
	for n > 0 {
		k := min(n, len(nulls))
		if _, err := to.WriteRowValues(nulls[:k]); err != nil {
			return err
		}
		n -= k
	}
	return nil
}

// flush moves the row group at hand to the file.
func (m *merge) flush() error {
	if m.groupRows == 0 {
		return nil
	}
	encoded, err := m.endGroup()
	if err != nil {
		return err
	}
	reader := bytes.NewReader(m.group.Bytes())
	for _, group := range encoded.Metadata().RowGroups {
		if err := m.splice.Add(reader, group); err != nil {
			return err
		}
	}
	m.beginGroup()
	return nil
}

func (m *merge) beginGroup() {
	m.group.Reset()
	m.writer.Reset(&m.group)
	m.groupRows, m.groupHas = 0, 0
}

// endGroup opens what was written as a file of its own.
func (m *merge) endGroup() (*parquet.File, error) {
	if err := m.writer.Close(); err != nil {
		return nil, fmt.Errorf("encoding a row group: %w", err)
	}
	file, err := parquet.OpenFile(bytes.NewReader(m.group.Bytes()), int64(m.group.Len()), parquet.SkipPageIndex(true), parquet.SkipBloomFilters(true))
	if err != nil {
		return nil, fmt.Errorf("encoding a row group: %w", err)
	}
	return file, nil
}

// end writes the footer, and makes sure that what is about to take the place of its sources can be opened
// and has all of their rows.
func (m *merge) end() (content io.ReadSeeker, size int64, err error) {
	if err := m.flush(); err != nil {
		return nil, 0, err
	}
	m.splice.Describe(parquetfile.MetaFirstOffset, strconv.FormatInt(m.first, 10))
	m.splice.Describe(parquetfile.MetaLastOffset, strconv.FormatInt(m.last, 10))
	if err := errors.Join(m.splice.Close(), m.buffer.Flush()); err != nil {
		return nil, 0, fmt.Errorf("writing a temporary file: %w", err)
	}
	info, err := m.file.Stat()
	if err != nil {
		return nil, 0, fmt.Errorf("writing a temporary file: %w", err)
	}
	merged, err := parquet.OpenFile(m.file, info.Size(), parquet.SkipPageIndex(true), parquet.SkipBloomFilters(true))
	if err != nil {
		return nil, 0, fmt.Errorf("reading the merged object back: %w", err)
	}
	if merged.NumRows() != m.rows {
		return nil, 0, fmt.Errorf("the merged object has %d rows, not %d", merged.NumRows(), m.rows)
	}
	return io.NewSectionReader(m.file, 0, info.Size()), info.Size(), nil
}
