package jwthttp

import "github.com/shop-connect/shop-connect/internal/contentcoding"

var (
	errTooLarge = contentcoding.ErrTooLarge
	errCorrupt  = contentcoding.ErrCorrupt
)

// decompress returns what compressed bytes stand for.
type decompress = contentcoding.Decode

// decompressor stops where a body would become larger than its limit.
type decompressor struct{ *contentcoding.Decoders }

func newDecompressor(limit int) *decompressor { return &decompressor{contentcoding.New(limit)} }

// by returns the decompression of a content encoding, nil if it is unknown.
func (d *decompressor) by(encoding string) decompress { return d.By(encoding) }
