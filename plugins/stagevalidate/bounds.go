package stagevalidate

import (
	"bytes"
	"encoding/binary"

	"github.com/parquet-go/parquet-go/format"
)

// bounds are the least and the greatest of a column's values.
type bounds struct {
	seen bool
	// low and high are of numbers, least and greatest of texts.
	low, high       int64
	least, greatest []byte
}

func (b *bounds) number(v int64) {
	if !b.seen {
		b.low, b.high, b.seen = v, v, true
		return
	}
	b.low, b.high = min(b.low, v), max(b.high, v)
}

func (b *bounds) text(v []byte) {
	switch {
	case !b.seen:
		b.least, b.greatest, b.seen = append(b.least[:0], v...), append(b.greatest[:0], v...), true
	case bytes.Compare(v, b.least) < 0:
		b.least = append(b.least[:0], v...)
	case bytes.Compare(v, b.greatest) > 0:
		b.greatest = append(b.greatest[:0], v...)
	}
}

// statistics are the bounds in the form of a column chunk's metadata.
func (b *bounds) statistics(kind format.Type) (s format.Statistics) {
	if !b.seen {
		return s
	}
	switch kind {
	case format.Boolean:
		s.MinValue, s.MaxValue = []byte{byte(b.low)}, []byte{byte(b.high)}
	case format.Int32:
		s.MinValue, s.MaxValue = binary.LittleEndian.AppendUint32(nil, uint32(b.low)), binary.LittleEndian.AppendUint32(nil, uint32(b.high))
	case format.Int64:
		s.MinValue, s.MaxValue = binary.LittleEndian.AppendUint64(nil, uint64(b.low)), binary.LittleEndian.AppendUint64(nil, uint64(b.high))
	default:
		s.MinValue, s.MaxValue = bytes.Clone(b.least), bytes.Clone(b.greatest)
	}
	return s
}
