package lakeupkeep

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/minio/minio-go/v7"

	"github.com/shop-connect/shop-connect/internal/objectstore"
	"github.com/shop-connect/shop-connect/internal/store"
)

const (
	parquetType = "application/vnd.apache.parquet"
	// metaCompaction is the user metadata of a merged object that says which merge it is of.
	metaCompaction = "Compaction"
)

// targetKey names a merged object. In the order of keys it is behind each of its sources: behind digits,
// by its last offset behind what was merged before, and by its id behind what reaches as far. A reader that
// lists the folder in that order meets a source before it is gone, or else the merged object.
func targetKey(slice store.Slice, first, last int64, id uuid.UUID) string {
	return fmt.Sprintf("%sc%019d-%s-%d.parquet", prefixOf(slice), last, strings.ReplaceAll(id.String(), "-", ""), first)
}

// finish puts a merged object and takes its sources away: a note, the object, the sources, the ledger. A
// crash before the object leaves a note that is forgotten, one after it a note that is followed.
func (w *compaction) finish(ctx context.Context, lock *store.StageLock, m *merge) error {
	if len(m.sources) < w.minObjects || m.rows == 0 {
		w.report.Left += int64(len(m.sources))
		return nil
	}
	content, size, err := m.end()
	if err != nil {
		return fmt.Errorf("merging %d objects of %s: %w", len(m.sources), prefixOf(m.slice), err)
	}
	id, err := uuid.NewV7()
	if err != nil {
		return fmt.Errorf("making an id: %w", err)
	}
	c := store.Compaction{
		ID: id.String(), Layer: w.layer, Bucket: w.bucket, Slice: m.slice, Target: targetKey(m.slice, m.first, m.last, id),
		Sources: m.sources, Rows: m.rows, Repeated: m.repeated, Bytes: m.taken, LastOffset: m.last,
	}
	if err := lock.NoteCompaction(ctx, c); err != nil {
		return err
	}
	options := minio.PutObjectOptions{
		ContentType: parquetType, DisableMultipart: true, UserMetadata: map[string]string{metaCompaction: c.ID},
	}
	put, err := w.client.PutObject(ctx, w.bucket, c.Target, content, size, options)
	if err != nil {
		return fmt.Errorf("writing s3://%s/%s: %w", w.bucket, c.Target, w.objects.Explain(err, w.bucket))
	}
	return w.follow(ctx, lock, c, put.ETag, size)
}

// follow does what is left to do once the merged object is there. Each step may be repeated.
func (w *compaction) follow(ctx context.Context, lock *store.StageLock, c store.Compaction, etag string, size int64) error {
	there, err := w.objectsOf(ctx, c.Slice)
	if err != nil {
		return err
	}
	merged := map[string]string{}
	for _, o := range c.Sources {
		merged[o.Key] = o.ETag
	}
	var gone []string
	for _, o := range there {
		// I4: a source that was overwritten meanwhile may hold more than what was read
		if was, ok := merged[o.key]; ok && was == o.etag {
			gone = append(gone, o.key)
		}
	}
	// who has lost the lock may not be alone any more
	if err := lock.Held(ctx); err != nil {
		return err
	}
	if err := w.remove(ctx, w.bucket, gone); err != nil {
		return err
	}
	if err := lock.CommitCompaction(ctx, c, etag, size, w.run); err != nil {
		return err
	}
	w.report.add(&c)
	return w.tell(ctx, w.run, w.report.String())
}

// finishOpen ends what earlier runs began.
func (w *compaction) finishOpen(ctx context.Context, entity string) error {
	open, err := w.store.OpenCompactions(ctx, w.layer, w.bucket, entity)
	if err != nil {
		return err
	}
	for _, c := range open {
		if err := w.finishOne(ctx, c); err != nil {
			return err
		}
	}
	return nil
}

func (w *compaction) finishOne(ctx context.Context, c store.Compaction) error {
	lock, err := w.store.LockStage(ctx, c.Slice)
	if err != nil {
		return err
	}
	defer lock.Release()
	// whoever had the lock may have been at it all the time
	if open, err := lock.CompactionOpen(ctx, c.ID); err != nil || !open {
		return err
	}
	info, err := w.client.StatObject(ctx, w.bucket, c.Target, minio.StatObjectOptions{})
	switch {
	case err != nil && minio.ToErrorResponse(err).Code == minio.NoSuchKey:
		return lock.DropCompaction(ctx, c.ID)
	case err != nil:
		return fmt.Errorf("looking at s3://%s/%s: %w", w.bucket, c.Target, w.objects.Explain(err, w.bucket))
	case info.UserMetadata[metaCompaction] != c.ID:
		return lock.DropCompaction(ctx, c.ID) // somebody else's: nothing may be removed for it
	}
	return w.follow(ctx, lock, c, info.ETag, info.Size)
}

// FinishMerges ends the merges of an entity that a crash has left, as the next compaction would. Whoever writes
// an object of the lake anew needs that first: a merge removes its sources in the states that it has noted.
func FinishMerges(ctx context.Context, objects objectstore.Config, client *minio.Client, ledger *store.Store, layer store.Layer, bucket, entity string) error {
	l := &lake{objects: objects, client: client, store: ledger}
	w := &compaction{compactor: &compactor{compactConfig: compactConfig{lake: l, layer: layer, bucket: bucket}, now: time.Now}}
	return w.finishOpen(ctx, entity)
}
