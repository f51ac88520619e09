package store

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"
)

// Object names one state of an object of RAW: another ETag is another state.
type Object struct {
	Bucket, Entity, Key, ETag string
	// Listed is the ETag by which it was named first, where it has been overwritten since.
	Listed string
}

// Slice is what is staged by one worker at a time: a topic's partition on one business day, or a
// single object where rows do not come from Kafka.
type Slice struct {
	Entity    string
	Topic     string
	Partition int32
	// Day is the day as object keys write it, empty where an entity has none.
	Day string
	// Key is the object's, where Topic is empty.
	Key string
}

func (s Slice) lockName() string {
	if s.Topic == "" {
		return fmt.Sprintf("%s %s", s.Entity, s.Key)
	}
	return fmt.Sprintf("%s %s %d %s", s.Entity, s.Topic, s.Partition, s.Day)
}

// Range is a run of Kafka offsets, both ends included.
type Range struct{ First, Last int64 }

// StagedObject is what became of one RAW object.
type StagedObject struct {
	Object
	Counts
	// Warnings counts rows that passed though a value of theirs is worth a warning, by field.
	Warnings map[string]int64
	// RunID is the batch run it belongs to, empty where there is none.
	RunID string
	// Range is what is now in STAGE or in quarantine besides what was there before; nil for nothing.
	Range *Range
	// StageKey and QuarantineKey are the objects written, Fault says why the object was refused whole.
	StageKey, QuarantineKey, Fault string
	// Replaces says that this state stands for all of the object, so that no earlier one is known any more.
	Replaces bool
}

// KnownObjects returns those of the given objects that are staged in exactly this state, by key, each
// with the run that did it, empty for none.
func (s *Store) KnownObjects(ctx context.Context, objects []Object) (map[string]string, error) {
	entities, keys, etags := make([]string, len(objects)), make([]string, len(objects)), make([]string, len(objects))
	for i, o := range objects {
		entities[i], keys[i], etags[i] = o.Entity, o.Key, o.ETag
	}
	rows, err := s.pool.Query(ctx, `
		SELECT o.key, coalesce(o.run_id::text, '') FROM stage_objects o
		JOIN unnest($1::text[], $2::text[], $3::text[]) AS asked (entity, key, etag)
			ON o.entity = asked.entity AND o.key = asked.key AND o.etag = asked.etag`, entities, keys, etags)
	if err != nil {
		return nil, fmt.Errorf("looking up staged objects: %w", err)
	}
	known := make(map[string]string, len(objects))
	var key, run string
	_, err = pgx.ForEachRow(rows, []any{&key, &run}, func() error {
		known[key] = run
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("looking up staged objects: %w", err)
	}
	return known, nil
}

// StageLock is the right to stage one slice. It ends with its connection, and every change is made on
// that connection: who has lost the lock cannot commit.
type StageLock struct {
	*Lock
	slice Slice
}

// LockStage waits until no other worker is at the slice.
func (s *Store) LockStage(ctx context.Context, slice Slice) (*StageLock, error) {
	l, err := s.takeLock(ctx, lockStage, slice.lockName(), true)
	if err != nil {
		return nil, err
	}
	return &StageLock{Lock: l, slice: slice}, nil
}

// Known reports whether an object was staged in this state while the lock was waited for.
func (l *StageLock) Known(ctx context.Context, object Object) (known bool, err error) {
	err = l.conn.QueryRow(ctx, `SELECT EXISTS (SELECT FROM stage_objects WHERE entity = $1 AND key = $2 AND etag = $3)`,
		l.slice.Entity, object.Key, object.ETag).Scan(&known)
	if err != nil {
		return false, fmt.Errorf("looking up staged object: %w", err)
	}
	return known, nil
}

// Ranges returns what is already staged of the slice and meets the given range, in order.
func (l *StageLock) Ranges(ctx context.Context, of Range) ([]Range, error) {
	rows, err := l.conn.Query(ctx, `
		SELECT first_offset, last_offset FROM stage_ranges
		WHERE entity = $1 AND topic = $2 AND partition = $3 AND day = $4 AND last_offset >= $5 AND first_offset <= $6
		ORDER BY last_offset`, l.slice.Entity, l.slice.Topic, l.slice.Partition, l.slice.Day, of.First, of.Last)
	if err != nil {
		return nil, fmt.Errorf("reading staged offsets: %w", err)
	}
	ranges, err := pgx.CollectRows(rows, pgx.RowToStructByPos[Range])
	if err != nil {
		return nil, fmt.Errorf("reading staged offsets: %w", err)
	}
	return ranges, nil
}

// Target is an object that is about to be written.
type Target struct{ Bucket, Key string }

// Intend notes what is about to be written for an object, and returns what attempts noted and never
// committed, at this object or at any of its slice, besides these targets: orphans, which hold rows that
// are being written elsewhere.
func (l *StageLock) Intend(ctx context.Context, object string, targets []Target) (orphans []Target, err error) {
	batch := &pgx.Batch{}
	batch.Queue(`
		SELECT DISTINCT bucket, target FROM stage_intents i WHERE entity = $1 AND (key = $2 OR slice = $3) AND NOT EXISTS (
			SELECT FROM stage_objects o WHERE o.entity = i.entity AND i.target IN (o.stage_key, o.quarantine_key))`,
		l.slice.Entity, object, l.slice.lockName()).
		Query(func(rows pgx.Rows) error {
			noted, err := pgx.CollectRows(rows, pgx.RowToStructByPos[Target])
			for _, t := range noted {
				if !slices.Contains(targets, t) {
					orphans = append(orphans, t)
				}
			}
			return err
		})
	for _, t := range targets {
		batch.Queue(`INSERT INTO stage_intents (entity, key, bucket, target, slice) VALUES ($1, $2, $3, $4, $5)
			ON CONFLICT (entity, key, bucket, target) DO UPDATE SET slice = excluded.slice`,
			l.slice.Entity, object, t.Bucket, t.Key, l.slice.lockName())
	}
	if err := l.conn.SendBatch(ctx, batch).Close(); err != nil {
		return nil, fmt.Errorf("noting what is about to be written: %w", err)
	}
	return orphans, nil
}

// errUnbalanced guards I4 where it can still be refused.
var errUnbalanced = errors.New("rows in are not rows out, refused and skipped together")

// Commit enters what became of an object: its state, its offsets, its share of the run's counts, and that
// it is no longer pending, in one transaction, so that a crash leaves all of it or nothing (I3).
func (l *StageLock) Commit(ctx context.Context, o StagedObject) error {
	if !o.Reconciles() {
		return fmt.Errorf("entering staged object %q: %w", o.Key, errUnbalanced) // I4
	}
	var run *string
	batch := &pgx.Batch{}
	batch.Queue(`DELETE FROM stage_intents WHERE entity = $1 AND (key = $2 OR slice = $3)`, l.slice.Entity, o.Key, l.slice.lockName())
	batch.Queue(settleRaw, settleArguments(o.Object)...)
	if o.RunID != "" {
		run = &o.RunID
		batch.Queue(addCounts, o.arguments(o.RunID)...)
		if len(o.Warnings) > 0 {
			warnings := make(map[string]int64, len(o.Warnings))
			for field, n := range o.Warnings {
				warnings[l.slice.Entity+"."+field] = n
			}
			batch.Queue(addWarnings, o.RunID, warnings)
		}
	}
	if o.Range != nil {
		batch.Queue(`INSERT INTO stage_ranges (entity, topic, partition, day, first_offset, last_offset)
			VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT DO NOTHING`,
			l.slice.Entity, l.slice.Topic, l.slice.Partition, l.slice.Day, o.Range.First, o.Range.Last)
	}
	if o.Replaces {
		batch.Queue(`DELETE FROM stage_objects WHERE entity = $1 AND key = $2`, l.slice.Entity, o.Key)
	}
	batch.Queue(`
		INSERT INTO stage_objects (entity, key, etag, run_id, rows_in, rows_out, rows_refused, rows_skipped,
			stage_key, quarantine_key, fault)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
		ON CONFLICT (entity, key, etag) DO NOTHING`,
		l.slice.Entity, o.Key, o.ETag, run, o.RowsIn, o.RowsOut, o.RowsRefused, o.RowsSkipped, o.StageKey, o.QuarantineKey, o.Fault)
	err := pgx.BeginFunc(ctx, l.conn, func(tx pgx.Tx) error { return tx.SendBatch(ctx, batch).Close() })
	if err != nil {
		return fmt.Errorf("entering staged object %q: %w", o.Key, err)
	}
	return nil
}
