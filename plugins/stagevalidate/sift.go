package stagevalidate

import (
	"encoding/binary"
	"fmt"
	"io"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/encoding/rle"
	"github.com/parquet-go/parquet-go/format"
)

var definitionLevels = &rle.Encoding{BitWidth: 1}

// sift leaves in s.kept the values of the runs s.values in the page's own encoding, or in s.indexes where
// the page holds indexes.
func (s *sieve) sift(values []byte, encoding format.Encoding, n, first int) error {
	s.kept = s.kept[:0]
	plain := encoding == format.Plain
	texts := s.chunk.Type == format.ByteArray && (plain || encoding == format.DeltaLengthByteArray)
	if s.dropped != nil && !texts {
		return errUnsieved
	}
	switch {
	case texts && !plain:
		return s.siftLengths(values, n, first)
	case encoding == format.RLEDictionary || encoding == format.PlainDictionary: //nolint:staticcheck // as older writers name it
		return s.siftIndexes(values, n)
	case texts:
		return s.siftTexts(values, n, first)
	case s.chunk.Type == format.Boolean && (plain || encoding == format.RLE):
		return s.siftBits(values, n, encoding)
	case s.chunk.Type == format.Int64 && (plain || encoding == format.DeltaBinaryPacked):
		return s.siftInt64(values, n, plain)
	case s.chunk.Type == format.Int32 && (plain || encoding == format.DeltaBinaryPacked):
		return s.siftInt32(values, n, plain)
	}
	return errUnsieved
}

// siftTexts copies whole runs of texts with the lengths before them, and calls dropped with the others.
func (s *sieve) siftTexts(values []byte, n, first int) error {
	at, value := 0, 0
	next := func() ([]byte, error) {
		if len(values)-at < 4 {
			return nil, fmt.Errorf("reading text %d: %w", value, io.ErrUnexpectedEOF)
		}
		size := int(binary.LittleEndian.Uint32(values[at:]))
		if size > len(values)-at-4 {
			return nil, fmt.Errorf("reading text %d: %w", value, io.ErrUnexpectedEOF)
		}
		text := values[at+4 : at+4+size]
		at += 4 + size
		value++
		return text, nil
	}
	dropUntil := func(end int) error {
		for value < end {
			row := first + value
			text, err := next()
			if err != nil {
				return err
			}
			if s.dropped != nil {
				s.dropped(row, text)
			}
		}
		return nil
	}
	for _, r := range s.values {
		if err := dropUntil(r.start); err != nil {
			return err
		}
		start := at
		for value < r.end {
			text, err := next()
			if err != nil {
				return err
			}
			if s.bounded {
				s.bounds.text(text)
			}
		}
		s.kept = append(s.kept, values[start:at]...)
	}
	return dropUntil(n)
}

// siftLengths copies whole runs of texts that stand without a gap behind all their lengths.
func (s *sieve) siftLengths(values []byte, n, first int) error {
	var err error
	if s.texts, s.offsets, err = parquet.DeltaLengthByteArray.DecodeByteArray(s.texts, values, s.offsets); err != nil {
		return fmt.Errorf("decoding texts: %w", err)
	}
	if len(s.offsets) < n+1 && n > 0 {
		return fmt.Errorf("decoding texts: %w", io.ErrUnexpectedEOF)
	}
	s.shorts = s.shorts[:0]
	value := 0
	for _, r := range append(s.values, run{n, n}) {
		if s.dropped != nil {
			for ; value < r.start; value++ {
				s.dropped(first+value, s.texts[s.offsets[value]:s.offsets[value+1]])
			}
		}
		for value = r.start; value < r.end; value++ {
			s.shorts = append(s.shorts, int32(s.offsets[value+1]-s.offsets[value]))
			if s.bounded {
				s.bounds.text(s.texts[s.offsets[value]:s.offsets[value+1]])
			}
		}
	}
	if err := s.encoded(parquet.DeltaBinaryPacked.EncodeInt32(s.kept, s.shorts)); err != nil {
		return err
	}
	for _, r := range s.values {
		s.kept = append(s.kept, s.texts[s.offsets[r.start]:s.offsets[r.end]]...)
	}
	return nil
}

func (s *sieve) siftIndexes(values []byte, n int) error {
	if !s.dict.present {
		return errUnsieved
	}
	var err error
	if s.shorts, err = parquet.RLEDictionary.DecodeInt32(s.shorts[:0], values); err != nil {
		return fmt.Errorf("decoding indexes: %w", err)
	}
	if len(s.shorts) < n {
		return fmt.Errorf("decoding indexes: %w", io.ErrUnexpectedEOF)
	}
	known := uint32(s.dict.len())
	for _, r := range s.values {
		for _, index := range s.shorts[r.start:r.end] {
			if uint32(index) >= known {
				return fmt.Errorf("index %d lies past the dictionary", index)
			}
		}
		s.indexes = append(s.indexes, s.shorts[r.start:r.end]...)
	}
	if len(s.values) == 0 {
		s.kept = append(s.kept, 0) // the width of no indexes
	}
	return nil
}

func (s *sieve) siftInt64(values []byte, n int, plain bool) error {
	s.numbers = s.numbers[:0]
	if plain {
		if len(values) < 8*n {
			return fmt.Errorf("decoding numbers: %w", io.ErrUnexpectedEOF)
		}
		for i := range n {
			s.numbers = append(s.numbers, int64(binary.LittleEndian.Uint64(values[8*i:])))
		}
	} else {
		var err error
		if s.numbers, err = parquet.DeltaBinaryPacked.DecodeInt64(s.numbers, values); err != nil {
			return fmt.Errorf("decoding numbers: %w", err)
		}
		if len(s.numbers) < n {
			return fmt.Errorf("decoding numbers: %w", io.ErrUnexpectedEOF)
		}
	}
	kept := s.numbers[:0]
	for _, r := range s.values {
		for _, v := range s.numbers[r.start:r.end] {
			s.bounds.number(v)
		}
		kept = append(kept, s.numbers[r.start:r.end]...)
	}
	if !plain {
		return s.encoded(parquet.DeltaBinaryPacked.EncodeInt64(s.kept, kept))
	}
	for _, v := range kept {
		s.kept = binary.LittleEndian.AppendUint64(s.kept, uint64(v))
	}
	return nil
}

func (s *sieve) siftInt32(values []byte, n int, plain bool) error {
	s.shorts = s.shorts[:0]
	if plain {
		if len(values) < 4*n {
			return fmt.Errorf("decoding numbers: %w", io.ErrUnexpectedEOF)
		}
		for i := range n {
			s.shorts = append(s.shorts, int32(binary.LittleEndian.Uint32(values[4*i:])))
		}
	} else {
		var err error
		if s.shorts, err = parquet.DeltaBinaryPacked.DecodeInt32(s.shorts, values); err != nil {
			return fmt.Errorf("decoding numbers: %w", err)
		}
		if len(s.shorts) < n {
			return fmt.Errorf("decoding numbers: %w", io.ErrUnexpectedEOF)
		}
	}
	kept := s.shorts[:0]
	for _, r := range s.values {
		for _, v := range s.shorts[r.start:r.end] {
			s.bounds.number(int64(v))
		}
		kept = append(kept, s.shorts[r.start:r.end]...)
	}
	if !plain {
		return s.encoded(parquet.DeltaBinaryPacked.EncodeInt32(s.kept, kept))
	}
	for _, v := range kept {
		s.kept = binary.LittleEndian.AppendUint32(s.kept, uint32(v))
	}
	return nil
}

func (s *sieve) siftBits(values []byte, n int, encoding format.Encoding) error {
	bits := values
	if encoding == format.RLE {
		var err error
		if bits, err = parquet.RLE.DecodeBoolean(nil, values); err != nil {
			return fmt.Errorf("decoding booleans: %w", err)
		}
	}
	if len(bits) < (n+7)/8 {
		return fmt.Errorf("decoding booleans: %w", io.ErrUnexpectedEOF)
	}
	var kept []byte
	count := 0
	for _, r := range s.values {
		for i := r.start; i < r.end; i++ {
			if count&7 == 0 {
				kept = append(kept, 0)
			}
			bit := bits[i>>3] >> (i & 7) & 1
			kept[count>>3] |= bit << (count & 7)
			s.bounds.number(int64(bit))
			count++
		}
	}
	if encoding == format.RLE {
		return s.encoded(parquet.RLE.EncodeBoolean(s.kept, kept))
	}
	s.kept = append(s.kept, kept...)
	return nil
}

func (s *sieve) encoded(page []byte, err error) error {
	s.kept = page
	if err != nil {
		return fmt.Errorf("encoding a page: %w", err)
	}
	return nil
}
