package store

import (
	"context"
	"fmt"
	"time"
)

// hasClue is true of a text that holds one of the clues $1; both are compared in small letters.
const hasClue = `EXISTS (SELECT FROM unnest($1::text[]) AS clue WHERE strpos(lower(%s), lower(%s)) > 0)`

// ScrubAnswers empties answers that are kept for requests with an Idempotency-Key and tell of a customer: the
// same request is told that the customer is gone, and does not create them again. It returns how many.
func (s *Store) ScrubAnswers(ctx context.Context, e *Erasure, status int, contentType string, body []byte) (int64, error) {
	tag, err := s.pool.Exec(ctx, `
		UPDATE idempotency SET status = $2, content_type = $3, location = NULL, body = $4
		WHERE status <> $2 AND (location = $5 OR `+
		fmt.Sprintf(hasClue, `encode(body, 'escape')`, `encode(convert_to(clue, 'UTF8'), 'escape')`)+`)`,
		e.Clues.Emails, status, contentType, body, "/api/v1/customers/"+numberKey(e.CustomerID))
	if err != nil {
		return 0, fmt.Errorf("scrubbing kept answers: %w", err)
	}
	return tag.RowsAffected(), nil
}

// ScrubRuns takes a person out of what runs were asked for and what they said, such as a mapping that
// repaired their rows. It returns how many.
func (s *Store) ScrubRuns(ctx context.Context, e *Erasure) (int64, error) {
	tag, err := s.pool.Exec(ctx, `
		UPDATE batch_runs SET error = '', progress = 'a text that named a person was erased', parameters = '{}'
		WHERE `+fmt.Sprintf(hasClue, `error || progress || parameters::text`, `clue`), e.Clues.Emails)
	if err != nil {
		return 0, fmt.Errorf("scrubbing runs: %w", err)
	}
	return tag.RowsAffected(), nil
}

// rewriteTimeout bounds how long a table may be waited for that is about to be written anew.
const rewriteTimeout = 3 * time.Second

// Vacuum makes deleted rows of tables go from their files. Tables below a size are written anew, which keeps
// everybody out of them for as long as that takes; of larger ones the room of deleted rows is freed and
// overwritten with time, and their names are returned.
func (s *Store) Vacuum(ctx context.Context, below int64, tables ...string) (later []string, err error) {
	conn, err := s.pool.Acquire(ctx)
	if err != nil {
		return nil, fmt.Errorf("reaching PostgreSQL: %w", err)
	}
	defer conn.Release()
	if _, err := conn.Exec(ctx, fmt.Sprintf(`SET lock_timeout = '%dms'`, rewriteTimeout.Milliseconds())); err != nil {
		return nil, fmt.Errorf("vacuuming: %w", err)
	}
	defer func() { _, _ = conn.Exec(context.WithoutCancel(ctx), `RESET lock_timeout`) }()
	for _, table := range tables {
		var size int64
		if err := conn.QueryRow(ctx, `SELECT pg_total_relation_size($1::regclass)`, table).Scan(&size); err != nil {
			return nil, fmt.Errorf("asking for the size of table %s: %w", table, err)
		}
		if size < below {
			if _, err = conn.Exec(ctx, `VACUUM (FULL, ANALYZE) `+table); err == nil {
				continue
			}
		}
		later = append(later, table)
		if _, err := conn.Exec(ctx, `VACUUM (ANALYZE) `+table); err != nil {
			return nil, fmt.Errorf("vacuuming table %s: %w", table, err)
		}
	}
	return later, nil
}

// AwaitSnapshots returns once no transaction can see rows that are deleted by now, or false where one still
// can after a time: its rows would be kept in a table that is written anew.
func (s *Store) AwaitSnapshots(ctx context.Context, limit time.Duration) (bool, error) {
	var now string
	if err := s.pool.QueryRow(ctx, `SELECT pg_current_xact_id()::xid::text`).Scan(&now); err != nil {
		return false, fmt.Errorf("asking for the present transaction: %w", err)
	}
	for deadline := time.Now().Add(limit); ; {
		var older bool
		err := s.pool.QueryRow(ctx, `SELECT EXISTS (SELECT FROM pg_stat_activity
			WHERE pid <> pg_backend_pid() AND age(backend_xmin) > age($1::text::xid))`, now).Scan(&older)
		if err != nil {
			return false, fmt.Errorf("looking for older transactions: %w", err)
		}
		if !older || time.Now().After(deadline) {
			return !older, nil
		}
		select {
		case <-ctx.Done():
			return false, ctx.Err()
		case <-time.After(200 * time.Millisecond):
		}
	}
}

// MergeOpen reports whether a merge of the slice was begun and not ended: whoever had the lock before crashed.
func (l *StageLock) MergeOpen(ctx context.Context, layer Layer, bucket string) (open bool, err error) {
	err = l.conn.QueryRow(ctx, `SELECT EXISTS (SELECT FROM compactions
		WHERE layer = $1 AND bucket = $2 AND entity = $3 AND topic = $4 AND partition = $5 AND day = $6)`,
		string(layer), bucket, l.slice.Entity, l.slice.Topic, l.slice.Partition, l.slice.Day).Scan(&open)
	if err != nil {
		return false, fmt.Errorf("asking for open merges: %w", err)
	}
	return open, nil
}

// Rewritten notes that an object of RAW holds the same records in another state: what is staged stays staged,
// what waits for STAGE waits on.
func (l *StageLock) Rewritten(ctx context.Context, before Object, etag string, size int64) error {
	_, err := l.conn.Exec(ctx, `
		WITH known AS (
			UPDATE raw_objects SET etag = $4, size = $5 WHERE bucket = $1 AND key = $2 AND etag = $3
		)
		UPDATE stage_objects SET etag = $4 WHERE entity = $6 AND key = $2 AND etag = $3
			AND NOT EXISTS (SELECT FROM stage_objects WHERE entity = $6 AND key = $2 AND etag = $4)`,
		before.Bucket, before.Key, before.ETag, etag, size, before.Entity)
	if err != nil {
		return fmt.Errorf("noting that %q is another state: %w", before.Key, err)
	}
	return nil
}
