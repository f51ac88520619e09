package provision

import (
	"context"
	"embed"
	"fmt"
	"io/fs"
	"path"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"github.com/shop-connect/shop-connect/internal/env"
)

//go:embed clickhouse
var clickhouseFiles embed.FS

const (
	createLedger = `CREATE TABLE IF NOT EXISTS schema_migrations
(
    name       String,
    applied_at DateTime64(6, 'UTC') DEFAULT now64(6)
)
ENGINE = MergeTree
ORDER BY name`
	// what another replica has recorded is known here before it is read
	syncLedger  = `SYSTEM SYNC REPLICA schema_migrations`
	readLedger  = `SELECT name FROM schema_migrations`
	writeLedger = `INSERT INTO schema_migrations (name) VALUES (?)`
)

// ClickHouseMigrations are the files of this version that a ClickHouse has to have run.
func ClickHouseMigrations() []string {
	files, _ := fs.Glob(clickhouseFiles, "clickhouse/*.sql") // only a bad pattern is an error
	for i, file := range files {
		files[i] = path.Base(file)
	}
	return files
}

func migrateClickHouse(ctx context.Context, vars map[string]string) error {
	options, err := clickhouse.ParseDSN(vars[env.ClickHouseDSN])
	if err != nil {
		return fmt.Errorf("parsing %s: %w", env.ClickHouseDSN, err)
	}
	if options.Auth.Database == "" {
		return fmt.Errorf("%s names no database: end it with /analytics", env.ClickHouseDSN)
	}
	on, err := parseCluster(vars[env.ClickHouseCluster])
	if err != nil {
		return fmt.Errorf("reading %s: %w", env.ClickHouseCluster, err)
	}
	if err := createDatabase(ctx, *options, on); err != nil {
		return err
	}
	conn, err := clickhouse.Open(options)
	if err != nil {
		return fmt.Errorf("reading %s: %w", env.ClickHouseDSN, err)
	}
	defer conn.Close()
	return runMigrations(ctx, conn, on, clickhouseFiles)
}

// createDatabase connects to the database that every server has, to create the one of the DSN.
func createDatabase(ctx context.Context, options clickhouse.Options, on cluster) error {
	database := options.Auth.Database
	options.Auth.Database = "default"
	conn, err := clickhouse.Open(&options)
	if err != nil {
		return fmt.Errorf("reading %s: %w", env.ClickHouseDSN, err)
	}
	defer conn.Close()
	if err := conn.Exec(ctx, on.render(createDatabaseOf(database))); err != nil {
		return fmt.Errorf("database %s: %w", database, err)
	}
	return nil
}

func createDatabaseOf(name string) string { return "CREATE DATABASE IF NOT EXISTS `" + name + "`" }

// runMigrations runs each file once, in the order of names. A file is one statement; ClickHouse has no
// transactions for them, so one that is interrupted before it is recorded runs again: IF NOT EXISTS.
func runMigrations(ctx context.Context, conn driver.Conn, on cluster, files fs.FS) error {
	if err := conn.Exec(ctx, on.render(createLedger)); err != nil {
		return fmt.Errorf("table schema_migrations: %w", err)
	}
	if on != "" {
		if err := conn.Exec(ctx, syncLedger); err != nil {
			return fmt.Errorf("waiting for schema_migrations of other replicas: %w", err)
		}
	}
	var rows []struct {
		Name string `ch:"name"`
	}
	if err := conn.Select(ctx, &rows, readLedger); err != nil {
		return fmt.Errorf("reading schema_migrations: %w", err)
	}
	done := make(map[string]bool, len(rows))
	for _, row := range rows {
		done[row.Name] = true
	}

	names, err := fs.Glob(files, "clickhouse/*.sql") // sorted
	if err != nil {
		return err
	}
	for _, file := range names {
		name := path.Base(file)
		if done[name] {
			continue
		}
		statement, err := fs.ReadFile(files, file)
		if err != nil {
			return err
		}
		if err := conn.Exec(ctx, on.render(string(statement))); err != nil {
			return fmt.Errorf("running %s: %w", name, err)
		}
		if err := conn.Exec(ctx, writeLedger, name); err != nil {
			return fmt.Errorf("recording %s: %w", name, err)
		}
	}
	return nil
}
