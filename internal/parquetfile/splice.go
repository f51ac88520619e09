package parquetfile

import (
	"encoding/binary"
	"fmt"
	"io"
	"slices"

	"github.com/parquet-go/parquet-go/encoding/thrift"
	"github.com/parquet-go/parquet-go/format"
)

const magic = "PAR1"

// Splice makes a Parquet file of row groups that are encoded already, of one schema: their bytes are
// copied, and a footer says where they are now. Page indexes and bloom filters stay behind; they are
// optional, and the statistics of the column chunks come along.
type Splice struct {
	out    io.Writer
	offset int64
	meta   format.FileMetaData
	buffer []byte
}

// NewSplice begins a file with the schema and the metadata of another.
func NewSplice(out io.Writer, like *format.FileMetaData) (*Splice, error) {
	s := &Splice{out: out, buffer: make([]byte, 1<<20), meta: format.FileMetaData{
		Version: like.Version, Schema: like.Schema, KeyValueMetadata: like.KeyValueMetadata,
		CreatedBy: like.CreatedBy, ColumnOrders: like.ColumnOrders,
	}}
	return s, s.write([]byte(magic))
}

func (s *Splice) write(p []byte) error {
	n, err := s.out.Write(p)
	s.offset += int64(n)
	return err
}

// Add copies a row group from the file that holds it.
func (s *Splice) Add(from io.ReaderAt, group format.RowGroup) error {
	group.Columns = slices.Clone(group.Columns)
	group.FileOffset, group.Ordinal = s.offset, int16(len(s.meta.RowGroups))
	for i := range group.Columns {
		chunk := &group.Columns[i]
		start, end := Extent(chunk)
		moved := s.offset - start
		written, err := io.CopyBuffer(writeOnly{s}, io.NewSectionReader(from, start, end-start), s.buffer)
		if err != nil {
			return err
		}
		if written != end-start {
			return fmt.Errorf("copying column chunk %d: %w", i, io.ErrUnexpectedEOF)
		}
		chunk.MetaData.DataPageOffset += moved
		if chunk.MetaData.DictionaryPageOffset > 0 {
			chunk.MetaData.DictionaryPageOffset += moved
		}
		chunk.FileOffset, chunk.MetaData.IndexPageOffset = 0, 0
		chunk.OffsetIndexOffset, chunk.OffsetIndexLength = 0, 0
		chunk.ColumnIndexOffset, chunk.ColumnIndexLength = 0, 0
		chunk.MetaData.BloomFilterOffset, chunk.MetaData.BloomFilterLength = 0, 0
	}
	s.meta.RowGroups = append(s.meta.RowGroups, group)
	s.meta.NumRows += group.NumRows
	return nil
}

// Describe replaces a footer metadata value.
func (s *Splice) Describe(key, value string) {
	s.meta.KeyValueMetadata = slices.Clone(s.meta.KeyValueMetadata)
	for i := range s.meta.KeyValueMetadata {
		if s.meta.KeyValueMetadata[i].Key == key {
			s.meta.KeyValueMetadata[i].Value = value
		}
	}
}

// Close writes the footer.
func (s *Splice) Close() error {
	footer, err := thrift.Marshal(new(thrift.CompactProtocol), &s.meta)
	if err != nil {
		return fmt.Errorf("encoding the footer: %w", err)
	}
	footer = binary.LittleEndian.AppendUint32(footer, uint32(len(footer)))
	return s.write(append(footer, magic...))
}

// writeOnly hides that the splice could be anything but an io.Writer.
type writeOnly struct{ s *Splice }

func (w writeOnly) Write(p []byte) (int, error) { return len(p), w.s.write(p) }

// Extent returns where the pages of a column chunk begin and end.
func Extent(chunk *format.ColumnChunk) (start, end int64) {
	start = chunk.MetaData.DataPageOffset
	if d := chunk.MetaData.DictionaryPageOffset; d > 0 && d < start {
		start = d
	}
	return start, start + chunk.MetaData.TotalCompressedSize
}
