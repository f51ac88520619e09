package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"
)

// Export reads a table as it is at one moment, and remembers how far it was read.
//
// What changed since the last export is told by transaction numbers, not by a column such as updated_at:
// a transaction that commits late commits rows with times before the last export, and they would be lost.
// The oldest transaction that was at work during the last export is where the next one begins. A row is
// given again where a transaction overlapped, and never left out.
type Export struct {
	tx     pgx.Tx
	entity string
	key    string
	// From is the transaction number that the export begins with; 0 exports everything.
	From int64
	next int64
	oid  int64
	// keyType is the type of the key's column.
	keyType string
}

// BeginExport fixes the moment of an export of a table. A full one begins at the beginning, and so does an
// incremental one of a table that was not exported before, or is not the table that was.
func (s *Store) BeginExport(ctx context.Context, table, key string, full bool) (*Export, error) {
	tx, err := s.pool.BeginTx(ctx, pgx.TxOptions{IsoLevel: pgx.RepeatableRead})
	if err != nil {
		return nil, fmt.Errorf("reaching PostgreSQL: %w", err)
	}
	e := &Export{tx: tx, entity: table, key: key}
	if err := e.begin(ctx, full); err != nil {
		e.Close(ctx)
		return nil, fmt.Errorf("exporting table %s: %w", table, err)
	}
	return e, nil
}

func (e *Export) begin(ctx context.Context, full bool) error {
	if _, err := e.tx.Exec(ctx, `SET LOCAL TimeZone = 'UTC'`); err != nil { // I6
		return err
	}
	var seen, xmax int64
	err := e.tx.QueryRow(ctx, `
		SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint, pg_snapshot_xmax(pg_current_snapshot())::text::bigint,
			attrelid::bigint, format_type(atttypid, atttypmod)
		FROM pg_attribute WHERE attrelid = $1::regclass AND attname = $2`, quoted(e.entity), e.key).Scan(&e.next, &xmax, &e.oid, &e.keyType)
	if err != nil {
		return err
	}
	if full {
		return nil
	}
	var oid int64
	err = e.tx.QueryRow(ctx, `SELECT next_xid, table_oid FROM exports WHERE entity = $1`, e.entity).Scan(&seen, &oid)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil
	}
	if err == nil && oid == e.oid && seen <= xmax {
		e.From = seen
	}
	return err
}

// Rows calls give with each row as a JSON object and the time of its last change in microseconds, in the
// order of its key; then with a deletion for each row that is gone. Memory does not grow with their number.
// They are those of the transactions from From on, and of those the ones that changed since a moment, if it
// is not zero.
func (e *Export) Rows(ctx context.Context, since time.Time, give func(row []byte, changedAt int64) error) error {
	if err := e.live(ctx, since, give); err != nil {
		return fmt.Errorf("exporting table %s: %w", e.entity, err)
	}
	if err := e.gone(ctx, since, give); err != nil {
		return fmt.Errorf("exporting the deletions of table %s: %w", e.entity, err)
	}
	return nil
}

// fromXID keeps the rows whose transaction is $1 or later. A row knows the low 32 bits of its
// transaction's number; the greatest number that has them and is not in the future is never too low.
const fromXID = `(current.xid - ((current.xid - r.xmin::text::bigint) & 4294967295)) >= $1`

const currentXID = `(SELECT pg_snapshot_xmax(pg_current_snapshot())::text::bigint AS xid) AS current`

const microseconds = `(extract(epoch FROM %s) * 1000000)::bigint`

func (e *Export) live(ctx context.Context, since time.Time, give func([]byte, int64) error) error {
	key := quoted(e.key)
	rows, err := e.tx.Query(ctx, `
		SELECT row_to_json(r)::text, `+fmt.Sprintf(microseconds, "r.updated_at")+`
		FROM `+quoted(e.entity)+` AS r, `+currentXID+`
		WHERE ($1 = 0 OR `+fromXID+`) AND r.updated_at >= coalesce($2::timestamptz, '-infinity')
		ORDER BY r.`+key, e.From, given(since))
	return each(rows, err, give)
}

// gone leaves out what was entered again under its old key.
func (e *Export) gone(ctx context.Context, since time.Time, give func([]byte, int64) error) error {
	key := quoted(e.key)
	rows, err := e.tx.Query(ctx, `
		SELECT jsonb_build_object($3::text, r.key, 'deleted', true)::text, `+fmt.Sprintf(microseconds, "r.deleted_at")+`
		FROM record_deletions AS r, `+currentXID+`
		WHERE r.entity = $4 AND ($1 = 0 OR `+fromXID+`) AND r.deleted_at >= coalesce($2::timestamptz, '-infinity')
			AND NOT EXISTS (SELECT FROM `+quoted(e.entity)+` AS l WHERE l.`+key+` = (r.key #>> '{}')::`+e.keyType+`)
		ORDER BY r.key`, e.From, given(since), e.key, e.entity)
	return each(rows, err, give)
}

func each(rows pgx.Rows, err error, give func([]byte, int64) error) error {
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var changedAt int64
		var row pgtype.DriverBytes // the connection's own, valid until the next row
		if err := rows.Scan(&row, &changedAt); err != nil {
			return err
		}
		if err := give(row, changedAt); err != nil {
			return err
		}
	}
	return rows.Err()
}

// Done enters an export's counts in the ledger of its run, if it has one, and, where it goes on from the
// last, remembers how far the table was exported. Call it once the rows are where they belong: after a
// crash before, they are exported again.
func (e *Export) Done(ctx context.Context, s *Store, run string, counts Counts, remember bool) error {
	var batch pgx.Batch // one transaction
	if remember {
		batch.Queue(`
			INSERT INTO exports AS known (entity, next_xid, table_oid) VALUES ($1, $2, $3)
			ON CONFLICT (entity) DO UPDATE SET next_xid = excluded.next_xid, table_oid = excluded.table_oid, exported_at = now()`,
			e.entity, e.next, e.oid)
	}
	if run != "" {
		batch.Queue(addCounts, counts.arguments(run)...)
	}
	if err := s.pool.SendBatch(ctx, &batch).Close(); err != nil {
		return fmt.Errorf("noting how far table %s is exported: %w", e.entity, err)
	}
	return nil
}

// Close lets go of the moment. It is safe to call twice.
func (e *Export) Close(ctx context.Context) { _ = e.tx.Rollback(ctx) }

func quoted(name string) string { return pgx.Identifier{name}.Sanitize() }
