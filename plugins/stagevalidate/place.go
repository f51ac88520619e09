package stagevalidate

import (
	"regexp"
	"slices"

	"github.com/parquet-go/parquet-go"

	"github.com/shop-connect/shop-connect/internal/parquetfile"
	"github.com/shop-connect/shop-connect/internal/store"
)

// topicName keeps what files say out of the paths of object keys.
var topicName = regexp.MustCompile(`^[a-zA-Z0-9_-][a-zA-Z0-9._-]{0,248}$`)

// maxUnordered bounds the offsets that are kept of an object whose rows are not in offset order.
const maxUnordered = 4 << 20

// place is where the rows of an object come from.
type place struct {
	topic     string
	partition int32
	// offsets are the least and the greatest; rows without a topic have none.
	offsets store.Range
	// repeats says that an offset may be there twice, unordered that they do not ascend.
	repeats, unordered bool
}

// readPlace reads the rows' place in Kafka. All rows of an object come from one partition.
func (f *file) readPlace() (place, error) {
	p := place{}
	seen := false
	last := int64(0)
	groups := len(f.RowGroups())
	for group := range groups {
		// one row group is read once and stays; of many only these columns are wanted now
		if groups == 1 {
			if err := f.readAhead(group); err != nil {
				return p, err
			}
		}
		if err := f.readPartition(group, &p, !seen); err != nil {
			return p, err
		}
		if p.topic == "" {
			seen = true
			continue
		}
		err := f.eachOffset(group, func(_ int, offset int64) {
			if !seen {
				p.offsets, seen = store.Range{First: offset, Last: offset}, true
			} else {
				p.repeats = p.repeats || offset == last
				p.unordered = p.unordered || offset < last
			}
			p.offsets.First, p.offsets.Last = min(p.offsets.First, offset), max(p.offsets.Last, offset)
			last = offset
		})
		if err != nil {
			return p, err
		}
	}
	if p.topic != "" && !topicName.MatchString(p.topic) {
		return p, faultf("has rows of topic %q, which is no name of a topic", p.topic)
	}
	if p.unordered && f.NumRows() > maxUnordered {
		return p, faultf("has %d rows that are not in offset order", f.NumRows())
	}
	return p, nil
}

func (f *file) readPartition(group int, p *place, first bool) error {
	err := f.eachPage(group, f.layout.Index(parquetfile.ColumnTopic), func(page parquet.Page, _ int) error {
		values := textsOf(page)
		for i := range values.len() {
			if values.repeats(i) {
				continue
			}
			topic := values.at(i)
			if first {
				p.topic, first = string(topic), false
			} else if string(topic) != p.topic {
				return faultf("holds rows of several topics, %q and %q", p.topic, topic)
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	first = group == 0
	return f.eachPage(group, f.layout.Index(parquetfile.ColumnPartition), func(page parquet.Page, _ int) error {
		partitions := integers(page, f.scratch[:0])
		if page.Dictionary() != nil {
			f.scratch = partitions // else it may be the page's own memory
		}
		for _, v := range partitions {
			if first {
				p.partition, first = int32(v), false
			} else if int32(v) != p.partition {
				return faultf("holds rows of several partitions, %d and %d", p.partition, v)
			}
		}
		return nil
	})
}

func (f *file) eachOffset(group int, do func(row int, offset int64)) error {
	return f.eachPage(group, f.layout.Index(parquetfile.ColumnOffset), func(page parquet.Page, first int) error {
		for i, offset := range integers(page, nil) {
			do(first+i, offset)
		}
		return nil
	})
}

// skipper marks the rows that are in STAGE or quarantine already, and finds the range of the others.
type skipper struct {
	file  *file
	place place
	known []store.Range

	seen  map[int64]struct{}
	last  int64
	begun bool
	fresh *store.Range
}

func newSkipper(f *file, p place, known []store.Range) *skipper {
	s := &skipper{file: f, place: p, known: known}
	if p.unordered {
		s.seen = map[int64]struct{}{}
	}
	if p.topic != "" && len(known) == 0 && f.NumRows() > 0 {
		fresh := p.offsets
		s.fresh = &fresh
	}
	return s
}

// mark marks the rows of a row group. Row groups come in order.
func (s *skipper) mark(g *rowGroup) error {
	if s.place.topic == "" || (len(s.known) == 0 && !s.place.repeats && !s.place.unordered) {
		return nil
	}
	return s.file.eachOffset(g.number, func(row int, offset int64) {
		if s.repeated(offset) || s.staged(offset) {
			g.skip(row)
			return
		}
		if s.fresh == nil {
			s.fresh = &store.Range{First: offset, Last: offset}
		}
		s.fresh.First, s.fresh.Last = min(s.fresh.First, offset), max(s.fresh.Last, offset)
	})
}

// staged reports whether a range of the ledger holds an offset (I3).
func (s *skipper) staged(offset int64) bool {
	i, _ := slices.BinarySearchFunc(s.known, offset, func(r store.Range, offset int64) int {
		if r.Last < offset {
			return -1
		}
		return 0
	})
	// ranges may overlap: the first that ends here or later need not be the only one
	for ; i < len(s.known); i++ {
		if s.known[i].First <= offset && offset <= s.known[i].Last {
			return true
		}
	}
	return false
}

// repeated reports whether an offset came before in this object.
func (s *skipper) repeated(offset int64) bool {
	if s.seen != nil {
		_, again := s.seen[offset]
		s.seen[offset] = struct{}{}
		return again
	}
	again := s.begun && offset == s.last
	s.last, s.begun = offset, true
	return again
}
