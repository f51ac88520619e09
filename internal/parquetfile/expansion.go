package parquetfile

import (
	"encoding/binary"
	"fmt"
	"io"
	"slices"

	"github.com/klauspost/compress/zstd"
	"github.com/parquet-go/parquet-go/encoding/thrift"
	"github.com/parquet-go/parquet-go/format"
)

// MaxPageBytes bounds what a page may ask of memory; our writers make pages of a sixty-fourth of it.
const MaxPageBytes = 64 << 20

const (
	// maxExpandedBytes is what a compressed page may become; decompressors believe no header's size.
	maxExpandedBytes = 2 * MaxPageBytes
	zstdBlockBytes   = 128 << 10
	lz4Expansion     = 255
	// headerBytes are read to find a page header in them; one with long statistics takes another read.
	headerBytes = 4 << 10
)

// PageCheck looks at the pages of a file before anything is decompressed. It is not safe for concurrent
// use.
type PageCheck struct {
	From io.ReaderAt
	Size int64

	scratch []byte
}

// Chunk refuses a column chunk of which a page could take more memory than any page should: parquet-go
// makes room for whatever a header says, and a decompressor for whatever comes.
func (c *PageCheck) Chunk(chunk *format.ColumnChunk) error {
	at, end := Extent(chunk)
	if at < 0 || end < at || end > c.Size {
		return fmt.Errorf("it lies outside of the object, at %d to %d", at, end)
	}
	for at < end {
		header, n, err := c.header(at, end)
		if err != nil {
			return err
		}
		if at, err = c.page(chunk.MetaData.Codec, &header, at+n, end); err != nil {
			return err
		}
	}
	return nil
}

func (c *PageCheck) header(at, end int64) (header format.PageHeader, n int64, err error) {
	for size := int64(headerBytes); ; size *= 16 {
		size = min(size, end-at)
		c.scratch = slices.Grow(c.scratch[:0], int(size))[:size]
		if _, err := c.From.ReadAt(c.scratch, at); err != nil {
			return header, 0, err
		}
		reader := new(thrift.CompactProtocol).NewReaderFromBytes(c.scratch)
		header = format.PageHeader{}
		if err = thrift.NewDecoder(reader).Decode(&header); err == nil {
			return header, int64(reader.BytesRead()), nil
		}
		if size == end-at || size > MaxPageBytes {
			return header, 0, fmt.Errorf("reading a page header: %w", err)
		}
	}
}

// page returns where the page ends whose body begins at a place.
func (c *PageCheck) page(codec format.CompressionCodec, header *format.PageHeader, at, end int64) (int64, error) {
	size, expanded := int64(header.CompressedPageSize), header.UncompressedPageSize
	if size < 0 || size > end-at {
		return 0, fmt.Errorf("reading a page of %d bytes: %w", size, io.ErrUnexpectedEOF)
	}
	if max(size, int64(expanded)) > MaxPageBytes {
		return 0, fmt.Errorf("a page of %d bytes, %d when decompressed, is larger than %d", size, expanded, MaxPageBytes)
	}
	levels := int64(0)
	if v2 := &header.DataPageHeaderV2; v2.Valid {
		levels = int64(v2.V.DefinitionLevelsByteLength) + int64(v2.V.RepetitionLevelsByteLength)
		if v2.V.IsCompressed.Valid && !v2.V.IsCompressed.V {
			codec = format.Uncompressed
		}
	}
	if levels < 0 || levels > size {
		return 0, fmt.Errorf("a page of %d bytes has levels of %d", size, levels)
	}
	if codec == format.Uncompressed {
		return at + size, nil
	}
	c.scratch = slices.Grow(c.scratch[:0], int(size))[:size]
	if _, err := c.From.ReadAt(c.scratch, at); size > 0 && err != nil {
		return 0, err
	}
	return at + size, CheckExpansion(codec, c.scratch[levels:])
}

// CheckExpansion refuses a compressed page that could take more memory than any page should.
func CheckExpansion(codec format.CompressionCodec, page []byte) error {
	bytes := uint64(0)
	switch codec {
	case format.Uncompressed:
	case format.Snappy:
		bytes, _ = binary.Uvarint(page)
	case format.Zstd:
		bytes = zstdBlocks(page) * zstdBlockBytes
	case format.Lz4Raw:
		bytes = uint64(len(page)) * lz4Expansion
	default:
		return fmt.Errorf("its pages are compressed with %s; use ZSTD, SNAPPY or none", codec)
	}
	if bytes > maxExpandedBytes {
		return fmt.Errorf("a page of %d bytes could become %d, more than %d", len(page), bytes, maxExpandedBytes)
	}
	return nil
}

// zstdBlocks counts the blocks of all frames: each becomes 128 KiB at most, whatever the frames say.
func zstdBlocks(data []byte) uint64 {
	blocks := uint64(0)
	for len(data) > 0 {
		var header zstd.Header
		if header.Decode(data) != nil {
			return blocks // the decompressor says what is wrong
		}
		skip := header.HeaderSize
		if header.Skippable {
			skip += int(header.SkippableSize)
		}
		if skip <= 0 || skip > len(data) {
			return blocks
		}
		data = data[skip:]
		for last := header.Skippable; !last; {
			if len(data) < 3 {
				return blocks
			}
			block := uint32(data[0]) | uint32(data[1])<<8 | uint32(data[2])<<16
			last = block&1 == 1
			size := int(block >> 3)
			if block>>1&3 == 1 { // one byte, repeated
				size = 1
			}
			if size > len(data)-3 {
				return blocks + 1
			}
			data = data[3+size:]
			blocks++
		}
		if header.HasCheckSum && len(data) >= 4 {
			data = data[4:]
		}
	}
	return blocks
}
