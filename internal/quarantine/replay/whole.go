package replay

import (
	"context"
	"fmt"
	"strings"

	"github.com/minio/minio-go/v7"

	"github.com/shop-connect/shop-connect/internal/quarantine/catalog"
	"github.com/shop-connect/shop-connect/internal/store"
)

// wholeObjects decides objects that were refused whole. What cannot be read of the quarantine itself can
// only be discarded.
func (w *work) wholeObjects(ctx context.Context, objects []store.QuarantineObject) error {
	for _, o := range objects {
		if !o.Whole() || !strings.HasPrefix(o.Key, w.request.Source) {
			continue
		}
		if w.fate == store.Replayed {
			why, err := w.putBack(ctx, o)
			if err != nil {
				return err
			}
			if why != "" {
				if err := w.trouble(ctx, o, why); err != nil {
					return err
				}
				continue
			}
		}
		add(&w.report.Counts, store.Counts{Objects: 1, Bytes: o.Bytes})
		if w.request.DryRun {
			continue
		}
		if err := w.lock.Held(ctx); err != nil {
			return err
		}
		if err := w.Store.DecideObject(ctx, w.run, o, w.fate); err != nil {
			return err
		}
	}
	return nil
}

// putBack gives an object to the next run of STAGE once more. RAW usually holds it still; what was written
// there since is not overwritten.
func (w *work) putBack(ctx context.Context, o store.QuarantineObject) (why string, err error) {
	key, refusedWhole := catalog.WholeKey(o)
	if !refusedWhole {
		return o.Fault + "; discard it", nil
	}
	client := w.Catalog.Objects
	there, err := client.StatObject(ctx, w.RawBucket, key, minio.StatObjectOptions{})
	gone := minio.ToErrorResponse(err).Code == minio.NoSuchKey
	if err != nil && !gone {
		return "", fmt.Errorf("looking at s3://%s/%s: %w", w.RawBucket, key, err)
	}
	if w.request.DryRun {
		return "", nil
	}
	if gone {
		_, err := client.CopyObject(ctx, minio.CopyDestOptions{Bucket: w.RawBucket, Object: key},
			minio.CopySrcOptions{Bucket: w.Catalog.Bucket, Object: o.Key, MatchETag: o.ETag})
		if err != nil {
			return "", fmt.Errorf("putting %s back to s3://%s/%s: %w", o.Key, w.RawBucket, key, err)
		}
		if there, err = client.StatObject(ctx, w.RawBucket, key, minio.StatObjectOptions{}); err != nil {
			return "", fmt.Errorf("looking at s3://%s/%s: %w", w.RawBucket, key, err)
		}
	}
	return "", w.Store.StageAgain(ctx, store.RawObject{
		Object: store.Object{Bucket: w.RawBucket, Entity: o.Entity, Key: key, ETag: there.ETag}, Size: there.Size, WrittenAt: there.LastModified,
	})
}
