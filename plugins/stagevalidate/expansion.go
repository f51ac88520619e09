package stagevalidate

import (
	"encoding/binary"
	"fmt"

	"github.com/klauspost/compress/zstd"
	"github.com/parquet-go/parquet-go/format"
)

const (
	// maxExpandedBytes is what a compressed page may become; decompressors believe no header's size.
	maxExpandedBytes = 2 * maxPageBytes
	zstdBlockBytes   = 128 << 10
	lz4Expansion     = 255
)

// checkExpansion refuses a compressed page that could take more memory than any page should.
func checkExpansion(codec format.CompressionCodec, page []byte) error {
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
