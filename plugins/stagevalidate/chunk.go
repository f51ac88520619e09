package stagevalidate

import (
	"errors"
	"fmt"
	"hash/crc32"
	"io"

	"github.com/parquet-go/parquet-go/encoding/thrift"
	"github.com/parquet-go/parquet-go/format"

	"github.com/shop-connect/shop-connect/internal/parquetfile"
)

var errChecksum = errors.New("its checksum differs: the bytes are damaged")

// rawPage is a page as the file holds it: levels and values are encoded and compressed.
type rawPage struct {
	header format.PageHeader
	// whole is header and body.
	whole, body []byte
}

// eachRawPage hands over the pages of a column chunk, with their checksums held against their bytes.
func eachRawPage(chunk []byte, do func(p *rawPage) error) error {
	protocol := new(thrift.CompactProtocol)
	for rest := chunk; len(rest) > 0; {
		var p rawPage
		reader := protocol.NewReaderFromBytes(rest)
		if err := thrift.NewDecoder(reader).Decode(&p.header); err != nil {
			return fmt.Errorf("reading a page header: %w", err)
		}
		start, size := reader.BytesRead(), int(p.header.CompressedPageSize)
		if size < 0 || size > len(rest)-start {
			return fmt.Errorf("reading a page of %d bytes: %w", size, io.ErrUnexpectedEOF)
		}
		if n := p.header.UncompressedPageSize; n < 0 || n > parquetfile.MaxPageBytes {
			return fmt.Errorf("a page of %d bytes is larger than %d", n, parquetfile.MaxPageBytes)
		}
		p.whole, p.body = rest[:start+size], rest[start:start+size]
		if crc := uint32(p.header.CRC); crc != 0 && crc != crc32.ChecksumIEEE(p.body) {
			return fmt.Errorf("reading a page: %w", errChecksum)
		}
		if err := do(&p); err != nil {
			return err
		}
		rest = rest[start+size:]
	}
	return nil
}

// appendPage writes a page whose body is given in parts.
func appendPage(dst []byte, header *format.PageHeader, body ...[]byte) ([]byte, error) {
	header.CompressedPageSize, header.CRC = 0, 0
	crc := uint32(0)
	for _, part := range body {
		header.CompressedPageSize += int32(len(part))
		crc = crc32.Update(crc, crc32.IEEETable, part)
	}
	header.CRC = int32(crc)
	encoded, err := thrift.Marshal(new(thrift.CompactProtocol), header)
	if err != nil {
		return dst, fmt.Errorf("encoding a page header: %w", err)
	}
	dst = append(dst, encoded...)
	for _, part := range body {
		dst = append(dst, part...)
	}
	return dst, nil
}
