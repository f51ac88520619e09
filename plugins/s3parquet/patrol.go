package s3parquet

import (
	"cmp"
	"context"
	"fmt"
	"path"
	"strings"
	"time"

	"github.com/minio/minio-go/v7"

	"github.com/shop-connect/shop-connect/internal/store"
)

const (
	// listingStall is how long a listing may make no progress.
	listingStall = time.Minute
	// listingPage is how many objects of a listing are entered in the ledger at a time, which is also the
	// most that a store names in one answer.
	listingPage = 1000
)

// lookOver finds objects that nobody registered, by listing all of each entity or the next few keys.
func (p *pending) lookOver(ctx context.Context) error {
	if err := p.bucket.connect(ctx); err != nil {
		return err
	}
	for _, scope := range p.scopes {
		prefixes, err := p.prefixes(ctx, scope)
		if err != nil {
			return err
		}
		for _, prefix := range prefixes {
			if err := p.lookOverPrefix(ctx, scope.Entity, prefix); err != nil {
				return err
			}
		}
	}
	return nil
}

// prefixes returns what is to be listed of an entity: all of it, or its folders of one day.
func (p *pending) prefixes(ctx context.Context, scope store.RawScope) ([]string, error) {
	if scope.Day == "" {
		return []string{scope.Prefix}, nil
	}
	var folders []string
	err := p.bucket.list(ctx, minio.ListObjectsOptions{Prefix: scope.Prefix}, func(object minio.ObjectInfo) (bool, error) {
		if strings.HasSuffix(object.Key, "="+scope.Day+"/") {
			folders = append(folders, object.Key)
		}
		return true, nil
	})
	return folders, err
}

func (p *pending) lookOverPrefix(ctx context.Context, entity, prefix string) error {
	last, begun, err := p.ledger.store.Patrol(ctx, p.bucket.name, prefix)
	if err != nil {
		return err
	}
	began, err := p.ledger.store.Now(ctx)
	if err != nil {
		return err
	}
	options := minio.ListObjectsOptions{Prefix: prefix, Recursive: true}
	whole := p.full || !begun
	if !whole {
		options.StartAfter, options.MaxKeys = last, min(p.patrol, listingPage)
	}
	var found []store.RawObject
	enter := func() error {
		err := p.ledger.store.DiscoverRaw(ctx, p.bucket.name, entity, began, found)
		found = found[:0]
		return err
	}
	seen := 0
	err = p.bucket.list(ctx, options, func(object minio.ObjectInfo) (more bool, err error) {
		seen, last = seen+1, object.Key
		if visible(object.Key) {
			found = append(found, store.RawObject{
				Object: store.Object{Key: object.Key, ETag: object.ETag}, Size: object.Size, WrittenAt: object.LastModified,
			})
		}
		if len(found) == listingPage {
			err = enter()
		}
		return whole || seen < p.patrol, err
	})
	if err != nil {
		return err
	}
	if err := enter(); err != nil {
		return err
	}
	if whole || seen < p.patrol {
		last = "" // the end: the next run starts over
	}
	return p.ledger.store.SetPatrol(ctx, p.bucket.name, prefix, last)
}

// visible reports whether a key names a finished Parquet object. Spark, among others, writes below
// folders such as _temporary before it moves what is finished.
func visible(key string) bool {
	if path.Ext(key) != suffix {
		return false
	}
	for name := range strings.SplitSeq(key, "/") {
		if strings.HasPrefix(name, "_") || strings.HasPrefix(name, ".") {
			return false
		}
	}
	return true
}

// list hands over what a listing finds, until each wants no more.
func (b *bucket) list(ctx context.Context, options minio.ListObjectsOptions, each func(minio.ObjectInfo) (more bool, err error)) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	stall := time.AfterFunc(listingStall, func() {
		cancel(fmt.Errorf("nothing was heard for %s", listingStall))
	})
	defer stall.Stop()
	for object := range b.client.ListObjectsIter(ctx, b.name, options) {
		if object.Err != nil {
			err := cmp.Or(context.Cause(ctx), object.Err)
			return fmt.Errorf("listing s3://%s/%s: %w", b.name, options.Prefix, b.config.Explain(err, b.name))
		}
		more, err := each(object)
		if err != nil || !more {
			return err
		}
		stall.Reset(listingStall)
	}
	if err := context.Cause(ctx); err != nil {
		return fmt.Errorf("listing s3://%s/%s: %w", b.name, options.Prefix, err)
	}
	return nil
}
