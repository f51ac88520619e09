package icebergio

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"

	icebergio "github.com/apache/iceberg-go/io"
	"github.com/minio/minio-go/v7"
)

var (
	_ icebergio.ListableIO      = (*fileSystem)(nil)
	_ icebergio.BulkRemovableIO = (*fileSystem)(nil)
)

// WalkDir lists the objects below a location. An object store has no folders: none are visited.
func (f *fileSystem) WalkDir(root string, visit fs.WalkDirFunc) error {
	bucket, prefix, err := split(strings.TrimSuffix(root, "/") + "/")
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(f.ctx)
	defer cancel() // ends the listing where visit does
	for object := range f.client.ListObjects(ctx, bucket, minio.ListObjectsOptions{Prefix: prefix, Recursive: true}) {
		if object.Err != nil {
			return pathError("list", root, object.Err)
		}
		if strings.HasSuffix(object.Key, "/") {
			continue // what a console leaves where somebody makes a folder
		}
		err := visit("s3://"+bucket+"/"+object.Key, fs.FileInfoToDirEntry(fileInfo{object}), nil)
		if errors.Is(err, fs.SkipAll) {
			return nil
		}
		if err != nil {
			return err
		}
	}
	return f.ctx.Err()
}

// DeleteFiles removes objects, a thousand a request. One that is not there counts as removed.
func (f *fileSystem) DeleteFiles(ctx context.Context, names []string) (deleted []string, err error) {
	byBucket := map[string][]string{}
	for _, name := range names {
		bucket, key, err := split(name)
		if err != nil {
			return nil, err
		}
		byBucket[bucket] = append(byBucket[bucket], key)
	}
	var faults []error
	for bucket, keys := range byBucket {
		objects := make(chan minio.ObjectInfo, len(keys))
		for _, key := range keys {
			objects <- minio.ObjectInfo{Key: key}
		}
		close(objects)
		failed := map[string]bool{}
		for fault := range f.client.RemoveObjects(ctx, bucket, objects, minio.RemoveObjectsOptions{}) {
			failed[fault.ObjectName] = true
			faults = append(faults, fmt.Errorf("removing s3://%s: %w", path.Join(bucket, fault.ObjectName), fault.Err))
		}
		for _, key := range keys {
			if !failed[key] {
				deleted = append(deleted, "s3://"+bucket+"/"+key)
			}
		}
	}
	return deleted, errors.Join(faults...)
}
