package store

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5/pgxpool"
)

// ErrBusy is returned for a lock that another process, or another stream of this one, holds.
var ErrBusy = errors.New("is held by another")

// The namespaces of advisory locks: what is locked, beside the hash of its name.
const (
	lockRun        = 0x72756e
	lockStage      = 0x737461
	lockOutbox     = 0x6f7574
	lockQuarantine = 0x717561
)

// Lock is an advisory lock and the connection that holds it. PostgreSQL lets go of it when that
// connection ends, however it ends: a lock never outlives its holder.
type Lock struct {
	conn *pgxpool.Conn
}

// takeLock waits for a lock, or returns ErrBusy where it must not.
func (s *Store) takeLock(ctx context.Context, space int32, name string, wait bool) (*Lock, error) {
	conn, err := s.pool.Acquire(ctx)
	if err != nil {
		return nil, fmt.Errorf("reaching PostgreSQL: %w", err)
	}
	taken := true
	if wait {
		_, err = conn.Exec(ctx, `SELECT pg_advisory_lock($1, hashtext($2))`, space, name)
	} else {
		err = conn.QueryRow(ctx, `SELECT pg_try_advisory_lock($1, hashtext($2))`, space, name).Scan(&taken)
	}
	l := &Lock{conn: conn}
	if err != nil {
		l.Release()
		return nil, fmt.Errorf("taking the lock %q: %w", name, err)
	}
	if !taken {
		conn.Release()
		return nil, ErrBusy
	}
	return l, nil
}

// Held makes a round trip on the connection that holds the lock; an error says that it may be lost.
func (l *Lock) Held(ctx context.Context) error {
	if err := l.conn.Ping(ctx); err != nil {
		return fmt.Errorf("reaching PostgreSQL, where the lock is held: %w", err)
	}
	return nil
}

// Release lets go of the lock. It is safe to call twice, and on nil.
func (l *Lock) Release() {
	if l == nil || l.conn == nil {
		return
	}
	conn := l.conn
	l.conn = nil
	ctx, cancel := context.WithTimeout(context.Background(), connectTimeout)
	defer cancel()
	if _, err := conn.Exec(ctx, `SELECT pg_advisory_unlock_all()`); err == nil {
		conn.Release()
		return
	}
	// whatever state it is in, its end lets go of the lock
	_ = conn.Hijack().Close(ctx)
}
