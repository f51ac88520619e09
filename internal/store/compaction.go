package store

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// Layer is a layer of the lake whose objects can be merged.
type Layer string

// The layers.
const (
	LayerRaw   Layer = "raw"
	LayerStage Layer = "stage"
)

// Compaction is the merge of several objects of one slice into one.
type Compaction struct {
	ID     string
	Layer  Layer
	Bucket string
	Slice
	// Target is the key of the object that the Sources become. They are named in the states that were read.
	Target  string
	Sources []Object
	// Rows are those of the target, Repeated what sources had more than once, Bytes what they took.
	Rows, Repeated, Bytes int64
	LastOffset            int64
}

// counts is what a merge adds to its run: objects are those that were merged.
func (c *Compaction) counts() Counts {
	return Counts{
		RowsIn: c.Rows + c.Repeated, RowsOut: c.Rows, RowsSkipped: c.Repeated,
		Objects: int64(len(c.Sources)), Bytes: c.Bytes,
	}
}

func (c *Compaction) states() (keys, etags []string) {
	for _, o := range c.Sources {
		keys, etags = append(keys, o.Key), append(etags, o.ETag)
	}
	return keys, etags
}

// Mergeable returns those of some keys that may be merged: of RAW what is in STAGE in its present state,
// and was not refused whole; of STAGE what a commit entered, and no crash left. RAW's come with the ETags
// of these states.
func (s *Store) Mergeable(ctx context.Context, layer Layer, bucket, entity string, keys []string) (map[string]string, error) {
	query := `
		SELECT r.key, r.etag FROM raw_objects r
		WHERE r.bucket = $1 AND r.entity = $2 AND r.key = ANY($3) AND NOT r.pending AND NOT EXISTS (
			SELECT FROM stage_objects o WHERE o.entity = r.entity AND o.key = r.key AND o.etag = r.etag AND o.fault <> '')`
	if layer == LayerStage {
		query = `SELECT DISTINCT stage_key, '' FROM stage_objects WHERE $1 <> '' AND entity = $2 AND stage_key = ANY($3) AND stage_key <> ''`
	}
	rows, err := s.pool.Query(ctx, query, bucket, entity, keys)
	if err != nil {
		return nil, fmt.Errorf("asking which objects of %s may be merged: %w", layer, err)
	}
	found := map[string]string{}
	var key, etag string
	if _, err = pgx.ForEachRow(rows, []any{&key, &etag}, func() error { found[key] = etag; return nil }); err != nil {
		return nil, fmt.Errorf("asking which objects of %s may be merged: %w", layer, err)
	}
	return found, nil
}

// OpenCompactions returns the merges of an entity that were begun and have not ended: by a crash, or
// because they are under way.
func (s *Store) OpenCompactions(ctx context.Context, layer Layer, bucket, entity string) ([]Compaction, error) {
	rows, err := s.pool.Query(ctx, `
		SELECT id::text, layer, bucket, entity, topic, partition, day, target, sources, etags, rows, repeated, bytes, last_offset
		FROM compactions WHERE layer = $1 AND bucket = $2 AND entity = $3 ORDER BY created_at`, string(layer), bucket, entity)
	if err != nil {
		return nil, fmt.Errorf("reading which merges have not ended: %w", err)
	}
	open, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (c Compaction, err error) {
		var keys, etags []string
		err = row.Scan(&c.ID, &c.Layer, &c.Bucket, &c.Entity, &c.Topic, &c.Partition, &c.Day, &c.Target, &keys, &etags,
			&c.Rows, &c.Repeated, &c.Bytes, &c.LastOffset)
		for i := range keys {
			c.Sources = append(c.Sources, Object{Bucket: c.Bucket, Entity: c.Entity, Key: keys[i], ETag: etags[i]})
		}
		return c, err
	})
	if err != nil {
		return nil, fmt.Errorf("reading which merges have not ended: %w", err)
	}
	return open, nil
}

// NoteCompaction notes what is about to be put and removed.
func (l *StageLock) NoteCompaction(ctx context.Context, c Compaction) error {
	keys, etags := c.states()
	_, err := l.conn.Exec(ctx, `
		INSERT INTO compactions (id, layer, bucket, entity, topic, partition, day, target, sources, etags, rows, repeated, bytes, last_offset)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)`,
		c.ID, string(c.Layer), c.Bucket, c.Entity, c.Topic, c.Partition, c.Day, c.Target, keys, etags, c.Rows, c.Repeated, c.Bytes, c.LastOffset)
	if err != nil {
		return fmt.Errorf("noting the merge into %q: %w", c.Target, err)
	}
	return nil
}

// CompactionOpen reports whether a merge has not been ended by somebody else meanwhile.
func (l *StageLock) CompactionOpen(ctx context.Context, id string) (open bool, err error) {
	if err := l.conn.QueryRow(ctx, `SELECT EXISTS (SELECT FROM compactions WHERE id = $1)`, id).Scan(&open); err != nil {
		return false, fmt.Errorf("asking whether merge %s has ended: %w", id, err)
	}
	return open, nil
}

const dropCompaction = `DELETE FROM compactions WHERE id = $1`

// DropCompaction forgets a merge whose object was never put.
func (l *StageLock) DropCompaction(ctx context.Context, id string) error {
	if _, err := l.conn.Exec(ctx, dropCompaction, id); err != nil {
		return fmt.Errorf("forgetting merge %s: %w", id, err)
	}
	return nil
}

// CommitCompaction enters a merge whose sources are gone: the merged object takes their place in the
// ledger, and the run counts them, in one transaction. A merged object of RAW is settled: all of its rows
// are in STAGE or in quarantine (I4), and whoever finds it in a listing skips them (I3).
func (l *StageLock) CommitCompaction(ctx context.Context, c Compaction, etag string, size int64, run string) error {
	keys, etags := c.states()
	batch := &pgx.Batch{}
	batch.Queue(dropCompaction, c.ID)
	switch c.Layer {
	case LayerRaw:
		batch.Queue(`DELETE FROM raw_objects r USING unnest($2::text[], $3::text[]) AS o (key, etag)
			WHERE r.bucket = $1 AND r.key = o.key AND r.etag = o.etag`, c.Bucket, keys, etags)
		batch.Queue(`INSERT INTO raw_objects (bucket, entity, key, etag, size, rows, last_offset, pending) VALUES ($1, $2, $3, $4, $5, $6, $7, false)
			ON CONFLICT (bucket, key) DO UPDATE SET etag = excluded.etag, size = excluded.size, rows = excluded.rows,
				last_offset = excluded.last_offset, pending = false`, c.Bucket, c.Entity, c.Target, etag, size, c.Rows, c.LastOffset)
		batch.Queue(`INSERT INTO stage_objects (entity, key, etag, rows_in, rows_out, rows_refused, rows_skipped) VALUES ($1, $2, $3, $4, 0, 0, $4)
			ON CONFLICT (entity, key, etag) DO NOTHING`, c.Entity, c.Target, etag, c.Rows)
	case LayerStage:
		batch.Queue(`UPDATE stage_objects SET stage_key = $2 WHERE entity = $1 AND stage_key = ANY($3)`, c.Entity, c.Target, keys)
	}
	if run != "" {
		batch.Queue(addCounts, c.counts().arguments(run)...)
	}
	err := pgx.BeginFunc(ctx, l.conn, func(tx pgx.Tx) error { return tx.SendBatch(ctx, batch).Close() })
	if err != nil {
		return fmt.Errorf("entering the merged object %q: %w", c.Target, err)
	}
	return nil
}
