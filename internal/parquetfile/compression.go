package parquetfile

import (
	"fmt"
	"strings"
	"sync"

	"github.com/klauspost/compress/zstd"
	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/compress"
	parquetzstd "github.com/parquet-go/parquet-go/compress/zstd"
	"github.com/parquet-go/parquet-go/format"
)

// Compression names a codec of data pages.
type Compression string

// The codecs that every reader of the lake knows.
const (
	Zstd         Compression = "zstd"
	Snappy       Compression = "snappy"
	Uncompressed Compression = "none"
)

// Compressions lists the codecs, the default first.
func Compressions() []string { return []string{string(Zstd), string(Snappy), string(Uncompressed)} }

// ParseCompression reads the name of a codec.
func ParseCompression(name string) (Compression, error) {
	switch c := Compression(name); c {
	case Zstd, Snappy, Uncompressed:
		return c, nil
	}
	return "", fmt.Errorf("%q is unknown; use one of %s", name, strings.Join(Compressions(), ", "))
}

// WriterOption makes a parquet writer use the codec.
func (c Compression) WriterOption() parquet.WriterOption { return parquet.Compression(c.Codec()) }

// Codec compresses pages as the writers of a layout do.
func (c Compression) Codec() compress.Codec {
	switch c {
	case Snappy:
		return &parquet.Snappy
	case Uncompressed:
		return &parquet.Uncompressed
	default:
		return fastZstd
	}
}

// zstdCodec is zstd at its fastest level, except that it entropy-codes data without repeats too: at
// that level UUIDs and other ids would be stored as they are, a third more bytes for an eighth less time.
type zstdCodec struct {
	parquetzstd.Codec // decodes
	encoders          sync.Pool
}

var _ compress.Codec = (*zstdCodec)(nil)

var fastZstd = &zstdCodec{encoders: sync.Pool{New: func() any {
	encoder, err := zstd.NewWriter(nil,
		zstd.WithEncoderLevel(zstd.SpeedFastest),
		zstd.WithAllLitEntropyCompression(true),
		zstd.WithEncoderConcurrency(1),
		zstd.WithEncoderCRC(false),
		zstd.WithZeroFrames(true),
	)
	if err != nil {
		// the options are constants
		panic(err)
	}
	return encoder
}}}

func (c *zstdCodec) String() string { return "ZSTD" }

func (c *zstdCodec) CompressionCodec() format.CompressionCodec { return format.Zstd }

func (c *zstdCodec) Encode(dst, src []byte) ([]byte, error) {
	encoder := c.encoders.Get().(*zstd.Encoder)
	defer c.encoders.Put(encoder)
	return encoder.EncodeAll(src, dst[:0]), nil
}
