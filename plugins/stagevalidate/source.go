package stagevalidate

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/minio/minio-go/v7"

	"github.com/shop-connect/shop-connect/internal/parquetfile"
	"github.com/shop-connect/shop-connect/internal/store"
)

const (
	// wholeBytes is the size up to which an object is read at once.
	wholeBytes = 4 << 20
	// footerBytes is read first of a larger one; it holds the footer of all but the widest files.
	footerBytes = 256 << 10
	// windowBytes is read at least, where nothing better is known.
	windowBytes = 2 << 20
	// spanBytes bounds what is read ahead of a row group, and so the memory that it takes.
	spanBytes = 64 << 20

	readAttempts = 3
)

var (
	errChanged = errors.New("the object was overwritten while it was read")
	errGone    = errors.New("the object is gone")
)

// object names a state of a RAW object, and what its rows must be.
type object struct {
	bucket, key, etag string
	size              int64
	// seen is a moment at which its rows were there.
	seen time.Time
	// listed is the ETag that it was named by, where it has been overwritten since.
	listed string
	layout *parquetfile.Layout
}

func (o object) entity() string { return o.layout.Contract.Entity }

// rest is the key below the entity's folder.
func (o object) rest() string { return strings.TrimPrefix(o.key, o.entity()+"/") }

// name is how the ledger knows it.
func (o object) name() store.Object {
	return store.Object{Bucket: o.bucket, Entity: o.entity(), Key: o.key, ETag: o.etag, Listed: o.listed}
}

// source reads an object by ranges. parquet-go reads many small pieces; the source reads few large ones
// and keeps what was read ahead. It is not safe for concurrent use.
type source struct {
	ctx    context.Context
	client *minio.Client
	object object

	// local has the object's bytes in the form that counts, where they were converted.
	local io.ReaderAt

	tail, ahead, window span
	// trouble is the first error that was the store's and not the object's.
	trouble error
}

// span is a part of the object that is in memory.
type span struct {
	offset int64
	data   []byte
}

func (s *span) holds(offset int64, n int) bool {
	return offset >= s.offset && offset+int64(n) <= s.offset+int64(len(s.data))
}

var _ io.ReaderAt = (*source)(nil)

func newSource(ctx context.Context, client *minio.Client, o object) (*source, error) {
	s := &source{ctx: ctx, client: client, object: o}
	n := int64(footerBytes)
	if o.size <= wholeBytes {
		n = o.size
	}
	if n == 0 {
		return s, nil
	}
	return s, s.fetch(&s.tail, o.size-n, n)
}

// ReadAt reads what an earlier read left in memory, or a window around it.
func (s *source) ReadAt(p []byte, offset int64) (int, error) {
	if offset < 0 || offset >= s.object.size {
		return 0, io.EOF
	}
	n := min(int64(len(p)), s.object.size-offset)
	from := &s.window
	for _, have := range []*span{&s.tail, &s.ahead, &s.window} {
		if have.holds(offset, int(n)) {
			from = have
		}
	}
	if !from.holds(offset, int(n)) {
		if err := s.fetch(from, offset, min(max(n, windowBytes), s.object.size-offset)); err != nil {
			return 0, err
		}
	}
	copy(p[:n], from.data[offset-from.offset:])
	if n < int64(len(p)) {
		return int(n), io.EOF
	}
	return int(n), nil
}

// readAhead brings a part of the object into memory at once, unless it is too large for that.
func (s *source) readAhead(offset, n int64) error {
	if n <= 0 || n > spanBytes || offset < 0 || offset+n > s.object.size || s.tail.holds(offset, int(n)) || s.ahead.holds(offset, int(n)) {
		return nil
	}
	return s.fetch(&s.ahead, offset, n)
}

func (s *source) fetch(into *span, offset, n int64) error {
	if int64(cap(into.data)) < n {
		into.data = make([]byte, n)
	}
	into.offset, into.data = offset, into.data[:n]
	var err error
	for range readAttempts {
		if err = s.get(into.data, offset); err == nil {
			return nil
		}
		if errors.Is(err, errChanged) || errors.Is(err, errGone) || s.ctx.Err() != nil {
			break
		}
	}
	into.data = into.data[:0]
	s.trouble = fmt.Errorf("reading s3://%s/%s: %w", s.object.bucket, s.object.key, err)
	return s.trouble
}

func (s *source) get(p []byte, offset int64) error {
	if s.local != nil {
		_, err := s.local.ReadAt(p, offset)
		return err
	}
	var options minio.GetObjectOptions
	if err := options.SetRange(offset, offset+int64(len(p))-1); err != nil {
		return err
	}
	if err := options.SetMatchETag(s.object.etag); err != nil {
		return err
	}
	body, _, _, err := minio.Core{Client: s.client}.GetObject(s.ctx, s.object.bucket, s.object.key, options)
	if err != nil {
		switch minio.ToErrorResponse(err).StatusCode {
		case http.StatusPreconditionFailed, http.StatusRequestedRangeNotSatisfiable:
			return errChanged
		case http.StatusNotFound:
			return errGone
		}
		return err
	}
	defer body.Close()
	_, err = io.ReadFull(body, p)
	return err
}
