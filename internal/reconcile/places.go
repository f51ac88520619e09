package reconcile

import (
	"errors"
	"fmt"
	"io"

	"github.com/RoaringBitmap/roaring/v2/roaring64"
	"github.com/parquet-go/parquet-go"
)

// placeSet is a set of Kafka records. Offsets are dense, so bitmaps keep millions of them small.
type placeSet struct {
	offsets map[partition]*roaring64.Bitmap
}

func newPlaceSet() *placeSet { return &placeSet{offsets: map[partition]*roaring64.Bitmap{}} }

func (s *placeSet) add(list []places) {
	for _, p := range list {
		s.of(p.partition).Or(p.offsets)
	}
}

func (s *placeSet) of(p partition) *roaring64.Bitmap {
	b := s.offsets[p]
	if b == nil {
		b = roaring64.New()
		s.offsets[p] = b
	}
	return b
}

func (s *placeSet) count() int64 {
	var n int64
	for _, b := range s.offsets {
		n += int64(b.GetCardinality())
	}
	return n
}

func (s *placeSet) list() []places {
	list := make([]places, 0, len(s.offsets))
	for p, b := range s.offsets {
		list = append(list, places{partition: p, offsets: b})
	}
	return list
}

// placeColumns finds the columns of a row's place.
func placeColumns(schema *parquet.Schema) (columns [3]int, ok bool) {
	for i, name := range []string{columnTopic, columnPartition, columnOffset} {
		leaf, found := schema.Lookup(name)
		if !found {
			return columns, false
		}
		columns[i] = leaf.ColumnIndex
	}
	return columns, true
}

// addRowGroup adds the places of all rows and returns how many rows have none.
func (s *placeSet) addRowGroup(group parquet.RowGroup, columns [3]int) (unplaced int64, err error) {
	chunks := group.ColumnChunks()
	topics, err := readColumn(chunks[columns[0]], interned())
	if err != nil {
		return 0, fmt.Errorf("reading column %s: %w", columnTopic, err)
	}
	numbers, err := readColumn(chunks[columns[1]], integer)
	if err != nil {
		return 0, fmt.Errorf("reading column %s: %w", columnPartition, err)
	}
	offsets, err := readColumn(chunks[columns[2]], integer)
	if err != nil {
		return 0, fmt.Errorf("reading column %s: %w", columnOffset, err)
	}
	if len(topics) != len(numbers) || len(topics) != len(offsets) {
		return 0, errors.New("reading places: the columns have different lengths")
	}
	var current partition
	var bitmap *roaring64.Bitmap
	for i, topic := range topics {
		if topic == "" || offsets[i] < 0 {
			unplaced++
			continue
		}
		if here := (partition{topic, numbers[i]}); bitmap == nil || here != current {
			current, bitmap = here, s.of(here)
		}
		bitmap.Add(uint64(offsets[i]))
	}
	return unplaced, nil
}

// interned returns a conversion to string that allocates only where the text changes.
func interned() func(parquet.Value) string {
	last := ""
	return func(v parquet.Value) string {
		if b := v.ByteArray(); string(b) != last {
			last = string(b)
		}
		return last
	}
}

// integer reads an int32 or int64 value; null, which no offset can be, is -1.
func integer(v parquet.Value) int64 {
	switch {
	case v.IsNull():
		return -1
	case v.Kind() == parquet.Int32:
		return int64(v.Int32())
	}
	return v.Int64()
}

func readColumn[T any](chunk parquet.ColumnChunk, convert func(parquet.Value) T) (out []T, err error) {
	pages := chunk.Pages()
	defer func() { err = errors.Join(err, pages.Close()) }()
	buffer := make([]parquet.Value, 1024)
	for {
		page, err := pages.ReadPage()
		if errors.Is(err, io.EOF) {
			return out, nil
		}
		if err != nil {
			return nil, err
		}
		values := page.Values()
		for {
			n, err := values.ReadValues(buffer)
			for _, v := range buffer[:n] {
				out = append(out, convert(v))
			}
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				return nil, err
			}
		}
		parquet.Release(page)
	}
}
