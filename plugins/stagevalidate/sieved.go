package stagevalidate

import (
	"errors"
	"fmt"
	"slices"

	"github.com/parquet-go/parquet-go/format"

	"github.com/shop-connect/shop-connect/internal/parquetfile"
)

// sievedGroup is a row group without its skipped and refused rows. It is valid until the sieve is used again.
type sievedGroup struct {
	group format.RowGroup
	data  []byte

	// values are the bytes of the refused rows, one after the other, and where each of them ends.
	values []byte
	ends   []int
}

// refused returns the bytes of the i-th refused row.
func (g *sievedGroup) refused(i int) []byte {
	start := 0
	if i > 0 {
		start = g.ends[i-1]
	}
	return g.values[start:g.ends[i]]
}

// sieve takes the skipped and refused rows out of a row group, or returns nil where its column chunks are not of
// a form that a sieve knows. Every page is looked at, those of columns without rules too: a damaged one
// must not be encoded as if it were whole.
func (f *file) sieve(g *rowGroup, s *sieve) (*sievedGroup, error) {
	s.keepRows(g)
	out := &s.out
	out.group = f.Metadata().RowGroups[g.number]
	out.group.Columns = slices.Clone(out.group.Columns)
	out.group.NumRows, out.group.TotalByteSize = int64(g.good()), 0
	out.data, out.values, out.ends = out.data[:0], out.values[:0], out.ends[:0]
	value := f.columns[f.layout.Index(parquetfile.ColumnValue)]
	for i := range out.group.Columns {
		var dropped func(row int, bytes []byte)
		if i == value {
			dropped = func(row int, bytes []byte) {
				if g.marks[row]&markRefused != 0 {
					out.values = append(out.values, bytes...)
					out.ends = append(out.ends, len(out.values))
				}
			}
		}
		switch err := f.sieveColumn(g, i, s, dropped); {
		case errors.Is(err, errUnsieved):
			return nil, nil
		case err != nil:
			return nil, decodeError(f.source, fmt.Sprintf("row group %d, column %q cannot be decoded", g.number, f.Root().Columns()[i].Name()), err)
		}
		out.group.TotalByteSize += out.group.Columns[i].MetaData.TotalUncompressedSize
	}
	out.group.TotalCompressedSize = int64(len(out.data))
	return out, nil
}

func (f *file) sieveColumn(g *rowGroup, i int, s *sieve, dropped func(row int, value []byte)) (err error) {
	defer func() {
		// parquet-go trusts lengths within pages; one that lies must not end the process
		if p := recover(); p != nil {
			err = fmt.Errorf("%v", p)
		}
	}()
	chunk := s.out.group.Columns[i]
	start, end := parquetfile.Extent(&chunk)
	switch {
	case start < 0 || end <= start || end > f.source.object.size:
		return fmt.Errorf("it lies outside of the object, at %d to %d", start, end)
	case end-start > spanBytes:
		return errUnsieved
	case chunk.MetaData.NumValues != int64(g.len()):
		return fmt.Errorf("it has %d rows, the row group %d", chunk.MetaData.NumValues, g.len())
	}
	s.read = slices.Grow(s.read[:0], int(end-start))[:end-start]
	if _, err := f.source.ReadAt(s.read, start); err != nil {
		return err
	}
	s.out.data, s.out.group.Columns[i], err = s.column(s.out.data, chunk, s.read, dropped)
	return err
}
