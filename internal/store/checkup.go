package store

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"regexp"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/pressly/goose/v3"

	"github.com/shop-connect/shop-connect/internal/contract"
)

// About is what a server says of itself.
type About struct {
	Version string
	// Number is the version as in 160004.
	Number int
	// Standby says that it only repeats what another server does.
	Standby bool
	Clock   time.Time
}

// About asks the server.
func (s *Store) About(ctx context.Context) (a About, err error) {
	err = s.pool.QueryRow(ctx, `SELECT current_setting('server_version'), current_setting('server_version_num')::int, pg_is_in_recovery(), clock_timestamp()`).
		Scan(&a.Version, &a.Number, &a.Standby, &a.Clock)
	if err != nil {
		return About{}, fmt.Errorf("asking PostgreSQL for its version: %w", err)
	}
	return a, nil
}

const undefinedTable = "42P01"

// Migrations compares those that the database has with those of this version: which are missing, and which
// come from a newer version.
func (s *Store) Migrations(ctx context.Context) (missing, newer []int64, err error) {
	applied, err := collect(ctx, s, "reading which migrations have run", pgx.RowTo[int64],
		`SELECT DISTINCT version_id FROM goose_db_version WHERE is_applied AND version_id > 0 ORDER BY 1`)
	if fault, ok := errors.AsType[*pgconn.PgError](err); ok && fault.Code == undefinedTable {
		err = nil
	}
	if err != nil {
		return nil, nil, err
	}
	files, err := fs.Glob(migrations, "migrations/*.sql")
	if err != nil {
		return nil, nil, err
	}
	var known []int64
	for _, file := range files {
		number, err := goose.NumericComponent(path.Base(file))
		if err != nil {
			return nil, nil, fmt.Errorf("reading embedded migrations: %w", err)
		}
		known = append(known, number)
		if !slices.Contains(applied, number) {
			missing = append(missing, number)
		}
	}
	for _, number := range applied {
		if !slices.Contains(known, number) {
			newer = append(newer, number)
		}
	}
	return missing, newer, nil
}

// createdTable finds the tables in the text of migrations.
var createdTable = regexp.MustCompile(`(?m)^CREATE TABLE (?:IF NOT EXISTS )?(\w+)`)

func ownTables() (tables []string, err error) {
	files, err := fs.Glob(migrations, "migrations/*.sql")
	if err != nil {
		return nil, err
	}
	for _, file := range files {
		text, err := fs.ReadFile(migrations, file)
		if err != nil {
			return nil, err
		}
		for _, match := range createdTable.FindAllSubmatch(text, -1) {
			tables = append(tables, string(match[1]))
		}
	}
	return tables, nil
}

// MissingRights names what the user may not do with a table of ours, such as "outbox: DELETE".
func (s *Store) MissingRights(ctx context.Context) ([]string, error) {
	tables, err := ownTables()
	if err != nil {
		return nil, err
	}
	rows, err := s.pool.Query(ctx, `
		SELECT c.relname || ': ' || string_agg(p, ', ')
		FROM pg_class c CROSS JOIN unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE']) p
		WHERE c.oid IN (SELECT to_regclass(name) FROM unnest($1::text[]) name) AND NOT has_table_privilege(c.oid, p)
		GROUP BY c.relname ORDER BY c.relname`, tables)
	if err != nil {
		return nil, fmt.Errorf("asking PostgreSQL for rights: %w", err)
	}
	missing, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return nil, fmt.Errorf("asking PostgreSQL for rights: %w", err)
	}
	return missing, nil
}

// TryWrite writes a row and takes it back: rights, disk and a standby show only then.
func (s *Store) TryWrite(ctx context.Context) error {
	tx, err := s.pool.Begin(ctx)
	if err != nil {
		return fmt.Errorf("trying to write to PostgreSQL: %w", err)
	}
	defer func() { _ = tx.Rollback(context.WithoutCancel(ctx)) }()
	for _, statement := range []string{
		`CREATE TEMPORARY TABLE doctor (n int) ON COMMIT DROP`,
		`INSERT INTO doctor VALUES (1)`,
		`INSERT INTO batch_runs (id, name, status) VALUES (gen_random_uuid(), 'doctor', 'failed')`,
	} {
		if _, err := tx.Exec(ctx, statement); err != nil {
			return fmt.Errorf("trying to write to PostgreSQL: %w", err)
		}
	}
	return nil
}

// OutboxRefused counts the events that Kafka has refused, and has the reason of the newest.
func (s *Store) OutboxRefused(ctx context.Context) (refused int64, reason string, err error) {
	err = s.pool.QueryRow(ctx, `SELECT count(*), coalesce((array_agg(refused ORDER BY seq DESC))[1], '') FROM outbox WHERE refused IS NOT NULL`).
		Scan(&refused, &reason)
	if err != nil {
		return 0, "", fmt.Errorf("counting what Kafka has refused: %w", err)
	}
	return refused, reason, nil
}

// RawWritten is when the last object of an entity came into RAW.
type RawWritten struct {
	Entity string
	Last   time.Time
}

// RawWritten says it of every entity that has objects.
func (s *Store) RawWritten(ctx context.Context) ([]RawWritten, error) {
	return collect(ctx, s, "looking for the last objects of RAW", pgx.RowToStructByPos[RawWritten],
		`SELECT entity, max(registered_at) FROM raw_objects GROUP BY entity ORDER BY entity`)
}

// LastRuns returns the last run of each name; those that have not begun because another was at work do not count.
func (s *Store) LastRuns(ctx context.Context) ([]Run, error) {
	return collect(ctx, s, "looking for the last runs", func(row pgx.CollectableRow) (Run, error) { return scanRun(row) },
		`SELECT DISTINCT ON (name) `+runColumns+` FROM batch_runs
		WHERE NOT (status = 'failed' AND starts_with(error, '`+refusedAsBusy+`'))
		ORDER BY name, started_at DESC, id DESC`)
}

// CheckContract says whether rows stored so far fit a contract, without adopting it.
func (s *Store) CheckContract(ctx context.Context, c *contract.Contract) error {
	var latest string
	err := s.pool.QueryRow(ctx, latestContract, c.Entity).Scan(&latest)
	if errors.Is(err, pgx.ErrNoRows) || (err == nil && latest == c.Source) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("reading the contract of %s in use: %w", c.Entity, err)
	}
	old, err := contract.Parse([]byte(latest))
	if err != nil {
		return fmt.Errorf("reading the contract of %s in use: %w", c.Entity, err)
	}
	return contract.CheckSuccessor(old, c)
}
