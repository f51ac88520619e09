package lakeupkeep

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"reflect"

	"github.com/minio/minio-go/v7"
	"github.com/parquet-go/parquet-go"

	"github.com/shop-connect/shop-connect/internal/parquetfile"
	"github.com/shop-connect/shop-connect/internal/store"
)

var (
	// errMoved is of an object that is gone, or overwritten, since it was listed.
	errMoved = errors.New("the object has changed since it was listed")
	// errElsewhere is of an object whose rows are not what its name says; who wrote it knows why.
	errElsewhere = errors.New("the object's rows are not those of its name in the order of their offsets")
)

// fault says why an object is left alone.
type fault struct{ reason string }

func (f fault) Error() string { return f.reason }

func isFault(err error) bool {
	_, ok := errors.AsType[fault](err)
	return ok
}

// maxGroupBytes bounds what a row group may become in memory; RAW writes a fraction of it.
const maxGroupBytes = 512 << 20

// read returns an object in the state in which it was listed.
func (w *compaction) read(ctx context.Context, o object) ([]byte, error) {
	var options minio.GetObjectOptions
	if err := options.SetMatchETag(o.etag); err != nil {
		return nil, fmt.Errorf("reading s3://%s/%s: %w", w.bucket, o.key, err)
	}
	body, _, _, err := minio.Core{Client: w.client}.GetObject(ctx, w.bucket, o.key, options)
	if err != nil {
		switch minio.ToErrorResponse(err).StatusCode {
		case http.StatusPreconditionFailed, http.StatusNotFound:
			if minio.ToErrorResponse(err).Code != minio.NoSuchBucket {
				return nil, errMoved
			}
		}
		return nil, fmt.Errorf("reading s3://%s/%s: %w", w.bucket, o.key, w.objects.Explain(err, w.bucket))
	}
	defer body.Close()
	content := make([]byte, o.size)
	if _, err := io.ReadFull(body, content); err != nil {
		return nil, fmt.Errorf("reading s3://%s/%s: %w", w.bucket, o.key, err)
	}
	return content, nil
}

// source is an object that is about to be merged, every value of which can be decoded.
type source struct {
	*parquet.File
	content []byte
	// columns holds for each column of the layout where it is in the file, or -1 where an older file lacks it.
	columns []int
	// same says that the file's schema is the layout's, so that row groups can be copied.
	same    bool
	offsets []int64
}

// openSource reads an object through: what is removed afterwards must be readable where it went.
func openSource(layout *parquetfile.Layout, like *parquet.File, slice store.Slice, content []byte) (s *source, err error) {
	defer func() {
		// parquet-go trusts lengths and indexes of pages; one that lies must not end the process
		if p := recover(); p != nil {
			s, err = nil, fault{fmt.Sprintf("cannot be decoded: %v", p)}
		}
	}()
	file, err := parquet.OpenFile(bytes.NewReader(content), int64(len(content)), parquet.SkipPageIndex(true), parquet.SkipBloomFilters(true))
	if err != nil {
		return nil, fault{"is not a readable Parquet file: " + err.Error()}
	}
	s = &source{File: file, content: content}
	if err := s.match(layout); err != nil {
		return nil, err
	}
	s.same = reflect.DeepEqual(file.Metadata().Schema[1:], like.Metadata().Schema[1:])
	pages := parquetfile.PageCheck{From: bytes.NewReader(content), Size: int64(len(content))}
	for number, group := range file.RowGroups() {
		meta := &file.Metadata().RowGroups[number]
		if meta.TotalByteSize > maxGroupBytes {
			return nil, fault{fmt.Sprintf("row group %d has %d bytes, more than %d", number, meta.TotalByteSize, maxGroupBytes)}
		}
		for i := range meta.Columns {
			if err := pages.Chunk(&meta.Columns[i]); err != nil {
				return nil, fault{fmt.Sprintf("row group %d, column %d: %v", number, i, err)}
			}
		}
		if err := s.check(layout, slice, group); err != nil {
			return nil, err
		}
	}
	if int64(len(s.offsets)) != file.NumRows() {
		return nil, fault{fmt.Sprintf("has %d offsets for %d rows", len(s.offsets), file.NumRows())}
	}
	for i := 1; i < len(s.offsets); i++ {
		if s.offsets[i] <= s.offsets[i-1] {
			return nil, errElsewhere
		}
	}
	return s, nil
}

// match finds the layout's columns in the file. A column that the layout does not have would be lost.
func (s *source) match(layout *parquetfile.Layout) error {
	wanted := layout.Schema.Fields()
	s.columns = make([]int, len(wanted))
	for i := range s.columns {
		s.columns[i] = -1
	}
	for i, column := range s.Root().Columns() {
		at := layout.Index(column.Name())
		if at < 0 {
			return fault{fmt.Sprintf("column %q is not in contract %q version %d", column.Name(), layout.Contract.Entity, layout.Contract.Version)}
		}
		if !column.Leaf() || column.Repeated() || column.Optional() && wanted[at].Required() || column.Type().String() != wanted[at].Type().String() {
			return fault{fmt.Sprintf("column %q is %s, must be %s", column.Name(), column.Type(), wanted[at].Type())}
		}
		s.columns[at] = i
	}
	for i, field := range wanted {
		if s.columns[i] < 0 && field.Required() {
			return fault{fmt.Sprintf("column %q is missing", field.Name())}
		}
	}
	return nil
}

// check decodes every value of a row group, holds its place against the slice and notes its offsets.
func (s *source) check(layout *parquetfile.Layout, slice store.Slice, group parquet.RowGroup) error {
	topic, partition, offset := layout.Index(parquetfile.ColumnTopic), layout.Index(parquetfile.ColumnPartition), layout.Index(parquetfile.ColumnOffset)
	for column, at := range s.columns {
		if at < 0 {
			continue
		}
		elsewhere, rows := false, int64(0)
		err := eachValues(group.ColumnChunks()[at], func(values []parquet.Value) error {
			rows += int64(len(values))
			for i := range values {
				switch column {
				case topic:
					elsewhere = elsewhere || string(values[i].ByteArray()) != slice.Topic
				case partition:
					elsewhere = elsewhere || values[i].Int32() != slice.Partition
				case offset:
					s.offsets = append(s.offsets, values[i].Int64())
				}
			}
			return nil
		})
		name := layout.Schema.Fields()[column].Name()
		switch {
		case err != nil:
			return fault{fmt.Sprintf("column %q cannot be decoded: %v", name, err)}
		case rows != group.NumRows():
			return fault{fmt.Sprintf("column %q has %d of %d rows", name, rows, group.NumRows())}
		case elsewhere:
			return errElsewhere
		}
	}
	return nil
}

// valuesAtOnce is how many values of a column are moved at a time.
const valuesAtOnce = 512

// eachValues hands over the values of a column of a row group, nulls among them.
func eachValues(chunk parquet.ColumnChunk, do func([]parquet.Value) error) error {
	pages := chunk.Pages()
	defer pages.Close()
	buffer := make([]parquet.Value, valuesAtOnce)
	for {
		page, err := pages.ReadPage()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		err = eachOfPage(page, buffer, do)
		parquet.Release(page)
		if err != nil {
			return err
		}
	}
}

func eachOfPage(page parquet.Page, buffer []parquet.Value, do func([]parquet.Value) error) error {
	values := page.Values()
	for {
		n, err := values.ReadValues(buffer)
		if n > 0 {
			if err := do(buffer[:n]); err != nil {
				return err
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err == nil && n == 0 {
			err = io.ErrNoProgress
		}
		if err != nil {
			return err
		}
	}
}
