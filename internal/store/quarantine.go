package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/RoaringBitmap/roaring/v2/roaring64"
	"github.com/jackc/pgx/v5"
)

// Fate is what became of a refused row, or of an object that was refused whole.
type Fate string

// The fates. A row that has none is still in quarantine.
const (
	Undecided Fate = ""
	Replayed  Fate = "replayed"
	Discarded Fate = "discarded"
)

// Places are rows in quarantine: numbers by space. However many objects hold a row, its place is one.
type Places map[string]*roaring64.Bitmap

// Add adds a row.
func (p Places) Add(space string, number uint64) {
	if p[space] == nil {
		p[space] = roaring64.New()
	}
	p[space].Add(number)
}

// Has reports whether a row is among them.
func (p Places) Has(space string, number uint64) bool {
	b := p[space]
	return b != nil && b.Contains(number)
}

// Len is the number of rows.
func (p Places) Len() (n int64) {
	for _, b := range p {
		n += int64(b.GetCardinality())
	}
	return n
}

// QuarantineObject is an object of the quarantine bucket.
type QuarantineObject struct {
	ID            int64
	Entity        string
	Key, ETag     string
	ModifiedAt    time.Time
	Bytes         int64
	Layer, Day    string
	Fault         string
	Fate          Fate
	Rows, Pending int64
}

// Whole reports whether the object is one piece: it was refused whole, or cannot be read.
func (o QuarantineObject) Whole() bool { return o.Fault != "" }

// QuarantineFilter says which part of the quarantine is meant; empty fields mean all.
type QuarantineFilter struct {
	Entity, Layer, Day string
	// Reason is a part of a label such as "quantity range": what rows were first refused for.
	Reason string
	// PendingOnly leaves out what has a fate.
	PendingOnly bool
}

// OtherReasons is the label of the rows of an object beyond its most frequent combinations of reasons.
const OtherReasons = "other"

const quarantineWhere = `($1 = '' OR o.entity = $1) AND ($2 = '' OR o.layer = $2) AND ($3 = '' OR o.day = $3)`

// storable reports whether PostgreSQL can be asked; what it cannot hold is nobody's.
func (f QuarantineFilter) storable() bool { return storable(f.Entity + f.Layer + f.Day + f.Reason) }

func (f QuarantineFilter) arguments() []any {
	return []any{f.Entity, f.Layer, f.Day, f.Reason, f.PendingOnly}
}

// QuarantineCount is how many rows one layer refused for the same reasons on one day. I4: Rows = Open +
// Replayed + Discarded.
type QuarantineCount struct {
	Entity    string `json:"entity"`
	Layer     string `json:"layer" doc:"Who refused them."`
	Day       string `json:"day"`
	Reason    string `json:"reason" doc:"Field and rule of every fault that these rows were first refused for."`
	Rows      int64  `json:"rows"`
	Open      int64  `json:"open" doc:"Still in quarantine."`
	Replayed  int64  `json:"replayed"`
	Discarded int64  `json:"discarded"`
}

// QuarantineCounts counts refused rows; it reads what is registered and no object.
func (s *Store) QuarantineCounts(ctx context.Context, f QuarantineFilter) ([]QuarantineCount, error) {
	if !f.storable() {
		return []QuarantineCount{}, nil
	}
	rows, err := s.pool.Query(ctx, `
		SELECT o.entity, o.layer, o.day, g.reason, sum(g.rows)::bigint, sum(g.rows - g.replayed - g.discarded)::bigint AS open,
			sum(g.replayed)::bigint, sum(g.discarded)::bigint
		FROM quarantine_objects o JOIN quarantine_groups g ON g.object_id = o.id
		WHERE `+quarantineWhere+` AND g.reason <> '`+copiedRows+`' AND ($4 = '' OR strpos(lower(g.reason), lower($4)) > 0)
		GROUP BY o.entity, o.layer, o.day, g.reason
		HAVING NOT $5 OR sum(g.rows - g.replayed - g.discarded) > 0
		ORDER BY o.entity, o.layer, o.day, open DESC, g.reason`, f.arguments()...)
	if err != nil {
		return nil, fmt.Errorf("counting the quarantine: %w", err)
	}
	counts, err := pgx.CollectRows(rows, pgx.RowToStructByPos[QuarantineCount])
	if err != nil {
		return nil, fmt.Errorf("counting the quarantine: %w", err)
	}
	return counts, nil
}

// QuarantineObjects lists registered objects in the order of their keys: those with a row that the filter
// means, and whole ones.
func (s *Store) QuarantineObjects(ctx context.Context, f QuarantineFilter) ([]QuarantineObject, error) {
	if !f.storable() {
		return []QuarantineObject{}, nil
	}
	rows, err := s.pool.Query(ctx, `
		SELECT o.id, o.entity, o.key, o.etag, o.modified_at, o.bytes, o.layer, o.day, o.fault, o.fate,
			coalesce(sum(g.rows), 0)::bigint, coalesce(sum(g.rows - g.replayed - g.discarded), 0)::bigint AS pending
		FROM quarantine_objects o LEFT JOIN quarantine_groups g
			ON g.object_id = o.id AND g.reason <> '`+copiedRows+`' AND ($4 = '' OR g.reason = '`+OtherReasons+`' OR strpos(lower(g.reason), lower($4)) > 0)
		WHERE `+quarantineWhere+`
		GROUP BY o.id
		HAVING CASE WHEN o.fault <> '' THEN ($4 = '' OR strpos(lower(o.fault), lower($4)) > 0) AND (NOT $5 OR o.fate = '')
			ELSE count(g.object_id) > 0 AND (NOT $5 OR sum(g.rows - g.replayed - g.discarded) > 0) END
		ORDER BY o.key`, f.arguments()...)
	if err != nil {
		return nil, fmt.Errorf("listing the quarantine: %w", err)
	}
	objects, err := pgx.CollectRows(rows, pgx.RowToStructByPos[QuarantineObject])
	if err != nil {
		return nil, fmt.Errorf("listing the quarantine: %w", err)
	}
	return objects, nil
}

// WholeQuarantineObjects lists objects that were refused whole or cannot be read, without counts.
func (s *Store) WholeQuarantineObjects(ctx context.Context, f QuarantineFilter, limit int) ([]QuarantineObject, error) {
	if !f.storable() {
		return []QuarantineObject{}, nil
	}
	rows, err := s.pool.Query(ctx, `
		SELECT o.id, o.entity, o.key, o.etag, o.modified_at, o.bytes, o.layer, o.day, o.fault, o.fate, 0::bigint, 0::bigint
		FROM quarantine_objects o
		WHERE o.fault <> '' AND `+quarantineWhere+` AND ($4 = '' OR strpos(lower(o.fault), lower($4)) > 0) AND (NOT $5 OR o.fate = '')
		ORDER BY o.key LIMIT $6`, append(f.arguments(), limit)...)
	if err != nil {
		return nil, fmt.Errorf("listing the quarantine: %w", err)
	}
	objects, err := pgx.CollectRows(rows, pgx.RowToStructByPos[QuarantineObject])
	if err != nil {
		return nil, fmt.Errorf("listing the quarantine: %w", err)
	}
	return objects, nil
}

// KnownQuarantine returns the registered objects of an entity, or of all, by key, without their counts.
func (s *Store) KnownQuarantine(ctx context.Context, entity string) (map[string]QuarantineObject, error) {
	rows, err := s.pool.Query(ctx, `SELECT id, key, etag, modified_at FROM quarantine_objects WHERE $1 = '' OR entity = $1`, entity)
	if err != nil {
		return nil, fmt.Errorf("looking up the quarantine: %w", err)
	}
	known := map[string]QuarantineObject{}
	var o QuarantineObject
	_, err = pgx.ForEachRow(rows, []any{&o.ID, &o.Key, &o.ETag, &o.ModifiedAt}, func() error {
		known[o.Key] = o
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("looking up the quarantine: %w", err)
	}
	return known, nil
}

// RegisterQuarantine enters an object in its present state, with the places of its rows by their reasons,
// and with what became of them already.
func (s *Store) RegisterQuarantine(ctx context.Context, o QuarantineObject, reasons map[string]Places) error {
	err := s.inQuarantine(ctx, o.Entity, func(tx pgx.Tx) error {
		// what a crash of the server takes back is found in the bucket again
		if _, err := tx.Exec(ctx, `SET LOCAL synchronous_commit = off`); err != nil {
			return err
		}
		var id int64
		err := tx.QueryRow(ctx, `
			INSERT INTO quarantine_objects AS known (entity, key, etag, modified_at, bytes, layer, day, fault) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
			ON CONFLICT (key) DO UPDATE SET etag = excluded.etag, modified_at = excluded.modified_at, bytes = excluded.bytes,
				fault = excluded.fault, fate = '', run_id = NULL
			RETURNING id`, o.Entity, o.Key, o.ETag, o.ModifiedAt, o.Bytes, o.Layer, o.Day, o.Fault).Scan(&id)
		if err != nil {
			return err
		}
		own, copies, err := apart(ctx, tx, id, o, reasons)
		if err != nil {
			return err
		}
		batch := &pgx.Batch{}
		batch.Queue(`DELETE FROM quarantine_groups WHERE object_id = $1`, id)
		for space, numbers := range copies {
			text, err := numbers.ToBytes()
			if err != nil {
				return err
			}
			batch.Queue(`INSERT INTO quarantine_groups (object_id, reason, space, first, last, numbers, rows, replayed, discarded)
				VALUES ($1, $2, $3, $4, $5, $6, 0, 0, 0)`, id, copiedRows, space, int64(numbers.Minimum()), int64(numbers.Maximum()), text)
		}
		for reason, places := range own {
			for space, numbers := range places {
				fates, err := fatesOf(ctx, tx, o.Entity, space, numbers.Minimum(), numbers.Maximum())
				if err != nil {
					return err
				}
				text, err := numbers.ToBytes()
				if err != nil {
					return err
				}
				batch.Queue(`INSERT INTO quarantine_groups (object_id, reason, space, first, last, numbers, rows, replayed, discarded)
					VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)`, id, reason, space, int64(numbers.Minimum()), int64(numbers.Maximum()), text,
					int64(numbers.GetCardinality()), int64(numbers.AndCardinality(fates.of(Replayed))), int64(numbers.AndCardinality(fates.of(Discarded))))
			}
		}
		return tx.SendBatch(ctx, batch).Close()
	})
	if err != nil {
		return fmt.Errorf("registering %q: %w", o.Key, err)
	}
	return nil
}

// ForgetQuarantine takes objects out that are no longer in the bucket. What became of their rows stays, and
// objects that hold copies of them are to be registered again.
func (s *Store) ForgetQuarantine(ctx context.Context, ids []int64) error {
	batch := &pgx.Batch{}
	// as inQuarantine: who registers a copy at the same time would leave it to what is forgotten here
	batch.Queue(`SELECT pg_advisory_xact_lock($1, hashtext(entity))
		FROM (SELECT DISTINCT entity FROM quarantine_objects WHERE id = ANY($2) ORDER BY entity) AS gone`, int32(lockQuarantine), ids)
	batch.Queue(`
		UPDATE quarantine_objects SET etag = '' WHERE id IN (
			SELECT c.object_id FROM quarantine_groups gone
			JOIN quarantine_groups c ON c.reason = '`+copiedRows+`' AND c.space = gone.space AND c.last >= gone.first AND c.first <= gone.last
			WHERE gone.object_id = ANY($1))`, ids)
	batch.Queue(`DELETE FROM quarantine_objects WHERE id = ANY($1)`, ids)
	err := pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error { return tx.SendBatch(ctx, batch).Close() })
	if err != nil {
		return fmt.Errorf("forgetting objects of the quarantine: %w", err)
	}
	return nil
}

// inQuarantine runs a transaction during which nobody else registers or decides rows of the entity, so
// that counts and fates cannot drift apart.
func (s *Store) inQuarantine(ctx context.Context, entity string, do func(tx pgx.Tx) error) error {
	return pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, `SELECT pg_advisory_xact_lock($1, hashtext($2))`, int32(lockQuarantine), entity); err != nil {
			return err
		}
		return do(tx)
	})
}

// errPlaces is returned for a bitmap that was not written here.
var errPlaces = errors.New("a set of rows in quarantine_groups or quarantine_fates cannot be read")

func bitmapOf(text []byte) (*roaring64.Bitmap, error) {
	b := roaring64.New()
	if err := b.UnmarshalBinary(text); err != nil {
		return nil, errors.Join(errPlaces, err)
	}
	return b, nil
}
