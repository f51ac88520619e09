package icebergcatalog

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"fmt"
	"hash/fnv"
	"strings"
	"time"

	"github.com/apache/iceberg-go/table"
)

// What locks are for. A catalog elsewhere than in PostgreSQL has none: there everybody gets them, and the
// fence of each commit decides.
const (
	lockUpkeep = "upkeep"
	lockTurn   = "turn"
)

func lockKey(purpose string, ident table.Identifier) int64 {
	name := fnv.New64a()
	_, _ = name.Write([]byte("shop-connect " + purpose + " " + strings.Join(ident, ".")))
	return int64(name.Sum64())
}

// TryLock takes the lock by which those who maintain a table do not do the same work at once; got is
// false where another has it. It ends with release, and with the process.
func (c *Catalog) TryLock(ctx context.Context, ident table.Identifier) (release func(), got bool, err error) {
	if !c.postgres {
		return func() {}, true, nil
	}
	conn, err := c.db.Conn(ctx)
	if err != nil {
		return nil, false, fmt.Errorf("taking the lock of table %s: %w", strings.Join(ident, "."), err)
	}
	key := lockKey(lockUpkeep, ident)
	if err := conn.QueryRowContext(ctx, "SELECT pg_try_advisory_lock($1)", key).Scan(&got); err != nil || !got {
		_ = conn.Close()
		if err != nil {
			err = fmt.Errorf("taking the lock of table %s: %w", strings.Join(ident, "."), err)
		}
		return nil, false, err
	}
	return unlock(ctx, conn, key), true, nil
}

// longestTurn bounds how long a commit waits for its turn.
const longestTurn = 5 * time.Second

// Turn waits until nobody else is about to commit to a table. The fence of a commit needs no turns; they
// keep one who needs longer to make a commit from losing to those who are quick, again and again. Where a turn
// does not come in time, or cannot be asked for, the fence is all there is.
func (c *Catalog) Turn(ctx context.Context, ident table.Identifier) (release func()) {
	if !c.postgres {
		return func() {}
	}
	waiting, cancel := context.WithTimeout(ctx, longestTurn)
	defer cancel()
	conn, err := c.db.Conn(waiting)
	if err != nil {
		return func() {}
	}
	key := lockKey(lockTurn, ident)
	if _, err := conn.ExecContext(waiting, "SELECT pg_advisory_lock($1)", key); err != nil {
		drop(conn) // it may have the lock all the same
		return func() {}
	}
	return unlock(ctx, conn, key)
}

func unlock(ctx context.Context, conn *sql.Conn, key int64) func() {
	return func() {
		// without the context of the work, which may have ended
		asking, cancel := context.WithTimeout(context.WithoutCancel(ctx), longestTurn)
		defer cancel()
		if _, err := conn.ExecContext(asking, "SELECT pg_advisory_unlock($1)", key); err != nil {
			drop(conn)
			return
		}
		_ = conn.Close()
	}
}

// drop closes a connection for good, and with it goes any lock.
func drop(conn *sql.Conn) {
	_ = conn.Raw(func(any) error { return driver.ErrBadConn })
	_ = conn.Close()
}
