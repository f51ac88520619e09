package stagevalidate

import (
	"encoding/binary"
	"fmt"
	"io"
	"slices"

	"github.com/parquet-go/parquet-go/format"
)

// dictionary is a dictionary page without compression.
type dictionary struct {
	present bool
	buffer  []byte
	data    []byte
	// starts holds where each entry begins, and where the last one ends.
	starts []int

	places []int32
	shrunk []byte
}

func (d *dictionary) len() int { return len(d.starts) - 1 }

func (d *dictionary) open(data []byte, entries int, kind format.Type) error {
	d.present, d.data, d.starts = true, data, append(d.starts[:0], 0)
	at := 0
	for range entries {
		size := 0
		switch kind {
		case format.Int32:
			size = 4
		case format.Int64:
			size = 8
		case format.ByteArray:
			if len(data)-at >= 4 {
				size = int(binary.LittleEndian.Uint32(data[at:]))
			}
			size += 4
		default:
			return errUnsieved
		}
		if size > len(data)-at {
			return fmt.Errorf("reading a dictionary: %w", io.ErrUnexpectedEOF)
		}
		at += size
		d.starts = append(d.starts, at)
	}
	return nil
}

// shrink takes out the entries that no index refers to, and gives the indexes their new places: what was
// refused must not stay in STAGE, and readers may check every entry.
func (d *dictionary) shrink(indexes []int32) {
	const unused = -1
	d.places = slices.Grow(d.places[:0], d.len())[:d.len()]
	for i := range d.places {
		d.places[i] = unused
	}
	for _, index := range indexes {
		d.places[index] = 0
	}
	if !slices.Contains(d.places, unused) {
		return
	}
	d.shrunk = d.shrunk[:0]
	next, starts := int32(0), d.starts[:0:0]
	starts = append(starts, 0)
	for i, place := range d.places {
		if place == unused {
			continue
		}
		d.places[i] = next
		next++
		d.shrunk = append(d.shrunk, d.data[d.starts[i]:d.starts[i+1]]...)
		starts = append(starts, len(d.shrunk))
	}
	d.data, d.starts = d.shrunk, starts
	for i, index := range indexes {
		indexes[i] = d.places[index]
	}
}

func (d *dictionary) bound(b *bounds, kind format.Type) {
	for i := range d.len() {
		entry := d.data[d.starts[i]:d.starts[i+1]]
		switch kind {
		case format.Int32:
			b.number(int64(int32(binary.LittleEndian.Uint32(entry))))
		case format.Int64:
			b.number(int64(binary.LittleEndian.Uint64(entry)))
		default:
			b.text(entry[4:])
		}
	}
}
