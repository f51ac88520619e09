// Package embedded runs the servers that shop-connect needs (Kafka, S3, PostgreSQL and ClickHouse) on
// the loopback interface of one machine, so that a laptop runs the very streams that production runs:
// pipelines see endpoints and credentials, never the difference.
//
// Every server is a child process: the S3 gateway changes the working directory of its process,
// ClickHouse's engine installs signal handlers, and a crash of any of them must not take the streams
// with it. Kafka, S3 and libchdb are this very binary, started again with a hidden subcommand that
// [RunChild] serves; PostgreSQL and a ClickHouse found on PATH are programs of their own. No child
// outlives the process that called [Start], however that process ends.
package embedded

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"
)

// Config says where the servers keep their data and on which ports they listen.
type Config struct {
	// DataDir holds all data, logs and credentials. One process at a time may use it.
	DataDir string
	// CacheDir is where [Install] put what was downloaded; empty means [DefaultCacheDir].
	CacheDir string
	Ports    Ports
}

// Ports are the loopback ports of the servers; 0 lets the system choose.
type Ports struct{ Kafka, S3, Postgres, ClickHouse int }

// DefaultPorts returns the port each server is best known by.
func DefaultPorts() Ports {
	return Ports{Kafka: 9092, S3: 9000, Postgres: 5432, ClickHouse: 8123}
}

const envCacheDir = "SHOP_CONNECT_CACHE"

// DefaultCacheDir is $SHOP_CONNECT_CACHE, else .cache in the current directory.
func DefaultCacheDir() string { return cmp.Or(os.Getenv(envCacheDir), ".cache") }

// Server describes one running server.
type Server struct {
	Name    string // Kafka, S3, PostgreSQL or ClickHouse
	Engine  string // which implementation, and its version where that varies
	Address string // host:port
	Data    string // directory
	Log     string // file
	PID     int
}

const (
	startTimeout    = 90 * time.Second
	slowStartNotice = 5 * time.Second
)

// Servers are the running servers of one data directory.
type Servers struct {
	lock    *os.File
	env     map[string]string
	servers []*server

	done chan struct{}

	mu      sync.Mutex
	closing bool
	err     error
}

// Start starts all servers and returns when each of them has answered a request of its own protocol.
// Whatever stands in the way is reported at once, before any server starts: an unusable directory, a
// directory that another process uses, ports that are taken, programs that are missing.
func Start(ctx context.Context, cfg Config, log *slog.Logger) (*Servers, error) {
	dataDir, err := prepareDataDir(cfg.DataDir)
	if err != nil {
		return nil, err
	}
	cacheDir, err := filepath.Abs(cmp.Or(cfg.CacheDir, DefaultCacheDir()))
	if err != nil {
		return nil, fmt.Errorf("locating the cache directory: %w", err)
	}
	lock, err := lockDataDir(ctx, dataDir)
	if err != nil {
		return nil, err
	}
	s := &Servers{lock: lock, done: make(chan struct{})}
	if err := s.start(ctx, dataDir, cacheDir, cfg.Ports, log); err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

func (s *Servers) start(ctx context.Context, dataDir, cacheDir string, ports Ports, log *slog.Logger) error {
	creds, err := loadOrCreateSecrets(dataDir)
	if err != nil {
		return err
	}

	addresses, portsErr := reservePorts(ports)
	layout := layout{dataDir: dataDir, cacheDir: cacheDir}
	postgres, postgresErr := newPostgres(ctx, layout, addresses.Postgres, creds)
	clickhouse, clickhouseErr := newClickHouse(layout, addresses.ClickHouse, creds)
	if err := errors.Join(portsErr, postgresErr, clickhouseErr); err != nil {
		return err
	}
	s.servers = []*server{
		newKafka(layout, addresses.Kafka),
		newS3(layout, addresses.S3, creds),
		postgres,
		clickhouse,
	}

	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	failures := make([]error, len(s.servers))
	var wg sync.WaitGroup
	for i, srv := range s.servers {
		wg.Go(func() {
			slow := time.AfterFunc(slowStartNotice, func() { log.Info("server is still starting", "server", srv.name, "log", srv.log) })
			defer slow.Stop()
			if failures[i] = srv.start(ctx, s.lock); failures[i] != nil {
				cancel() // the others need not go on
			}
		})
	}
	wg.Wait()
	if err := firstCause(failures); err != nil {
		return err
	}
	for _, srv := range s.servers {
		go s.watch(srv)
	}

	s.env = environment(addresses, creds)
	return nil
}

// firstCause leaves out the servers that stopped only because another one failed, or the caller gave up.
func firstCause(failures []error) error {
	failures = slices.DeleteFunc(failures, func(err error) bool { return err == nil })
	causes := slices.DeleteFunc(slices.Clone(failures), func(err error) bool { return errors.Is(err, context.Canceled) })
	if len(causes) == 0 && len(failures) > 0 {
		return failures[0]
	}
	return errors.Join(causes...)
}

// watch turns the unexpected end of a server into Done and Err.
func (s *Servers) watch(srv *server) {
	<-srv.process.exited
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closing || s.err != nil || srv.killed {
		return
	}
	s.err = srv.exitError()
	close(s.done)
}

// Done is closed when a server ends that nobody asked to end; [Servers.Err] then says which and how.
func (s *Servers) Done() <-chan struct{} { return s.done }

// Err is nil until Done is closed.
func (s *Servers) Err() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}

// Env returns the variables that pipelines and the API read: endpoints and credentials.
func (s *Servers) Env() map[string]string { return maps.Clone(s.env) }

// List describes the servers, in the order in which data flow through them.
func (s *Servers) List() []Server {
	list := make([]Server, 0, len(s.servers))
	for _, srv := range s.servers {
		list = append(list, Server{
			Name: srv.name, Engine: srv.engine, Address: srv.address, Data: srv.data, Log: srv.log, PID: srv.process.pid(),
		})
	}
	return list
}

// Close stops every server and waits until it is gone. Kafka goes last: it is the one that others may
// still be writing their positions to. Close is safe to call more than once.
func (s *Servers) Close() error {
	s.mu.Lock()
	if s.closing {
		s.mu.Unlock()
		return nil
	}
	s.closing = true
	s.mu.Unlock()

	var last *server
	var wg sync.WaitGroup
	for _, srv := range s.servers {
		if srv.name == nameKafka {
			last = srv
			continue
		}
		wg.Go(srv.stop)
	}
	wg.Wait()
	if last != nil {
		last.stop()
	}
	return s.lock.Close()
}
