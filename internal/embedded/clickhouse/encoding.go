package clickhouse

import (
	"compress/gzip"
	"compress/zlib"
	"errors"
	"io"
	"strings"

	"github.com/ClickHouse/ch-go/compress"
	"github.com/andybalholm/brotli"
	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"
)

// encodings are the Content-Encodings that ClickHouse's clients use.
var encodings = map[string]struct {
	decode func(io.Reader) (io.Reader, error)
	encode func(io.Writer) (io.WriteCloser, error)
}{
	"gzip": {
		func(r io.Reader) (io.Reader, error) { return gzip.NewReader(r) },
		func(w io.Writer) (io.WriteCloser, error) { return gzip.NewWriterLevel(w, gzip.BestSpeed) },
	},
	"deflate": {
		func(r io.Reader) (io.Reader, error) { return zlib.NewReader(r) },
		func(w io.Writer) (io.WriteCloser, error) { return zlib.NewWriterLevel(w, zlib.BestSpeed) },
	},
	"br": {
		func(r io.Reader) (io.Reader, error) { return brotli.NewReader(r), nil },
		func(w io.Writer) (io.WriteCloser, error) { return brotli.NewWriterLevel(w, brotli.BestSpeed), nil },
	},
	"zstd": {
		func(r io.Reader) (io.Reader, error) { return zstd.NewReader(r, zstd.WithDecoderConcurrency(1)) },
		func(w io.Writer) (io.WriteCloser, error) { return zstd.NewWriter(w, zstd.WithEncoderConcurrency(1)) },
	},
	"lz4": {
		func(r io.Reader) (io.Reader, error) { return lz4.NewReader(r), nil },
		func(w io.Writer) (io.WriteCloser, error) { return lz4.NewWriter(w), nil },
	},
}

// acceptedEncoding is the first one that both sides know.
func acceptedEncoding(accept string) string {
	for offer := range strings.SplitSeq(accept, ",") {
		name, _, _ := strings.Cut(strings.TrimSpace(offer), ";")
		if _, ok := encodings[name]; ok {
			return name
		}
	}
	return ""
}

// decoded undoes both compressions that a request's body can have.
func decoded(body io.Reader, encoding string, blocks bool) (io.Reader, error) {
	if encoding != "" && encoding != "identity" {
		e, ok := encodings[encoding]
		if !ok {
			return nil, exceptionf(codeNotImplemented, "NOT_IMPLEMENTED", "Content-Encoding %q is not supported", encoding)
		}
		plain, err := e.decode(body)
		if err != nil {
			return nil, exceptionf(codeCannotDecompress, "CANNOT_DECOMPRESS", "Cannot decompress the body (%s): %v", encoding, err)
		}
		body = plain
	}
	if blocks {
		counted := &countingReader{Reader: body}
		return &blockReader{packed: counted, plain: compress.NewReader(counted)}, nil
	}
	return body, nil
}

// blockReader reads ClickHouse's compressed blocks. The library's reader reports a body that ends right after the
// header of a block as its proper end; rows must not get lost like that (I4).
type blockReader struct {
	packed *countingReader
	plain  *compress.Reader
}

func (b *blockReader) Read(p []byte) (int, error) {
	before := b.packed.read
	n, err := b.plain.Read(p)
	switch {
	case err == nil:
		return n, nil
	case errors.Is(err, io.EOF) && b.packed.read == before:
		return n, io.EOF
	case errors.Is(err, io.EOF):
		return n, io.ErrUnexpectedEOF
	}
	return n, exceptionf(codeCannotDecompress, "CANNOT_DECOMPRESS", "Cannot decompress the body: %v", err)
}

type countingReader struct {
	io.Reader
	read int64
}

func (c *countingReader) Read(p []byte) (int, error) {
	n, err := c.Reader.Read(p)
	c.read += int64(n)
	return n, err
}

// blockSize is how much goes into one compressed block, as in ClickHouse.
const blockSize = 1 << 20

// blockWriter writes ClickHouse's compressed blocks.
type blockWriter struct {
	w io.Writer
	c *compress.Writer
}

func newBlockWriter(w io.Writer, method string) *blockWriter {
	methods := map[string]compress.Method{"NONE": compress.None, "ZSTD": compress.ZSTD}
	chosen, ok := methods[method]
	if !ok {
		chosen = compress.LZ4
	}
	return &blockWriter{w, compress.NewWriter(compress.LevelZero, chosen)}
}

func (b *blockWriter) Write(p []byte) (written int, err error) {
	for len(p) > 0 {
		block := p[:min(len(p), blockSize)]
		if err := b.c.Compress(block); err != nil {
			return written, err
		}
		if _, err := b.w.Write(b.c.Data); err != nil {
			return written, err
		}
		written, p = written+len(block), p[len(block):]
	}
	return written, nil
}

func (b *blockWriter) Close() error { return nil }
