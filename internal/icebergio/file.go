package icebergio

import (
	"context"
	"io"
	"io/fs"
	"path"
	"time"

	"github.com/minio/minio-go/v7"
)

// object reads ranges of an object: Parquet asks for its footer and then for the columns it needs.
type object struct {
	ctx               context.Context
	client            *minio.Client
	name, bucket, key string
	info              minio.ObjectInfo
}

func (o *object) ReadAt(p []byte, offset int64) (int, error) {
	if offset >= o.info.Size {
		return 0, io.EOF
	}
	end := min(offset+int64(len(p)), o.info.Size)
	if end == offset {
		return 0, nil
	}
	// an object replaced meanwhile must not be read as half of each
	options := minio.GetObjectOptions{}
	if err := options.SetRange(offset, end-1); err != nil {
		return 0, pathError("read", o.name, err)
	}
	if err := options.SetMatchETag(o.info.ETag); err != nil {
		return 0, pathError("read", o.name, err)
	}
	core := minio.Core{Client: o.client}
	body, _, _, err := core.GetObject(o.ctx, o.bucket, o.key, options)
	if err != nil {
		return 0, pathError("read", o.name, err)
	}
	defer body.Close()
	n, err := io.ReadFull(body, p[:end-offset])
	if err != nil {
		return n, pathError("read", o.name, err)
	}
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

// file is an object opened for reading.
type file struct {
	*io.SectionReader
	object *object
}

func (f *file) Close() error               { return nil }
func (f *file) Stat() (fs.FileInfo, error) { return fileInfo{f.object.info}, nil }

type fileInfo struct{ object minio.ObjectInfo }

func (i fileInfo) Name() string       { return path.Base(i.object.Key) }
func (i fileInfo) Size() int64        { return i.object.Size }
func (i fileInfo) Mode() fs.FileMode  { return 0 }
func (i fileInfo) ModTime() time.Time { return i.object.LastModified }
func (i fileInfo) IsDir() bool        { return false }
func (i fileInfo) Sys() any           { return i.object }
