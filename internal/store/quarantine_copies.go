package store

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/RoaringBitmap/roaring/v2/roaring64"
	"github.com/jackc/pgx/v5"
)

// copiedRows is the reason under which an object's rows are entered that another object of the same layer
// holds too: a stream that was killed may write a row again, into another object. They count nowhere.
const copiedRows = ""

// apart tells the rows that count for an object from copies of rows that count for another one, so that a
// row counts once in its layer however many objects hold it (I3). The caller holds the lock of the entity.
func apart(ctx context.Context, tx pgx.Tx, id int64, o QuarantineObject, reasons map[string]Places) (own map[string]Places, copies Places, err error) {
	own, copies = map[string]Places{}, Places{}
	counted := Places{} // here or elsewhere
	for _, reason := range slices.Sorted(maps.Keys(reasons)) {
		for space, numbers := range reasons[reason] {
			if counted[space] == nil {
				if counted[space], err = countedElsewhere(ctx, tx, id, o, space, reasons); err != nil {
					return nil, nil, err
				}
			}
			if mine := roaring64.AndNot(numbers, counted[space]); !mine.IsEmpty() {
				if own[reason] == nil {
					own[reason] = Places{}
				}
				own[reason][space] = mine
			}
			if again := roaring64.And(numbers, counted[space]); !again.IsEmpty() {
				if copies[space] == nil {
					copies[space] = roaring64.New()
				}
				copies[space].Or(again)
			}
			counted[space].Or(numbers)
		}
	}
	return own, copies, release(ctx, tx, id, own)
}

// countedElsewhere returns the rows of one space that count for other objects of the object's layer.
func countedElsewhere(ctx context.Context, tx pgx.Tx, id int64, o QuarantineObject, space string, reasons map[string]Places) (*roaring64.Bitmap, error) {
	all := roaring64.New()
	for _, places := range reasons {
		if places[space] != nil {
			all.Or(places[space])
		}
	}
	rows, err := tx.Query(ctx, `
		SELECT g.numbers FROM quarantine_groups g JOIN quarantine_objects o ON o.id = g.object_id
		WHERE g.space = $1 AND g.last >= $2 AND g.first <= $3 AND g.reason <> '`+copiedRows+`'
			AND o.entity = $4 AND o.layer = $5 AND o.id <> $6`,
		space, int64(all.Minimum()), int64(all.Maximum()), o.Entity, o.Layer, id)
	if err != nil {
		return nil, err
	}
	return union(rows)
}

func union(rows pgx.Rows) (*roaring64.Bitmap, error) {
	all := roaring64.New()
	var text []byte
	_, err := pgx.ForEachRow(rows, []any{&text}, func() error {
		numbers, err := bitmapOf(text)
		if err == nil {
			all.Or(numbers)
		}
		return err
	})
	return all, err
}

// release lets the copies count of rows that an object held in its last state and holds no longer: the
// objects with those copies are to be registered again.
func release(ctx context.Context, tx pgx.Tx, id int64, own map[string]Places) error {
	rows, err := tx.Query(ctx, `SELECT space, numbers FROM quarantine_groups WHERE object_id = $1 AND reason <> '`+copiedRows+`'`, id)
	if err != nil {
		return err
	}
	lost := Places{}
	var space string
	var text []byte
	_, err = pgx.ForEachRow(rows, []any{&space, &text}, func() error {
		numbers, err := bitmapOf(text)
		if err != nil {
			return err
		}
		if lost[space] == nil {
			lost[space] = roaring64.New()
		}
		lost[space].Or(numbers)
		return nil
	})
	if err != nil {
		return err
	}
	for space, numbers := range lost {
		for _, places := range own {
			if places[space] != nil {
				numbers.AndNot(places[space])
			}
		}
		if numbers.IsEmpty() {
			continue
		}
		_, err := tx.Exec(ctx, `
			UPDATE quarantine_objects SET etag = '' WHERE id IN (
				SELECT object_id FROM quarantine_groups WHERE reason = '`+copiedRows+`' AND space = $1 AND last >= $2 AND first <= $3 AND object_id <> $4)`,
			space, int64(numbers.Minimum()), int64(numbers.Maximum()), id)
		if err != nil {
			return err
		}
	}
	return nil
}

// QuarantineStale reports whether objects are to be registered again, though they are as they were.
func (s *Store) QuarantineStale(ctx context.Context) (stale bool, err error) {
	if err := s.pool.QueryRow(ctx, `SELECT EXISTS (SELECT FROM quarantine_objects WHERE etag = '')`).Scan(&stale); err != nil {
		return false, fmt.Errorf("looking up the quarantine: %w", err)
	}
	return stale, nil
}
