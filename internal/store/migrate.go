package store

import (
	"context"
	"embed"
	"fmt"
	"io/fs"

	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
)

// migrationLock is an arbitrary number that every process agrees on. Closing db lets go of it.
const migrationLock = 0x73686f70

//go:embed migrations/*.sql
var migrations embed.FS

// Migrate brings the schema up to date. Any number of processes may do so at once: an advisory lock
// lets one of them work, and the others find it done.
func Migrate(ctx context.Context, dsn string) error {
	cfg, err := poolConfig(dsn)
	if err != nil {
		return err
	}
	db := stdlib.OpenDB(*cfg.ConnConfig)
	defer db.Close()
	if err := db.PingContext(ctx); err != nil {
		return fmt.Errorf("reaching PostgreSQL: %w", err)
	}
	files, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return fmt.Errorf("reading embedded migrations: %w", err)
	}
	// a lock of our own blocks until it is free; goose's would ask again every few seconds
	held, err := db.Conn(ctx)
	if err != nil {
		return fmt.Errorf("reaching PostgreSQL: %w", err)
	}
	defer held.Close()
	if _, err := held.ExecContext(ctx, "SELECT pg_advisory_lock($1)", migrationLock); err != nil {
		return fmt.Errorf("taking the migration lock: %w", err)
	}
	provider, err := goose.NewProvider(goose.DialectPostgres, db, files, goose.WithAllowOutofOrder(true)) // numbers are given out before they are used
	if err != nil {
		return fmt.Errorf("preparing migrations: %w", err)
	}
	if _, err := provider.Up(ctx); err != nil {
		return fmt.Errorf("migrating the PostgreSQL schema: %w", err)
	}
	return nil
}
