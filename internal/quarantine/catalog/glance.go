package catalog

import (
	"context"
	"fmt"
	"io"
	"net/http"

	"github.com/minio/minio-go/v7"

	"github.com/shop-connect/shop-connect/internal/store"
)

// window is what a glance reads at a time.
const window = 512 << 10

// glance reads an object of which only the beginning is wanted, and no more of it than that takes. It keeps the
// part that it read last.
type glance struct {
	ctx     context.Context
	catalog *Catalog
	object  store.QuarantineObject
	offset  int64
	data    []byte
	// trouble is an error that was the store's and not the object's.
	trouble error
}

var _ io.ReaderAt = (*glance)(nil)

// ReadAt reads out of the part that is there, or gets another one.
func (g *glance) ReadAt(p []byte, offset int64) (int, error) {
	n := min(int64(len(p)), g.object.Bytes-offset)
	if offset < 0 || n <= 0 {
		return 0, io.EOF
	}
	if offset < g.offset || offset+n > g.offset+int64(len(g.data)) {
		if g.trouble = g.fetch(offset, min(max(n, window), g.object.Bytes-offset)); g.trouble != nil {
			return 0, g.trouble
		}
	}
	copy(p[:n], g.data[offset-g.offset:])
	if n < int64(len(p)) {
		return int(n), io.EOF
	}
	return int(n), nil
}

func (g *glance) fetch(offset, n int64) error {
	var options minio.GetObjectOptions
	if err := options.SetRange(offset, offset+n-1); err != nil {
		return err
	}
	if err := options.SetMatchETag(g.object.ETag); err != nil {
		return err
	}
	body, _, _, err := minio.Core{Client: g.catalog.Objects}.GetObject(g.ctx, g.catalog.Bucket, g.object.Key, options)
	if err != nil {
		if status := minio.ToErrorResponse(err).StatusCode; status == http.StatusPreconditionFailed || status == http.StatusNotFound {
			err = ErrChanged
		}
		return fmt.Errorf("reading %s: %w", g.catalog.url(g.object.Key), err)
	}
	defer body.Close()
	data := make([]byte, n)
	if _, err := io.ReadFull(body, data); err != nil {
		return fmt.Errorf("reading %s: %w", g.catalog.url(g.object.Key), err)
	}
	g.offset, g.data = offset, data
	return nil
}
