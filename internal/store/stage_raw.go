package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// RawObject is an object of RAW in the state that was last heard of.
type RawObject struct {
	Object
	Size      int64
	WrittenAt time.Time
	// Rows and LastOffset are of what a stream of ours wrote; 0 rows are not counted ones.
	Rows, LastOffset int64
	// RegisteredAt is when the ledger heard of this state.
	RegisteredAt time.Time
}

// RegisterRaw enters objects of one entity that were just written, and makes those pending that are not
// in STAGE as they are now. One that does not reach as far as what is known of its key stands for less
// than what is there, and comes from a writer that was overtaken: it changes nothing.
func (s *Store) RegisterRaw(ctx context.Context, bucket, entity string, objects []RawObject) error {
	n := len(objects)
	keys, etags, sizes, rows, last := make([]string, n), make([]string, n), make([]int64, n), make([]int64, n), make([]int64, n)
	for i, o := range objects {
		keys[i], etags[i], sizes[i], rows[i], last[i] = o.Key, o.ETag, o.Size, o.Rows, o.LastOffset
	}
	// in the order of keys, so that two writers of the same ones do not wait for each other
	_, err := s.pool.Exec(ctx, `
		INSERT INTO raw_objects AS known (bucket, entity, key, etag, size, rows, last_offset)
		SELECT $1, $2, o.key, o.etag, o.size, nullif(o.rows, 0), o.last_offset
		FROM unnest($3::text[], $4::text[], $5::bigint[], $6::bigint[], $7::bigint[])
			AS o (key, etag, size, rows, last_offset) ORDER BY o.key
		ON CONFLICT (bucket, key) DO UPDATE SET
			etag = excluded.etag, size = excluded.size, rows = excluded.rows, last_offset = excluded.last_offset,
			written_at = excluded.written_at, registered_at = excluded.registered_at,
			pending = known.pending OR known.etag <> excluded.etag
		WHERE known.last_offset <= excluded.last_offset`, bucket, entity, keys, etags, sizes, rows, last)
	if err != nil {
		return fmt.Errorf("registering %d objects of %q in PostgreSQL: %w", n, entity, err)
	}
	return nil
}

// DiscoverRaw enters objects of one entity that a listing found. What was registered after the listing
// began is newer than what it says.
func (s *Store) DiscoverRaw(ctx context.Context, bucket, entity string, began time.Time, objects []RawObject) error {
	n := len(objects)
	keys, etags, sizes, written := make([]string, n), make([]string, n), make([]int64, n), make([]time.Time, n)
	for i, o := range objects {
		keys[i], etags[i], sizes[i], written[i] = o.Key, o.ETag, o.Size, o.WrittenAt
	}
	_, err := s.pool.Exec(ctx, `
		INSERT INTO raw_objects AS known (bucket, entity, key, etag, size, written_at, pending)
		SELECT $1, $2, o.*, NOT EXISTS (
			SELECT FROM stage_objects s WHERE s.entity = $2 AND s.key = o.key AND s.etag = o.etag)
		FROM unnest($3::text[], $4::text[], $5::bigint[], $6::timestamptz[]) AS o (key, etag, size, written_at) ORDER BY o.key
		ON CONFLICT (bucket, key) DO UPDATE SET
			etag = excluded.etag, size = excluded.size, rows = NULL, written_at = excluded.written_at,
			registered_at = excluded.registered_at, pending = excluded.pending
		WHERE known.etag <> excluded.etag AND known.registered_at < $7`, bucket, entity, keys, etags, sizes, written, began)
	if err != nil {
		return fmt.Errorf("registering %d listed objects of %q in PostgreSQL: %w", n, entity, err)
	}
	return nil
}

// Now is the database's clock, which all times of the ledger are of.
func (s *Store) Now(ctx context.Context) (now time.Time, err error) {
	if err := s.pool.QueryRow(ctx, `SELECT clock_timestamp()`).Scan(&now); err != nil {
		return now, fmt.Errorf("asking PostgreSQL for the time: %w", err)
	}
	return now, nil
}

// RawScope is a part of RAW.
type RawScope struct {
	Bucket, Entity string
	// Prefix is what keys begin with.
	Prefix string
	// Day is a business day as 2006-01-02; empty means all.
	Day string
	// Until leaves out what was registered later, so that a reader comes to an end.
	Until time.Time
}

// PendingRaw returns objects that are not in STAGE as they are now, those first that were registered
// first, beginning behind one that it returned before.
func (s *Store) PendingRaw(ctx context.Context, scope RawScope, behind RawObject, limit int) ([]RawObject, error) {
	rows, err := s.pool.Query(ctx, `
		SELECT bucket, entity, key, etag, size, written_at, registered_at FROM raw_objects
		WHERE pending AND bucket = $1 AND entity = $2 AND starts_with(key, $3) AND ($4 = '' OR day = $4)
			AND registered_at <= $5 AND (registered_at, key) > ($6, $7)
		ORDER BY registered_at, key LIMIT $8`,
		scope.Bucket, scope.Entity, scope.Prefix, scope.Day, scope.Until, behind.RegisteredAt, behind.Key, limit)
	if err != nil {
		return nil, fmt.Errorf("reading what waits for STAGE: %w", err)
	}
	pending, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (o RawObject, err error) {
		err = row.Scan(&o.Bucket, &o.Entity, &o.Key, &o.ETag, &o.Size, &o.WrittenAt, &o.RegisteredAt)
		return o, err
	})
	if err != nil {
		return nil, fmt.Errorf("reading what waits for STAGE: %w", err)
	}
	return pending, nil
}

// CountPendingRaw returns how many objects of a bucket are not in STAGE as they are now.
func (s *Store) CountPendingRaw(ctx context.Context, bucket string) (n int64, err error) {
	err = s.pool.QueryRow(ctx, `SELECT count(*) FROM raw_objects WHERE pending AND bucket = $1`, bucket).Scan(&n)
	if err != nil {
		return 0, fmt.Errorf("counting what waits for STAGE: %w", err)
	}
	return n, nil
}

// AnyRaw reports whether the ledger has an object in a part of RAW, be it in STAGE or not.
func (s *Store) AnyRaw(ctx context.Context, scope RawScope) (there bool, err error) {
	err = s.pool.QueryRow(ctx, `SELECT EXISTS (SELECT FROM raw_objects
		WHERE bucket = $1 AND entity = $2 AND starts_with(key, $3) AND ($4 = '' OR day = $4))`,
		scope.Bucket, scope.Entity, scope.Prefix, scope.Day).Scan(&there)
	if err != nil {
		return false, fmt.Errorf("looking for objects of RAW: %w", err)
	}
	return there, nil
}

const settleRaw = `
	UPDATE raw_objects r SET pending = false, etag = o.etag
	FROM unnest($1::text[], $2::text[], $3::text[], $4::text[]) AS o (bucket, key, etag, listed)
	WHERE r.bucket = o.bucket AND r.key = o.key AND r.etag IN (o.etag, o.listed) AND r.pending`

func settleArguments(objects ...Object) []any {
	n := len(objects)
	buckets, keys, etags, listed := make([]string, n), make([]string, n), make([]string, n), make([]string, n)
	for i, o := range objects {
		buckets[i], keys[i], etags[i], listed[i] = o.Bucket, o.Key, o.ETag, o.Listed
	}
	return []any{buckets, keys, etags, listed}
}

// SettleRaw takes objects off what is pending that turned out to be in STAGE already. One that was
// registered in yet another state stays.
func (s *Store) SettleRaw(ctx context.Context, objects ...Object) error {
	if len(objects) == 0 {
		return nil
	}
	if _, err := s.pool.Exec(ctx, settleRaw, settleArguments(objects...)...); err != nil {
		return fmt.Errorf("settling %d objects: %w", len(objects), err)
	}
	return nil
}

// ForgetRaw removes an object from the ledger that gone finds to be no longer in the bucket. A writer
// that puts it again meanwhile registers it after that, and waits here until it is forgotten.
func (s *Store) ForgetRaw(ctx context.Context, object Object, gone func(context.Context) (bool, error)) error {
	err := pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, `DELETE FROM raw_objects WHERE bucket = $1 AND key = $2`, object.Bucket, object.Key); err != nil {
			return err
		}
		is, err := gone(ctx)
		if err == nil && !is {
			return errThere
		}
		return err
	})
	if err != nil && !errors.Is(err, errThere) {
		return fmt.Errorf("forgetting object %q: %w", object.Key, err)
	}
	return nil
}

var errThere = errors.New("the object is there")

// Patrol returns the key that the last look over a part of a bucket ended with, empty where it reached
// the end; begun is false where there was none.
func (s *Store) Patrol(ctx context.Context, bucket, prefix string) (lastKey string, begun bool, err error) {
	err = s.pool.QueryRow(ctx, `SELECT last_key FROM raw_patrols WHERE bucket = $1 AND prefix = $2`, bucket, prefix).Scan(&lastKey)
	if errors.Is(err, pgx.ErrNoRows) {
		return "", false, nil
	}
	if err != nil {
		return "", false, fmt.Errorf("reading how far s3://%s/%s was looked over: %w", bucket, prefix, err)
	}
	return lastKey, true, nil
}

// SetPatrol notes how far a part of a bucket was looked over.
func (s *Store) SetPatrol(ctx context.Context, bucket, prefix, lastKey string) error {
	_, err := s.pool.Exec(ctx, `INSERT INTO raw_patrols (bucket, prefix, last_key) VALUES ($1, $2, $3)
		ON CONFLICT (bucket, prefix) DO UPDATE SET last_key = excluded.last_key`, bucket, prefix, lastKey)
	if err != nil {
		return fmt.Errorf("noting how far s3://%s/%s was looked over: %w", bucket, prefix, err)
	}
	return nil
}
