// Package icebergio lets iceberg-go read and write s3:// locations through minio-go, with one client
// for each store as long as the process lives.
//
// A table is loaded anew for every commit, and iceberg-go opens a file system for every table it loads.
// With a client of its own behind each of them, every load would leave connections behind until the
// store takes no more.
package icebergio

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"strings"
	"sync"

	icebergio "github.com/apache/iceberg-go/io"
	"github.com/minio/minio-go/v7"

	"github.com/shop-connect/shop-connect/internal/objectstore"
)

func init() { icebergio.Register("s3", open) }

var clients sync.Map // objectstore.Config -> *minio.Client

// open makes the file system of a location from the properties of its catalog.
func open(ctx context.Context, _ *url.URL, props map[string]string) (icebergio.IO, error) {
	config := objectstore.Config{
		Endpoint: props[icebergio.S3EndpointURL], Region: props[icebergio.S3Region],
		AccessKey: props[icebergio.S3AccessKeyID], SecretKey: props[icebergio.S3SecretAccessKey],
	}
	if config.Endpoint == "" {
		config.Endpoint = "https://s3.amazonaws.com"
	}
	if known, ok := clients.Load(config); ok {
		return &fileSystem{ctx, known.(*minio.Client)}, nil
	}
	client, err := config.Client()
	if err != nil {
		return nil, err
	}
	known, _ := clients.LoadOrStore(config, client)
	return &fileSystem{ctx, known.(*minio.Client)}, nil
}

// fileSystem has a context because the interface's methods take none.
type fileSystem struct {
	ctx    context.Context
	client *minio.Client
}

var (
	_ icebergio.ReadFileIO  = (*fileSystem)(nil)
	_ icebergio.WriteFileIO = (*fileSystem)(nil)
)

// split cuts s3://bucket/key.
func split(name string) (bucket, key string, err error) {
	rest, found := strings.CutPrefix(name, "s3://")
	bucket, key, slash := strings.Cut(rest, "/")
	if !found || !slash || bucket == "" || key == "" {
		return "", "", fmt.Errorf("reading location %q: it must be s3://bucket/key", name)
	}
	return bucket, key, nil
}

// pathError makes a missing object what iceberg-go looks for.
func pathError(op, name string, err error) error {
	if minio.ToErrorResponse(err).StatusCode == http.StatusNotFound {
		err = fs.ErrNotExist
	}
	return &fs.PathError{Op: op, Path: name, Err: err}
}

func (f *fileSystem) Open(name string) (icebergio.File, error) {
	bucket, key, err := split(name)
	if err != nil {
		return nil, err
	}
	info, err := f.client.StatObject(f.ctx, bucket, key, minio.StatObjectOptions{})
	if err != nil {
		return nil, pathError("open", name, err)
	}
	object := &object{ctx: f.ctx, client: f.client, name: name, bucket: bucket, key: key, info: info}
	return &file{SectionReader: io.NewSectionReader(object, 0, info.Size), object: object}, nil
}

func (f *fileSystem) ReadFile(name string) ([]byte, error) {
	bucket, key, err := split(name)
	if err != nil {
		return nil, err
	}
	body, err := f.client.GetObject(f.ctx, bucket, key, minio.GetObjectOptions{})
	if err != nil {
		return nil, pathError("read", name, err)
	}
	defer body.Close()
	content, err := io.ReadAll(body)
	if err != nil {
		return nil, pathError("read", name, err)
	}
	return content, nil
}

func (f *fileSystem) Remove(name string) error {
	bucket, key, err := split(name)
	if err != nil {
		return err
	}
	if err := f.client.RemoveObject(f.ctx, bucket, key, minio.RemoveObjectOptions{}); err != nil {
		return pathError("remove", name, err)
	}
	return nil
}

func (f *fileSystem) Create(name string) (icebergio.FileWriter, error) {
	bucket, key, err := split(name)
	if err != nil {
		return nil, err
	}
	return &writer{fileSystem: f, name: name, bucket: bucket, key: key}, nil
}

func (f *fileSystem) WriteFile(name string, content []byte) error {
	bucket, key, err := split(name)
	if err != nil {
		return err
	}
	_, err = f.client.PutObject(f.ctx, bucket, key, bytes.NewReader(content), int64(len(content)), minio.PutObjectOptions{})
	if err != nil {
		return pathError("write", name, err)
	}
	return nil
}
