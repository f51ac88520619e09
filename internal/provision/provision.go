// Package provision creates what the streams need on their servers: Kafka topics, S3 buckets, PostgreSQL
// tables and ClickHouse tables. It does not know whose servers they are, and running it again, or in
// several replicas at once, changes nothing.
package provision

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/shop-connect/shop-connect/internal/env"
	"github.com/shop-connect/shop-connect/internal/store"
)

const (
	timeout = time.Minute
	// lockKey is the PostgreSQL advisory lock that lets one replica provision at a time. It must differ
	// from the one of the migrations, which wait for theirs on another connection.
	lockKey = 0x70726f76 // "prov"
	// rolesLockKey is held around it, where both may be in one database.
	rolesLockKey = 0x726f6c65 // "role"
)

// steps are independent of each other.
var steps = []struct {
	what string
	run  func(ctx context.Context, vars map[string]string) error
}{
	{"Kafka topics", createTopics},
	{"S3 buckets", createBuckets},
	{"PostgreSQL tables", migratePostgres},
	{"ClickHouse tables", migrateClickHouse},
	{"Iceberg catalog", createCatalog},
}

// All brings every server to the state that this version of shop-connect works with. vars are the
// variables of package env.
func All(ctx context.Context, vars map[string]string) error {
	err := env.Require(vars, env.KafkaBrokers, env.S3Endpoint, env.S3AccessKey, env.S3SecretKey, env.PostgresDSN, env.ClickHouseDSN)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	unlock, err := lock(ctx, vars[env.PostgresDSN], lockKey)
	if err != nil {
		return err
	}
	defer unlock()

	failures := make([]error, len(steps))
	var wg sync.WaitGroup
	for i, step := range steps {
		wg.Go(func() {
			if err := step.run(ctx, vars); err != nil {
				failures[i] = fmt.Errorf("creating %s: %w", step.what, err)
			}
		})
	}
	wg.Wait()
	return errors.Join(failures...)
}

func migratePostgres(ctx context.Context, vars map[string]string) error {
	return store.Migrate(ctx, vars[env.PostgresDSN])
}

// lock holds an advisory lock for as long as its connection is open.
func lock(ctx context.Context, dsn string, key int64) (unlock func(), err error) {
	conn, err := pgx.Connect(ctx, dsn)
	if err != nil {
		return nil, fmt.Errorf("connecting to PostgreSQL: %w", err)
	}
	unlock = func() { _ = conn.Close(context.WithoutCancel(ctx)) }
	if _, err := conn.Exec(ctx, "SELECT pg_advisory_lock($1)", key); err != nil {
		unlock()
		return nil, fmt.Errorf("waiting for another replica to finish provisioning: %w", err)
	}
	return unlock, nil
}
