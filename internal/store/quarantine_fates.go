package store

import (
	"context"
	"fmt"

	"github.com/RoaringBitmap/roaring/v2/roaring64"
	"github.com/jackc/pgx/v5"
)

// chunkBits makes a chunk of fates at most 8 KiB, whatever its rows are: entering some of them costs the same
// however many there are.
const chunkBits = 16

// fates are the numbers of one space by what became of them.
type fates map[Fate]*roaring64.Bitmap

func (f fates) of(fate Fate) *roaring64.Bitmap {
	if f[fate] == nil {
		f[fate] = roaring64.New()
	}
	return f[fate]
}

type querier interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
}

func fatesOf(ctx context.Context, q querier, entity, space string, first, last uint64) (fates, error) {
	rows, err := q.Query(ctx, `SELECT fate, numbers FROM quarantine_fates WHERE entity = $1 AND space = $2 AND chunk BETWEEN $3 AND $4`,
		entity, space, int64(first>>chunkBits), int64(last>>chunkBits))
	if err != nil {
		return nil, err
	}
	found := fates{}
	var fate Fate
	var text []byte
	_, err = pgx.ForEachRow(rows, []any{&fate, &text}, func() error {
		numbers, err := bitmapOf(text)
		if err == nil {
			found.of(fate).Or(numbers)
		}
		return err
	})
	return found, err
}

// Decided returns which of some places have a fate already.
func (s *Store) Decided(ctx context.Context, entity string, places Places) (Places, error) {
	decided := Places{}
	for space, numbers := range places {
		found, err := fatesOf(ctx, s.pool, entity, space, numbers.Minimum(), numbers.Maximum())
		if err != nil {
			return nil, fmt.Errorf("reading what became of refused rows: %w", err)
		}
		decided[space] = roaring64.Or(found.of(Replayed), found.of(Discarded))
	}
	return decided, nil
}

// DecideRows enters what became of rows that had no fate, and a run's counts, in one transaction: a crash
// leaves all of it or nothing. The caller holds the run's lock.
func (s *Store) DecideRows(ctx context.Context, run, entity string, fate Fate, places Places, c Counts) error {
	err := s.inQuarantine(ctx, entity, func(tx pgx.Tx) error {
		for space, numbers := range places {
			if numbers.IsEmpty() {
				continue
			}
			if err := enterFates(ctx, tx, run, entity, space, fate, numbers); err != nil {
				return err
			}
			if err := recount(ctx, tx, entity, space, fate, numbers); err != nil {
				return err
			}
		}
		_, err := tx.Exec(ctx, addCounts, c.arguments(run)...)
		return err
	})
	if err != nil {
		return fmt.Errorf("entering what became of refused rows: %w", err)
	}
	return nil
}

func enterFates(ctx context.Context, tx pgx.Tx, run, entity, space string, fate Fate, numbers *roaring64.Bitmap) error {
	chunks := map[int64]*roaring64.Bitmap{}
	for each := numbers.Iterator(); each.HasNext(); {
		number := each.Next()
		chunk := int64(number >> chunkBits)
		if chunks[chunk] == nil {
			chunks[chunk] = roaring64.New()
		}
		chunks[chunk].Add(number)
	}
	for chunk, added := range chunks {
		rows, err := tx.Query(ctx, `SELECT numbers FROM quarantine_fates WHERE entity = $1 AND space = $2 AND chunk = $3 AND run_id = $4 AND fate = $5`,
			entity, space, chunk, run, fate)
		if err != nil {
			return err
		}
		var text []byte
		_, err = pgx.ForEachRow(rows, []any{&text}, func() error {
			there, err := bitmapOf(text)
			if err == nil {
				added.Or(there)
			}
			return err
		})
		if err != nil {
			return err
		}
		if text, err = added.ToBytes(); err != nil {
			return err
		}
		_, err = tx.Exec(ctx, `INSERT INTO quarantine_fates (entity, space, chunk, run_id, fate, numbers) VALUES ($1, $2, $3, $4, $5, $6)
			ON CONFLICT (entity, space, chunk, run_id, fate) DO UPDATE SET numbers = excluded.numbers`, entity, space, chunk, run, fate, text)
		if err != nil {
			return err
		}
	}
	return nil
}

// recount brings the counts of every object up to date that holds one of the rows: a record that several
// layers refused is in several.
func recount(ctx context.Context, tx pgx.Tx, entity, space string, fate Fate, numbers *roaring64.Bitmap) error {
	rows, err := tx.Query(ctx, `
		SELECT g.object_id, g.reason, g.numbers FROM quarantine_groups g JOIN quarantine_objects o ON o.id = g.object_id
		WHERE o.entity = $1 AND g.reason <> '`+copiedRows+`' AND g.space = $2 AND g.last >= $3 AND g.first <= $4`,
		entity, space, int64(numbers.Minimum()), int64(numbers.Maximum()))
	if err != nil {
		return err
	}
	batch := &pgx.Batch{}
	var id int64
	var reason string
	var text []byte
	_, err = pgx.ForEachRow(rows, []any{&id, &reason, &text}, func() error {
		group, err := bitmapOf(text)
		if err != nil {
			return err
		}
		if n := int64(group.AndCardinality(numbers)); n > 0 {
			// the column is one of two constants
			batch.Queue(`UPDATE quarantine_groups SET `+string(fate)+` = `+string(fate)+` + $4 WHERE object_id = $1 AND reason = $2 AND space = $3`,
				id, reason, space, n)
		}
		return nil
	})
	if err != nil || batch.Len() == 0 {
		return err
	}
	return tx.SendBatch(ctx, batch).Close()
}

// DecideObject enters what became of an object that is one piece.
func (s *Store) DecideObject(ctx context.Context, run string, o QuarantineObject, fate Fate) error {
	batch := &pgx.Batch{}
	batch.Queue(`UPDATE quarantine_objects SET fate = $2, run_id = $3 WHERE id = $1`, o.ID, fate, run)
	batch.Queue(addCounts, Counts{Objects: 1, Bytes: o.Bytes}.arguments(run)...)
	if err := pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error { return tx.SendBatch(ctx, batch).Close() }); err != nil {
		return fmt.Errorf("entering what became of %q: %w", o.Key, err)
	}
	return nil
}

// StageAgain lets a RAW object that was refused whole be looked at anew by the next run of STAGE, be it as it
// was or put back: the refusal is forgotten and the object waits, in one transaction, or nobody would ever
// come for it (I4).
func (s *Store) StageAgain(ctx context.Context, o RawObject) error {
	batch := &pgx.Batch{}
	batch.Queue(`DELETE FROM stage_objects WHERE entity = $1 AND key = $2 AND fault <> ''`, o.Entity, o.Key)
	// what is in STAGE in this state stays as it is
	batch.Queue(`
		INSERT INTO raw_objects AS known (bucket, entity, key, etag, size, written_at, pending)
		SELECT $1, $2, $3, $4, $5, $6, NOT EXISTS (SELECT FROM stage_objects WHERE entity = $2 AND key = $3 AND etag = $4)
		ON CONFLICT (bucket, key) DO UPDATE SET
			etag = excluded.etag, size = excluded.size, written_at = excluded.written_at,
			registered_at = excluded.registered_at, pending = known.pending OR excluded.pending`,
		o.Bucket, o.Entity, o.Key, o.ETag, o.Size, o.WrittenAt)
	if err := pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error { return tx.SendBatch(ctx, batch).Close() }); err != nil {
		return fmt.Errorf("letting %q be staged again: %w", o.Key, err)
	}
	return nil
}
