// Package contentcoding undoes what clients do to bodies on the wire (RFC 9110): gzip and zstd, up to a
// limit, because a few bytes can stand for gigabytes.
package contentcoding

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
	// ErrTooLarge is returned for a body that would become larger than the limit.
	ErrTooLarge = errors.New("the body is too large")
	// ErrCorrupt is returned for a body that is not compressed as it says, or is damaged.
	ErrCorrupt = errors.New("the body is not compressed as it says")
)

// Decode returns what compressed bytes stand for. It works on bytes that are all there, so that a
// slow client holds no decoder. It is safe for concurrent use.
type Decode func(compressed []byte) ([]byte, error)

// Decoders stop where a body would become larger than the limit.
type Decoders struct {
	limit int
	zstd  *zstd.Decoder
	gzips sync.Pool
}

// New makes decoders of bodies of at most limit bytes.
func New(limit int) *Decoders {
	d := &Decoders{limit: limit}
	var err error
	// without a reader it has neither goroutines nor windows, and is safe for concurrent use
	d.zstd, err = zstd.NewReader(nil, zstd.WithDecoderConcurrency(0), zstd.WithDecoderMaxMemory(uint64(max(limit, zstdWindow))))
	if err != nil {
		panic(err) // the options are good for every limit
	}
	d.gzips.New = func() any { return new(gzip.Reader) }
	return d
}

// By returns the decoding of a content coding, nil if it is unknown.
func (d *Decoders) By(encoding string) Decode {
	switch encoding {
	case "gzip", "x-gzip":
		return d.gunzip
	case "zstd":
		return d.unzstd
	}
	return nil
}

func (d *Decoders) gunzip(compressed []byte) ([]byte, error) {
	r := d.gzips.Get().(*gzip.Reader)
	defer d.gzips.Put(r)
	if err := r.Reset(bytes.NewReader(compressed)); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrCorrupt, err)
	}
	body := bytes.NewBuffer(make([]byte, 0, min(guessedRatio*len(compressed), d.limit)+bytes.MinRead))
	n, err := body.ReadFrom(io.LimitReader(r, int64(d.limit)+1))
	if n > int64(d.limit) {
		return nil, ErrTooLarge
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrCorrupt, err)
	}
	return body.Bytes(), nil
}

func (d *Decoders) unzstd(compressed []byte) ([]byte, error) {
	body, err := d.zstd.DecodeAll(compressed, make([]byte, 0, min(guessedRatio*len(compressed), d.limit)))
	switch {
	case len(body) > d.limit, errors.Is(err, zstd.ErrDecoderSizeExceeded), errors.Is(err, zstd.ErrWindowSizeExceeded):
		return nil, ErrTooLarge
	case err != nil:
		return nil, fmt.Errorf("%w: %w", ErrCorrupt, err)
	}
	return body, nil
}
