package jwthttp

import "github.com/twmb/franz-go/pkg/kgo"

const (
	// firstRecords is the room that a body's rows are given before it is known how long they are.
	firstRecords = 32
	// likelyRow is how many bytes a row has, roughly, and likelyKey its key.
	likelyRow = 128
	likelyKey = 36
	// maxRecords bounds the room that is made at once.
	maxRecords = 4096
)

// slab is room for the records of one body: allocated many at a time, and never used again.
type slab struct {
	records []kgo.Record
	keys    []byte

	filled, bytes int
}

// record returns a record with a copy of the key; so many bytes of rows are still to come.
func (s *slab) record(key, value []byte, toCome int) *kgo.Record {
	if s.filled++; len(s.records) == cap(s.records) {
		s.records = make([]kgo.Record, 0, s.expected(toCome))
	}
	s.bytes += len(value)
	if cap(s.keys)-len(s.keys) < len(key) {
		s.keys = make([]byte, 0, max(len(key), likelyKey*cap(s.records)))
	}
	start := len(s.keys)
	s.keys = append(s.keys, key...)
	s.records = append(s.records, kgo.Record{Key: s.keys[start:len(s.keys):len(s.keys)], Value: value})
	return &s.records[len(s.records)-1]
}

// expected is how many rows there are from this one on, if they are as long as those before.
func (s *slab) expected(toCome int) int {
	if s.bytes == 0 {
		return min(1+toCome/likelyRow, firstRecords)
	}
	return min(2+toCome*s.filled/s.bytes, maxRecords)
}
