package stagevalidate

import (
	"errors"
	"fmt"
	"io"
	"math"
	"slices"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/compress"
	"github.com/parquet-go/parquet-go/encoding/thrift"
	"github.com/parquet-go/parquet-go/format"

	"github.com/shop-connect/shop-connect/internal/parquetfile"
)

// errUnsieved says that a column chunk is not of a form that RAW writes; rewrite knows the others.
var errUnsieved = errors.New("the column chunk is of another form")

// run is a range of rows or values, the end excluded.
type run struct{ start, end int }

// sieve takes rows out of the encoded pages of column chunks. It decodes no further than it takes to find
// where values begin: texts stay in their pages, entries of dictionaries stay indexes. It keeps its
// buffers from chunk to chunk.
type sieve struct {
	codec compress.Codec
	// rows are the runs of rows that stay, of the whole row group.
	rows []run

	chunk  *format.ColumnMetaData
	source compress.Codec
	bounds bounds
	// bounded says that the bounds of the values are wanted.
	bounded bool
	dict    dictionary
	pages   []sievedPage
	nulls   int64

	within, values    []run
	raw, kept, packed []byte
	levels            []byte
	numbers           []int64
	shorts            []int32
	texts             []byte
	offsets           []uint32
	arena             []byte
	indexes           []int32
	// dropped is called with each value that does not stay, by its row; pages with nulls do without.
	dropped func(row int, value []byte)

	read []byte
	out  sievedGroup
}

// sievedPage is a page that waits to be written: what it refers to of its dictionary is known only after
// the last page.
type sievedPage struct {
	header format.PageHeader
	// levels and body are ranges of the arena, indexes one of the sieve's indexes.
	levels, body, indexes run
	compressed            bool
}

// keepRows says which rows of the row group stay.
func (s *sieve) keepRows(g *rowGroup) {
	s.rows = s.rows[:0]
	for row, mark := range g.marks {
		if mark&(markSkipped|markRefused) != 0 {
			continue
		}
		if n := len(s.rows); n > 0 && s.rows[n-1].end == row {
			s.rows[n-1].end++
			continue
		}
		s.rows = append(s.rows, run{row, row + 1})
	}
}

// column appends to dst the column chunk without the rows that do not stay, and returns it with its
// metadata, whose offsets count from the beginning of dst.
func (s *sieve) column(dst []byte, chunk format.ColumnChunk, data []byte, dropped func(row int, value []byte)) ([]byte, format.ColumnChunk, error) {
	meta := &chunk.MetaData
	s.chunk, s.source, s.dropped = meta, parquet.LookupCompressionCodec(meta.Codec), dropped
	s.bounds = bounds{least: s.bounds.least, greatest: s.bounds.greatest}
	s.bounded = meta.Statistics.MinValue != nil || meta.Statistics.MaxValue != nil
	s.dict.present, s.pages, s.arena, s.indexes, s.nulls = false, s.pages[:0], s.arena[:0], s.indexes[:0], 0
	first := 0
	err := eachRawPage(data, func(p *rawPage) error {
		switch p.header.Type {
		case format.DictionaryPage:
			return s.dictionaryPage(p)
		case format.DataPageV2:
			n, err := s.page(p, first)
			first += n
			return err
		}
		return errUnsieved
	})
	if err != nil {
		return dst, chunk, err
	}
	if int64(first) != meta.NumValues {
		return dst, chunk, fmt.Errorf("its pages hold %d rows, not %d", first, meta.NumValues)
	}
	return s.write(dst, chunk)
}

// write appends the pages, the dictionary without the entries that nothing refers to any more.
func (s *sieve) write(dst []byte, chunk format.ColumnChunk) ([]byte, format.ColumnChunk, error) {
	meta := &chunk.MetaData
	start, uncompressed := len(dst), 0
	meta.DictionaryPageOffset, meta.NumValues = 0, 0
	var err error
	if s.dict.present {
		s.dict.shrink(s.indexes)
		meta.DictionaryPageOffset = int64(start)
		header := format.PageHeader{Type: format.DictionaryPage, UncompressedPageSize: int32(len(s.dict.data))}
		header.DictionaryPageHeader = thrift.New(format.DictionaryPageHeader{NumValues: int32(s.dict.len()), Encoding: format.Plain})
		if s.packed, err = s.codec.Encode(s.packed[:0], s.dict.data); err != nil {
			return dst, chunk, fmt.Errorf("compressing a dictionary: %w", err)
		}
		before := len(dst)
		if dst, err = appendPage(dst, &header, s.packed); err != nil {
			return dst, chunk, err
		}
		uncompressed += len(dst) - before - len(s.packed) + len(s.dict.data)
		if s.bounded {
			s.dict.bound(&s.bounds, meta.Type)
		}
	}
	meta.DataPageOffset = int64(len(dst))
	for i := range s.pages {
		p := &s.pages[i]
		body := s.arena[p.body.start:p.body.end]
		if p.indexes.end > p.indexes.start {
			s.raw, err = parquet.RLEDictionary.EncodeInt32(s.raw[:0], s.indexes[p.indexes.start:p.indexes.end])
			if err != nil {
				return dst, chunk, fmt.Errorf("encoding indexes: %w", err)
			}
			p.header.UncompressedPageSize = int32(p.levels.end - p.levels.start + len(s.raw))
			if body, err = s.compress(p.compressed, s.raw); err != nil {
				return dst, chunk, err
			}
		}
		before := len(dst)
		levels := s.arena[p.levels.start:p.levels.end]
		if dst, err = appendPage(dst, &p.header, levels, body); err != nil {
			return dst, chunk, err
		}
		uncompressed += len(dst) - before - len(levels) - len(body) + int(p.header.UncompressedPageSize)
		meta.NumValues += int64(p.header.DataPageHeaderV2.V.NumValues)
	}
	meta.Codec = s.codec.CompressionCodec()
	meta.TotalCompressedSize, meta.TotalUncompressedSize = int64(len(dst)-start), int64(uncompressed)
	meta.Statistics = s.bounds.statistics(meta.Type)
	meta.Statistics.NullCount = s.nulls
	meta.EncodingStats, meta.SizeStatistics = nil, format.SizeStatistics{}
	return dst, chunk, nil
}

// page sieves one page and returns how many rows it had.
func (s *sieve) page(p *rawPage, first int) (int, error) {
	h := &p.header.DataPageHeaderV2.V
	rows, levelBytes := int(h.NumRows), int(h.DefinitionLevelsByteLength)
	if h.RepetitionLevelsByteLength != 0 || h.NumValues != h.NumRows || h.NumNulls > h.NumRows || levelBytes > len(p.body) {
		return 0, errUnsieved
	}
	if int64(first)+int64(rows) > s.chunk.NumValues {
		return 0, fmt.Errorf("its pages hold more rows than %d", s.chunk.NumValues)
	}
	kept := s.keptWithin(first, rows)
	if kept == 0 && s.dropped == nil {
		return rows, nil
	}
	levels, values := p.body[:levelBytes], p.body[levelBytes:]
	compressed := !h.IsCompressed.Valid || h.IsCompressed.V
	if compressed && s.chunk.Codec != format.Uncompressed {
		size := int(p.header.UncompressedPageSize) - levelBytes
		var err error
		if s.raw, err = decompress(s.source, s.raw, values, size); err != nil {
			return 0, err
		}
		// what the codec did not make smaller once is not worth another try
		compressed = len(values) < size-size/16
		values = s.raw
	} else {
		compressed = compressed && s.codec.CompressionCodec() != s.chunk.Codec
	}
	nulls, err := s.splitNulls(levels, rows, int(h.NumNulls), kept)
	if err != nil {
		return 0, err
	}
	out := sievedPage{header: format.PageHeader{Type: format.DataPageV2}, compressed: compressed && s.codec.CompressionCodec() != format.Uncompressed}
	out.levels.start = len(s.arena)
	if levelBytes > 0 {
		s.packed, err = definitionLevels.EncodeLevels(s.packed[:0], s.levels[:kept])
		if err != nil {
			return 0, fmt.Errorf("encoding levels: %w", err)
		}
		s.arena = append(s.arena, s.packed...)
	}
	out.levels.end = len(s.arena)
	out.indexes.start, out.body.start = len(s.indexes), len(s.arena)
	if err := s.sift(values, h.Encoding, rows-int(h.NumNulls), first); err != nil {
		return 0, err
	}
	out.indexes.end = len(s.indexes)
	if kept == 0 {
		return rows, nil
	}
	if out.indexes.end == out.indexes.start {
		body, err := s.compress(out.compressed, s.kept)
		if err != nil {
			return 0, err
		}
		s.arena = append(s.arena, body...)
		out.header.UncompressedPageSize = int32(out.levels.end - out.levels.start + len(s.kept))
	}
	out.body.end = len(s.arena)
	out.header.DataPageHeaderV2 = thrift.New(format.DataPageHeaderV2{
		NumValues: int32(kept), NumNulls: int32(nulls), NumRows: int32(kept), Encoding: h.Encoding,
		DefinitionLevelsByteLength: int32(out.levels.end - out.levels.start), IsCompressed: thrift.New(out.compressed),
	})
	s.nulls += int64(nulls)
	s.pages = append(s.pages, out)
	return rows, nil
}

// keptWithin finds the runs of rows of a page that stay, by their numbers in the page.
func (s *sieve) keptWithin(first, rows int) int {
	s.within = s.within[:0]
	kept := 0
	i, _ := slices.BinarySearchFunc(s.rows, first, func(r run, first int) int {
		if r.end <= first {
			return -1
		}
		return 1
	})
	for ; i < len(s.rows) && s.rows[i].start < first+rows; i++ {
		r := run{max(s.rows[i].start, first) - first, min(s.rows[i].end, first+rows) - first}
		s.within = append(s.within, r)
		kept += r.end - r.start
	}
	return kept
}

// splitNulls leaves in s.levels the definition levels of the kept rows and in s.values the runs of values
// that stay, and returns the number of kept nulls.
func (s *sieve) splitNulls(encoded []byte, rows, nulls, kept int) (int, error) {
	s.levels = slices.Grow(s.levels[:0], max(rows, kept))
	if nulls == 0 {
		s.values = append(s.values[:0], s.within...)
		s.levels = s.levels[:kept]
		for i := range s.levels {
			s.levels[i] = 1
		}
		return 0, nil
	}
	levels, err := definitionLevels.DecodeLevels(s.levels, encoded)
	if err != nil {
		return 0, fmt.Errorf("decoding levels: %w", err)
	}
	if len(levels) < rows {
		return 0, fmt.Errorf("decoding levels: %w", io.ErrUnexpectedEOF)
	}
	levels = levels[:rows]
	s.values = s.values[:0]
	value, row, at := 0, 0, 0
	for _, r := range s.within {
		for ; row < r.start; row++ {
			value += int(levels[row])
		}
		start := value
		for ; row < r.end; row++ {
			value += int(levels[row])
			levels[at] = levels[row]
			at++
		}
		if value > start {
			s.values = append(s.values, run{start, value})
		}
	}
	keptValues := 0
	for _, r := range s.values {
		keptValues += r.end - r.start
	}
	for ; row < rows; row++ {
		value += int(levels[row])
	}
	if value != rows-nulls {
		return 0, fmt.Errorf("a page says %d nulls and has %d", nulls, rows-value)
	}
	s.levels = levels
	return kept - keptValues, nil
}

func (s *sieve) compress(wanted bool, data []byte) ([]byte, error) {
	if !wanted {
		return data, nil
	}
	var err error
	if s.packed, err = s.codec.Encode(s.packed[:0], data); err != nil {
		return nil, fmt.Errorf("compressing a page: %w", err)
	}
	return s.packed, nil
}

func (s *sieve) dictionaryPage(p *rawPage) error {
	h := &p.header.DictionaryPageHeader.V
	//nolint:staticcheck // older writers name the encoding so
	if s.dict.present || (h.Encoding != format.Plain && h.Encoding != format.PlainDictionary) || h.NumValues > math.MaxInt32/8 {
		return errUnsieved
	}
	var err error
	data := p.body
	if s.chunk.Codec != format.Uncompressed {
		if s.dict.buffer, err = decompress(s.source, s.dict.buffer, p.body, int(p.header.UncompressedPageSize)); err != nil {
			return err
		}
		data = s.dict.buffer
	}
	return s.dict.open(data, int(h.NumValues), s.chunk.Type)
}

// decompress refuses a page that is larger than its header says.
func decompress(codec compress.Codec, dst, src []byte, size int) ([]byte, error) {
	switch {
	case size < 0:
		return dst, io.ErrUnexpectedEOF
	case size == 0 && len(src) == 0:
		return dst[:0], nil
	}
	if err := parquetfile.CheckExpansion(codec.CompressionCodec(), src); err != nil {
		return dst, err
	}
	dst, err := codec.Decode(slices.Grow(dst[:0], size)[:size], src)
	if err != nil {
		return dst, fmt.Errorf("decompressing a page: %w", err)
	}
	if len(dst) != size {
		return dst, fmt.Errorf("a page of %d bytes has %d", size, len(dst))
	}
	return dst, nil
}
