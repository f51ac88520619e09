package erasure

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"path"
	"regexp"
	"strconv"
	"strings"

	"github.com/minio/minio-go/v7"

	"github.com/shop-connect/shop-connect/internal/parquetfile"
	"github.com/shop-connect/shop-connect/internal/store"
)

const (
	parquetType = "application/vnd.apache.parquet"
	// wholeBytes is up to what size an object is read in one request. Of a larger one the footer and one column
	// are read first.
	wholeBytes = 4 << 20
	// rewriteAttempts bounds how often an object is begun again because somebody overwrote it.
	rewriteAttempts = 5
)

// errMoved is of an object that is gone, or overwritten, since it was listed.
var errMoved = errors.New("the object has changed since it was listed")

// object is an object in one state.
type object struct {
	bucket, key, etag string
	size              int64
}

func (o object) url() string { return "s3://" + o.bucket + "/" + o.key }

// open gives access to an object in its state.
func (e *erasure) open(ctx context.Context, o object) (io.ReaderAt, error) {
	if o.size <= wholeBytes {
		content, err := e.read(ctx, o)
		return bytes.NewReader(content), err
	}
	var options minio.GetObjectOptions
	if err := options.SetMatchETag(o.etag); err != nil {
		return nil, fmt.Errorf("reading %s: %w", o.url(), err)
	}
	found, err := e.objects.GetObject(ctx, o.bucket, o.key, options)
	if err != nil {
		return nil, e.moved("reading", o, err)
	}
	return found, nil
}

func (e *erasure) read(ctx context.Context, o object) ([]byte, error) {
	var options minio.GetObjectOptions
	if err := options.SetMatchETag(o.etag); err != nil {
		return nil, fmt.Errorf("reading %s: %w", o.url(), err)
	}
	body, _, _, err := minio.Core{Client: e.objects}.GetObject(ctx, o.bucket, o.key, options)
	if err != nil {
		return nil, e.moved("reading", o, err)
	}
	defer body.Close()
	content, err := io.ReadAll(body)
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", o.url(), err)
	}
	return content, nil
}

// moved tells an object that has changed from a store that does not work.
func (e *erasure) moved(doing string, o object, err error) error {
	answer := minio.ToErrorResponse(err)
	switch {
	case answer.StatusCode == http.StatusPreconditionFailed, answer.Code == minio.NoSuchKey, answer.StatusCode == http.StatusConflict:
		return errMoved
	}
	return fmt.Errorf("%s %s: %w", doing, o.url(), e.cfg.objects.Explain(err, o.bucket))
}

// replace puts an object in the place of the state that was read, with the same user metadata.
func (e *erasure) replace(ctx context.Context, o object, content []byte) (etag string, err error) {
	var stat minio.StatObjectOptions
	if err := stat.SetMatchETag(o.etag); err != nil {
		return "", fmt.Errorf("looking at %s: %w", o.url(), err)
	}
	info, err := e.objects.StatObject(ctx, o.bucket, o.key, stat)
	if err != nil {
		return "", e.moved("looking at", o, err)
	}
	options := minio.PutObjectOptions{ContentType: info.ContentType, DisableMultipart: true, UserMetadata: info.UserMetadata}
	if options.ContentType == "" {
		options.ContentType = parquetType
	}
	options.SetMatchETag(o.etag)
	put, err := e.objects.PutObject(ctx, o.bucket, o.key, bytes.NewReader(content), int64(len(content)), options)
	if err != nil {
		return "", e.moved("writing", o, err)
	}
	return put.ETag, nil
}

// eachObject hands over the objects below a prefix that are not known to be clean, in the order of their keys.
func (e *erasure) eachObject(ctx context.Context, bucket, prefix string, do func(o object) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	for info := range e.objects.ListObjectsIter(ctx, bucket, minio.ListObjectsOptions{Prefix: prefix, Recursive: true}) {
		if info.Err != nil {
			return fmt.Errorf("listing s3://%s/%s: %w", bucket, prefix, e.cfg.objects.Explain(info.Err, bucket))
		}
		o := object{bucket, info.Key, info.ETag, info.Size}
		if e.clean[o.url()] == o.etag || strings.HasSuffix(o.key, "/") {
			continue
		}
		if err := do(o); err != nil {
			return err
		}
	}
	return ctx.Err()
}

// now returns an object as it is now; there is false where it is gone.
func (e *erasure) now(ctx context.Context, o object) (_ object, there bool, err error) {
	info, err := e.objects.StatObject(ctx, o.bucket, o.key, minio.StatObjectOptions{})
	if minio.ToErrorResponse(err).Code == minio.NoSuchKey {
		return o, false, nil
	}
	if err != nil {
		return o, false, fmt.Errorf("looking at %s: %w", o.url(), e.cfg.objects.Explain(err, o.bucket))
	}
	o.etag, o.size = info.ETag, info.Size
	return o, true, nil
}

// fresh runs a step on an object until it is not overwritten amid it.
func (e *erasure) fresh(ctx context.Context, o object, step func(o object) error) error {
	for attempt := 1; ; attempt++ {
		err := step(o)
		if !errors.Is(err, errMoved) {
			return err
		}
		if attempt == rewriteAttempts {
			return fmt.Errorf("rewriting %s: others keep overwriting it; start the erasure again", o.url())
		}
		now, there, err := e.now(ctx, o)
		if err != nil || !there {
			return err
		}
		o = now
	}
}

// placed is how objects are named that hold rows of one partition.
var placed = regexp.MustCompile(`^([a-zA-Z0-9_-][a-zA-Z0-9._-]*)-(\d+)-(?:c\d{19}-[0-9a-f]{32}-)?\d+\.parquet$`)

// sliceOf is what an object is locked by: who stages or merges it has the same lock. Rows know it best; an
// object that has none, or cannot be read, is known by its name.
func sliceOf(t *rowsFile, entity, key string) store.Slice {
	rest := strings.TrimPrefix(key, entity+"/")
	slice := store.Slice{Entity: entity, Day: strings.TrimSuffix(path.Dir(rest), "."), Key: key}
	if t != nil && t.NumRows() > 0 && t.at(parquetfile.ColumnTopic) >= 0 {
		if topic, partition, ok := t.origin(); ok {
			slice.Topic, slice.Partition = topic, partition
		}
		return slice
	}
	if parts := placed.FindStringSubmatch(path.Base(rest)); parts != nil {
		if partition, err := strconv.ParseInt(parts[2], 10, 32); err == nil {
			slice.Topic, slice.Partition = parts[1], int32(partition)
		}
	}
	return slice
}
