package clickhouse

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"time"
	"unsafe"
)

// connections is how many statements run at once. A connection of the library runs one at a time.
const connections = 8

// drainTimeout bounds each of the two waits at the end: for clients to finish, and for statements that still run. The
// engine cannot interrupt most of these.
const drainTimeout = 1500 * time.Millisecond

// baseSettings hold on every connection and are what a setting of a request falls back to.
var baseSettings = map[string]string{
	// An INSERT is answered once its rows are in the table, not in a buffer.
	"async_insert": "0",
	// A server does not read `x` as `SELECT x`.
	"implicit_select": "0",
}

var errClosed = exceptionf(codeNetworkError, "NETWORK_ERROR", "ClickHouse is shutting down")

// conn is a connection of the library with the OS thread that owns it: the engine keeps state per thread.
type conn struct {
	engine    *engine
	arguments []string
	jobs      chan func()

	handle   unsafe.Pointer // what chdb_connect returned: a pointer to the connection
	database string         // the current database, "" when unknown
	spoiled  bool           // a request left something behind that the next must not meet
}

// connection is what the library's other calls take.
func (c *conn) connection() unsafe.Pointer { return *(*unsafe.Pointer)(c.handle) }

// serve is the life of the connection's thread. It ends with the thread, never given back to the Go runtime.
func (c *conn) serve() {
	runtime.LockOSThread()
	for job := range c.jobs {
		job()
	}
}

// do runs f on the connection's thread.
func (c *conn) do(f func() error) error {
	done := make(chan error, 1)
	c.jobs <- func() { done <- f() }
	return <-done
}

// open connects, on the connection's thread.
func (c *conn) open() error {
	if c.handle = c.engine.open(c.arguments); c.handle == nil {
		return exceptionf(codeNetworkError, "NETWORK_ERROR", "the engine refused to open it; the line it logged before this one says why")
	}
	c.database, c.spoiled = "", false
	for name, value := range baseSettings {
		if err := c.exec("SET " + name + " = " + quote(value, '\'')); err != nil {
			return err
		}
	}
	return nil
}

func (c *conn) close() {
	if c.handle != nil {
		c.engine.close(c.handle)
		c.handle = nil
	}
}

// pool hands out connections to one data folder.
type pool struct {
	engine *engine
	all    []*conn
	free   chan *conn
	closed chan struct{}
	once   sync.Once
	err    error
}

func openPool(e *engine, dataDir string) (*pool, error) {
	p := &pool{engine: e, free: make(chan *conn, connections), closed: make(chan struct{})}
	for range connections {
		c := &conn{engine: e, jobs: make(chan func()), arguments: []string{"clickhouse", "--path=" + dataDir}}
		go c.serve()
		p.all = append(p.all, c)
		p.free <- c
		if err := c.do(c.open); err != nil {
			return nil, errors.Join(err, p.close())
		}
	}
	return p, nil
}

// do runs f on a free connection, in the thread that owns it.
func (p *pool) do(ctx context.Context, f func(*conn) error) error {
	var c *conn
	select {
	case c = <-p.free:
	case <-p.closed:
		return errClosed
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { p.free <- c }()
	return c.do(func() error {
		if c.handle == nil || c.spoiled {
			c.close()
			if err := c.open(); err != nil {
				return err
			}
		}
		return f(c)
	})
}

// close waits for what runs and closes every connection. It is safe to call twice. The engine's own threads end with
// the process.
func (p *pool) close() error {
	p.once.Do(func() {
		close(p.closed)
		deadline := time.After(drainTimeout)
		for range p.all {
			select {
			case c := <-p.free:
				p.err = errors.Join(p.err, c.do(func() error { c.close(); return nil }))
				close(c.jobs)
			case <-deadline:
				p.err = fmt.Errorf("closing ClickHouse: a statement still runs after %s", drainTimeout)
				return
			}
		}
	})
	return p.err
}
