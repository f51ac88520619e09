package catalog

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"

	"github.com/minio/minio-go/v7"
	"github.com/parquet-go/parquet-go"

	"github.com/shop-connect/shop-connect/internal/store"
)

// inMemory is the size up to which an object is held in memory; a larger one goes through a file.
const inMemory = 4 << 20

// ErrChanged is returned for an object that was overwritten or removed since it was registered.
var ErrChanged = errors.New("the object was overwritten meanwhile; do it again")

// Unreadable is what is wrong with an object that is no Parquet file of refused rows.
type Unreadable struct{ cause error }

func (u *Unreadable) Error() string { return "cannot be read: " + u.cause.Error() }

// Unwrap returns the cause.
func (u *Unreadable) Unwrap() error { return u.cause }

// file is an object of the bucket, here.
type file struct {
	io.ReaderAt
	size  int64
	close func()
}

func (c *Catalog) open(ctx context.Context, o store.QuarantineObject) (*file, error) {
	if o.ETag == "" { // it is to be registered again
		return nil, fmt.Errorf("reading %s: %w", c.url(o.Key), ErrChanged)
	}
	var options minio.GetObjectOptions
	if err := options.SetMatchETag(o.ETag); err != nil {
		return nil, fmt.Errorf("reading %s: %w", c.url(o.Key), err)
	}
	body, info, _, err := minio.Core{Client: c.Objects}.GetObject(ctx, c.Bucket, o.Key, options)
	if err != nil {
		if status := minio.ToErrorResponse(err).StatusCode; status == http.StatusPreconditionFailed || status == http.StatusNotFound {
			err = ErrChanged
		}
		return nil, fmt.Errorf("reading %s: %w", c.url(o.Key), err)
	}
	defer body.Close()
	if info.Size <= inMemory {
		whole, err := io.ReadAll(body)
		if err != nil {
			return nil, fmt.Errorf("reading %s: %w", c.url(o.Key), err)
		}
		return &file{ReaderAt: bytes.NewReader(whole), size: int64(len(whole)), close: func() {}}, nil
	}
	spool, err := NewSpool()
	if err != nil {
		return nil, err
	}
	size, err := io.Copy(spool, body)
	if err != nil {
		spool.Close()
		return nil, fmt.Errorf("reading %s: %w", c.url(o.Key), err)
	}
	return &file{ReaderAt: spool, size: size, close: spool.Close}, nil
}

// Spool is a file that is gone once it is closed, however the process ends.
type Spool struct{ *os.File }

// NewSpool makes one.
func NewSpool() (*Spool, error) {
	f, err := os.CreateTemp("", "quarantine-*")
	if err == nil {
		err = os.Remove(f.Name())
	}
	if err != nil {
		return nil, fmt.Errorf("making a temporary file: %w", err)
	}
	return &Spool{f}, nil
}

// Close frees the space. It is safe to call twice.
func (s *Spool) Close() { _ = s.File.Close() }

// required are the columns without which a file holds no refused rows.
var required = []string{"reasons", "_value"}

// eachBatch reads rows, some columns of them as T says. What the file itself is to blame for is an
// *Unreadable; an error of do is returned as it is.
func eachBatch[T any](f *file, batch int, do func(first int64, rows []T) error) (err error) {
	var doing error
	defer func() {
		if cause := recover(); cause != nil {
			// parquet-go panics on files that it does not understand
			err = &Unreadable{fmt.Errorf("%v", cause)}
		}
		if doing != nil {
			err = doing
		} else if err != nil {
			if _, ok := errors.AsType[*Unreadable](err); !ok {
				err = &Unreadable{err}
			}
		}
	}()
	parsed, err := parquet.OpenFile(f, f.size, parquet.SkipPageIndex(true), parquet.SkipBloomFilters(true))
	if err != nil {
		return err
	}
	for _, name := range required {
		if _, found := parsed.Schema().Lookup(name); !found {
			return fmt.Errorf("it has no column %s", name)
		}
	}
	reader := parquet.NewGenericReader[T](parsed)
	defer reader.Close()
	rows := make([]T, max(1, min(int64(batch), parsed.NumRows())))
	for first := int64(0); ; {
		clear(rows)
		n, err := reader.Read(rows)
		if n > 0 {
			if doing = do(first, rows[:n]); doing != nil {
				return doing
			}
			first += int64(n)
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}
