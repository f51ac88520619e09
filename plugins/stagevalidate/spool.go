package stagevalidate

import (
	"bufio"
	"encoding/base64"
	"fmt"
	"hash"
	"hash/crc32"
	"io"
	"os"
)

// spool is an object on its way out: on disk, because its size is known only at its end and memory is
// for row groups.
type spool struct {
	file   *os.File
	buffer *bufio.Writer
	size   int64
	crc    hash.Hash32
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func newSpool() (*spool, error) {
	f, err := os.CreateTemp("", "shop-connect-stage-*.parquet")
	if err != nil {
		return nil, fmt.Errorf("creating a temporary file: %w; TMPDIR names where", err)
	}
	// the name is not needed, and without it a crash leaves nothing behind
	if err := os.Remove(f.Name()); err != nil {
		return nil, fmt.Errorf("hiding a temporary file: %w", err)
	}
	return &spool{file: f, buffer: bufio.NewWriterSize(f, 1<<20), crc: crc32.New(castagnoli)}, nil
}

func (s *spool) Write(p []byte) (int, error) {
	n, err := s.buffer.Write(p)
	s.size += int64(n)
	s.crc.Write(p[:n])
	if err != nil {
		return n, fmt.Errorf("writing a temporary file: %w", err)
	}
	return n, nil
}

// reader returns what was written, from its beginning.
func (s *spool) reader() (*io.SectionReader, error) {
	if err := s.buffer.Flush(); err != nil {
		return nil, fmt.Errorf("writing a temporary file: %w", err)
	}
	return io.NewSectionReader(s.file, 0, s.size), nil
}

// checksum is that of all bytes, as S3 writes it.
func (s *spool) checksum() string { return base64.StdEncoding.EncodeToString(s.crc.Sum(nil)) }

// close frees the disk space. It is safe on nil.
func (s *spool) close() {
	if s != nil {
		_ = s.file.Close()
	}
}
