package jwthttp

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// zstdWindow is the largest window that the content encoding zstd may ask for (RFC 9659).
const zstdWindow = 8 << 20

// guessedRatio is how much smaller compressed rows are, roughly.
const guessedRatio = 4

var (
	errTooLarge = errors.New("the body is too large")
	errCorrupt  = errors.New("the body is not compressed as it says")
)

// decompress returns what compressed bytes stand for. It works on bytes that are all there, so that a
// slow client holds no decoder.
type decompress func(compressed []byte) ([]byte, error)

// decompressor stops where a body would become larger than the limit, because a few bytes can stand for
// gigabytes.
type decompressor struct {
	limit int
	zstd  *zstd.Decoder
	gzips sync.Pool
}

func newDecompressor(limit int) *decompressor {
	d := &decompressor{limit: limit}
	var err error
	// without a reader it has neither goroutines nor windows, and is safe for concurrent use
	d.zstd, err = zstd.NewReader(nil, zstd.WithDecoderConcurrency(0), zstd.WithDecoderMaxMemory(uint64(max(limit, zstdWindow))))
	if err != nil {
		panic(err) // the options are good for every limit
	}
	d.gzips.New = func() any { return new(gzip.Reader) }
	return d
}

// by returns the decompression of a content encoding, nil if it is unknown.
func (d *decompressor) by(encoding string) decompress {
	switch encoding {
	case "gzip", "x-gzip":
		return d.gunzip
	case "zstd":
		return d.unzstd
	}
	return nil
}

func (d *decompressor) gunzip(compressed []byte) ([]byte, error) {
	r := d.gzips.Get().(*gzip.Reader)
	defer d.gzips.Put(r)
	if err := r.Reset(bytes.NewReader(compressed)); err != nil {
		return nil, fmt.Errorf("%w: %w", errCorrupt, err)
	}
	body := bytes.NewBuffer(make([]byte, 0, min(guessedRatio*len(compressed), d.limit)+bytes.MinRead))
	n, err := body.ReadFrom(io.LimitReader(r, int64(d.limit)+1))
	if n > int64(d.limit) {
		return nil, errTooLarge
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errCorrupt, err)
	}
	return body.Bytes(), nil
}

func (d *decompressor) unzstd(compressed []byte) ([]byte, error) {
	body, err := d.zstd.DecodeAll(compressed, make([]byte, 0, min(guessedRatio*len(compressed), d.limit)))
	switch {
	case len(body) > d.limit, errors.Is(err, zstd.ErrDecoderSizeExceeded), errors.Is(err, zstd.ErrWindowSizeExceeded):
		return nil, errTooLarge
	case err != nil:
		return nil, fmt.Errorf("%w: %w", errCorrupt, err)
	}
	return body, nil
}
