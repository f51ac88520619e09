// Package store is what shop-connect keeps in PostgreSQL: its tables, and every query on them as a
// typed method. SQL text lives here and nowhere else.
package store

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
)

// Connections are few and reused: a stream holds one while it works on an object.
const (
	maxConnections = 16
	connectTimeout = 5 * time.Second
)

// Store is a pool of connections to one database. It is safe for concurrent use.
type Store struct {
	pool *pgxpool.Pool
}

// CheckDSN reports what is wrong with a connection string, without connecting.
func CheckDSN(dsn string) error {
	if dsn == "" {
		return fmt.Errorf("is empty: write postgres://user:password@host:5432/database, or set POSTGRES_DSN")
	}
	_, err := poolConfig(dsn)
	return err
}

func poolConfig(dsn string) (*pgxpool.Config, error) {
	cfg, err := pgxpool.ParseConfig(dsn)
	if err != nil {
		// pgx takes the password out of its message
		return nil, fmt.Errorf("reading PostgreSQL connection string: %w", err)
	}
	cfg.MaxConns = max(cfg.MaxConns, maxConnections)
	cfg.ConnConfig.ConnectTimeout = connectTimeout
	return cfg, nil
}

// Open connects, and brings the schema up to date where it is not.
func Open(ctx context.Context, dsn string) (*Store, error) {
	if err := Migrate(ctx, dsn); err != nil {
		return nil, err
	}
	return OpenAsIs(ctx, dsn)
}

// OpenAsIs leaves the schema as it is, for those who only look. It connects when it is first asked.
func OpenAsIs(ctx context.Context, dsn string) (*Store, error) {
	cfg, err := poolConfig(dsn)
	if err != nil {
		return nil, err
	}
	pool, err := pgxpool.NewWithConfig(ctx, cfg)
	if err != nil {
		return nil, fmt.Errorf("opening PostgreSQL pool: %w", err)
	}
	return &Store{pool: pool}, nil
}

// Pool gives access to the connections, for queries that belong to one package alone.
func (s *Store) Pool() *pgxpool.Pool { return s.pool }

// Close closes all connections. A nil store is closed already.
func (s *Store) Close() {
	if s != nil {
		s.pool.Close()
	}
}

// Ping makes a round trip.
func (s *Store) Ping(ctx context.Context) error {
	if err := s.pool.Ping(ctx); err != nil {
		return fmt.Errorf("reaching PostgreSQL: %w", err)
	}
	return nil
}
