package store

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// Horizon is how far back is kept: what has a business day by its day, the rest by when it was written.
type Horizon struct{ time.Time }

// Day is the first business day that is kept.
func (h Horizon) Day() string { return h.UTC().Format(time.DateOnly) }

// ExpiredRaw returns objects of one entity that are older than is kept, in the order of their keys,
// beginning behind one. Those that are pending are counted and not returned: STAGE does not have them.
func (s *Store) ExpiredRaw(ctx context.Context, bucket, entity string, h Horizon, behind string, limit int) (expired []RawObject, err error) {
	rows, err := s.pool.Query(ctx, `
		SELECT bucket, entity, key, etag, size FROM raw_objects
		WHERE bucket = $1 AND entity = $2 AND key > $3 AND NOT pending AND CASE WHEN day <> '' THEN day < $4 ELSE written_at < $5 END
		ORDER BY key LIMIT $6`, bucket, entity, behind, h.Day(), h.Time, limit)
	if err != nil {
		return nil, fmt.Errorf("reading which objects of RAW are too old: %w", err)
	}
	expired, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (o RawObject, err error) {
		err = row.Scan(&o.Bucket, &o.Entity, &o.Key, &o.ETag, &o.Size)
		return o, err
	})
	if err != nil {
		return nil, fmt.Errorf("reading which objects of RAW are too old: %w", err)
	}
	return expired, nil
}

// ExpiredPending counts the objects that would be too old, were they in STAGE.
func (s *Store) ExpiredPending(ctx context.Context, bucket, entity string, h Horizon) (n int64, err error) {
	err = s.pool.QueryRow(ctx, `SELECT count(*) FROM raw_objects
		WHERE bucket = $1 AND entity = $2 AND pending AND CASE WHEN day <> '' THEN day < $3 ELSE written_at < $4 END`,
		bucket, entity, h.Day(), h.Time).Scan(&n)
	if err != nil {
		return 0, fmt.Errorf("counting old objects that wait for STAGE: %w", err)
	}
	return n, nil
}

// ExpireRaw takes objects out of the ledger that have not become pending, while remove takes them out of
// the bucket. Who writes one of them again meanwhile registers it after that, as new.
func (s *Store) ExpireRaw(ctx context.Context, objects []RawObject, run string, remove func(context.Context, []string) (Counts, error)) (removed Counts, err error) {
	if len(objects) == 0 {
		return removed, nil
	}
	keys, etags := make([]string, len(objects)), make([]string, len(objects))
	for i, o := range objects {
		keys[i], etags[i] = o.Key, o.ETag
	}
	err = pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		rows, err := tx.Query(ctx, `DELETE FROM raw_objects r USING unnest($2::text[], $3::text[]) AS o (key, etag)
			WHERE r.bucket = $1 AND r.key = o.key AND r.etag = o.etag AND NOT r.pending RETURNING r.key`, objects[0].Bucket, keys, etags)
		if err != nil {
			return err
		}
		settled, err := pgx.CollectRows(rows, pgx.RowTo[string])
		if err != nil {
			return err
		}
		if removed, err = remove(ctx, settled); err != nil || run == "" {
			return err
		}
		_, err = tx.Exec(ctx, addCounts, removed.arguments(run)...)
		return err
	})
	if err != nil {
		return Counts{}, fmt.Errorf("removing old objects of %q: %w", objects[0].Entity, err)
	}
	return removed, nil
}

// prunable are the tables that grow with history, and which of their rows nothing asks for any more when
// they are older than a time ($1).
var prunable = []struct{ table, where string }{
	{"batch_runs", `finished_at < $1`},
	{"purchase_deletions", `deleted_at < least($1, now() - interval '1 day')`},
	{"idempotency", `created_at < least($1, now() - interval '` + idempotencyKept + `')`},
	// an object that comes back is opened again, and its rows are skipped by their offsets (I3)
	{"stage_objects", `processed_at < $1 AND NOT EXISTS (SELECT FROM raw_objects r WHERE r.entity = stage_objects.entity AND r.key = stage_objects.key)
		AND stage_key = ''`},
}

// PruneLedgers removes rows that are older than a time, or only counts them; the counts are by table.
func (s *Store) PruneLedgers(ctx context.Context, before time.Time, dryRun bool) (map[string]int64, error) {
	pruned := map[string]int64{}
	for _, p := range prunable {
		query := `WITH gone AS (DELETE FROM ` + p.table + ` WHERE ` + p.where + ` RETURNING 1) SELECT count(*) FROM gone`
		if dryRun {
			query = `SELECT count(*) FROM ` + p.table + ` WHERE ` + p.where
		}
		var n int64
		if err := s.pool.QueryRow(ctx, query, before).Scan(&n); err != nil {
			return nil, fmt.Errorf("pruning table %s: %w", p.table, err)
		}
		pruned[p.table] = n
	}
	return pruned, nil
}

// ForgetStageKeys notes that objects of STAGE are gone. What they held stays known as staged, so that no
// run brings it back (I3).
func (s *Store) ForgetStageKeys(ctx context.Context, entity string, keys []string) error {
	_, err := s.pool.Exec(ctx, `UPDATE stage_objects SET stage_key = '' WHERE entity = $1 AND stage_key = ANY($2) AND stage_key <> ''`, entity, keys)
	if err != nil {
		return fmt.Errorf("noting that %d objects of STAGE are gone: %w", len(keys), err)
	}
	return nil
}
