package reconcile

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"

	"github.com/RoaringBitmap/roaring/v2/roaring64"
	"github.com/minio/minio-go/v7"
	"github.com/parquet-go/parquet-go"
	"golang.org/x/sync/errgroup"
)

const (
	bucketRaw        = "shop-raw-data"
	bucketStage      = "shop-stage-data"
	bucketQuarantine = "shop-quarantine"
	prefix           = "purchases/"
	layerFolder      = "layer="
	suffix           = ".parquet"

	// A small object is read whole: one request is cheaper than one for each part of it.
	smallObject    = 1 << 20
	readBuffer     = 256 << 10
	readConcurrent = 8
)

// objectKey names one version of one object.
type objectKey struct{ bucket, key, etag string }

// object is what one Parquet object holds.
type object struct {
	rows   int64
	places []places
	// unplaced rows carry no place in Kafka.
	unplaced int64
}

// objectCounter counts the rows of Parquet objects, each version of an object once.
type objectCounter struct {
	store *minio.Client
	known map[objectKey]object
}

// records counts a bucket's purchases; each of its rows must say which Kafka record it was.
func (c *objectCounter) records(ctx context.Context, bucket string) (Records, error) {
	keys, err := c.read(ctx, bucket)
	if err != nil {
		return Records{}, err
	}
	var r Records
	distinct := newPlaceSet()
	for _, key := range keys {
		o := c.known[key]
		if o.unplaced > 0 {
			return Records{}, fmt.Errorf("reading %s/%s: %d of its rows have no %s, %s and %s", bucket, key.key, o.unplaced, columnTopic, columnPartition, columnOffset)
		}
		r.Rows += o.rows
		distinct.add(o.places)
	}
	r.Distinct = distinct.count()
	return r, nil
}

// quarantined counts refused rows by layer. A row that a layer refused twice counts once where its place is
// known.
func (c *objectCounter) quarantined(ctx context.Context) (map[string]int64, error) {
	keys, err := c.read(ctx, bucketQuarantine)
	if err != nil {
		return nil, err
	}
	counts, distinct := map[string]int64{}, map[string]*placeSet{}
	for _, key := range keys {
		layer, ok := layerOf(key.key)
		if !ok {
			return nil, fmt.Errorf("reading %s/%s: its key names no %s<layer>", bucketQuarantine, key.key, layerFolder)
		}
		if distinct[layer] == nil {
			distinct[layer] = newPlaceSet()
		}
		distinct[layer].add(c.known[key].places)
	}
	for layer, set := range distinct {
		counts[layer] += set.count()
	}
	return counts, nil
}

func layerOf(key string) (string, bool) {
	_, rest, found := strings.Cut(key, "/"+layerFolder)
	layer, _, _ := strings.Cut(rest, "/")
	return layer, found && layer != ""
}

// read makes sure that every object of the bucket is known, and returns their keys.
func (c *objectCounter) read(ctx context.Context, bucket string) ([]objectKey, error) {
	var keys, unknown []objectKey
	sizes := map[objectKey]int64{}
	for info := range c.store.ListObjectsIter(ctx, bucket, minio.ListObjectsOptions{Prefix: prefix, Recursive: true}) {
		if info.Err != nil {
			return nil, fmt.Errorf("listing %s/%s: %w", bucket, prefix, info.Err)
		}
		if !strings.HasSuffix(info.Key, suffix) {
			continue
		}
		key := objectKey{bucket: bucket, key: info.Key, etag: info.ETag}
		keys = append(keys, key)
		if _, ok := c.known[key]; !ok {
			unknown = append(unknown, key)
			sizes[key] = info.Size
		}
	}
	var mu sync.Mutex
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(readConcurrent)
	for _, key := range unknown {
		group.Go(func() error {
			o, err := c.readObject(ctx, key, sizes[key])
			if err != nil {
				return fmt.Errorf("reading %s/%s: %w", bucket, key.key, err)
			}
			mu.Lock()
			defer mu.Unlock()
			c.known[key] = o
			return nil
		})
	}
	return keys, group.Wait()
}

func (c *objectCounter) readObject(ctx context.Context, key objectKey, size int64) (object, error) {
	var reader io.ReaderAt = &rangeReader{ctx: ctx, store: c.store, key: key}
	if size <= smallObject {
		whole := make([]byte, size)
		if n, err := reader.ReadAt(whole, 0); err != nil && (!errors.Is(err, io.EOF) || int64(n) < size) {
			return object{}, err
		}
		reader = bytes.NewReader(whole)
	}
	if key.bucket == bucketQuarantine {
		return countRefused(reader, size, key.key)
	}
	return countParquet(reader, size)
}

// rangeReader reads parts of an object, so that only the columns that are counted travel.
type rangeReader struct {
	ctx   context.Context
	store *minio.Client
	key   objectKey
}

var _ io.ReaderAt = (*rangeReader)(nil)

func (r *rangeReader) ReadAt(p []byte, offset int64) (n int, err error) {
	if len(p) == 0 {
		return 0, nil
	}
	var options minio.GetObjectOptions
	if err := options.SetRange(offset, offset+int64(len(p))-1); err != nil {
		return 0, fmt.Errorf("asking for %d bytes at %d: %w", len(p), offset, err)
	}
	if err := options.SetMatchETag(r.key.etag); err != nil {
		return 0, fmt.Errorf("asking for version %s: %w", r.key.etag, err)
	}
	body, err := r.store.GetObject(r.ctx, r.key.bucket, r.key.key, options)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, body.Close()) }()
	n, err = io.ReadFull(body, p)
	if errors.Is(err, io.ErrUnexpectedEOF) {
		err = io.EOF
	}
	return n, err
}

// countParquet reads the columns that say which Kafka record each row was.
func countParquet(reader io.ReaderAt, size int64) (object, error) {
	file, err := parquet.OpenFile(reader, size,
		parquet.SkipPageIndex(true), parquet.SkipBloomFilters(true), parquet.ReadBufferSize(readBuffer))
	if err != nil {
		return object{}, fmt.Errorf("opening Parquet: %w", err)
	}
	o := object{rows: file.NumRows()}
	columns, ok := placeColumns(file.Schema())
	if !ok {
		o.unplaced = o.rows
		return o, nil
	}
	set := newPlaceSet()
	for _, group := range file.RowGroups() {
		unplaced, err := set.addRowGroup(group, columns)
		if err != nil {
			return object{}, err
		}
		o.unplaced += unplaced
	}
	o.places = set.list()
	return o, nil
}

// The place of a row: the Kafka record it was.
const (
	columnTopic     = "_topic"
	columnPartition = "_partition"
	columnOffset    = "_offset"
)

// partition is one partition of one topic.
type partition struct {
	topic  string
	number int64
}

// places are offsets of one partition.
type places struct {
	partition
	offsets *roaring64.Bitmap
}
