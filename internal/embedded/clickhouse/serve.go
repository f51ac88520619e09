package clickhouse

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"
)

// Config says where and for whom ClickHouse runs. All fields but Database and Ready are required.
type Config struct {
	Addr     string // host:port of the HTTP interface, on loopback; port 0 lets the OS choose
	DataDir  string // holds the databases; one process at a time
	User     string
	Password string
	// Database is created if it is not there, as ClickHouse's own server does with its default database.
	Database string
	// LibPath is the engine's library, as FindLibrary or InstallLibrary return it. Only Serve needs it.
	LibPath string
	// Ready is called once queries are answered, with the address that was bound. Only Serve calls it.
	Ready func(net.Addr)
}

// check reports every fault at once, before anything is opened.
func (c Config) check() error {
	var faults []error
	host, _, err := net.SplitHostPort(c.Addr)
	if err != nil {
		faults = append(faults, fmt.Errorf("address of ClickHouse: %w", err))
	} else if ip := net.ParseIP(host); host != "localhost" && (ip == nil || !ip.IsLoopback()) {
		faults = append(faults, fmt.Errorf("address of ClickHouse: %q is not a loopback address; whoever may query may read this user's files", host))
	}
	if c.DataDir == "" {
		faults = append(faults, errors.New("data folder of ClickHouse: it is not set"))
	}
	if c.User == "" || c.Password == "" {
		faults = append(faults, errors.New("credentials of ClickHouse: both user and password must be set")) // I7
	}
	return errors.Join(faults...)
}

// subfolder creates a folder of DataDir. The engine and a server keep their data apart: neither is promised to read
// what the other wrote.
func (c Config) subfolder(name string) (string, error) {
	path, err := filepath.Abs(filepath.Join(c.DataDir, name))
	if err != nil {
		return "", fmt.Errorf("resolving data folder %q: %w", c.DataDir, err)
	}
	if err := os.MkdirAll(path, 0o700); err != nil {
		return "", fmt.Errorf("creating data folder: %w", err)
	}
	return path, nil
}

// Serve opens the data folder and answers ClickHouse's HTTP interface until ctx is done. It claims the process: see
// the package's documentation, also on the working directory. It can be called once per process.
func Serve(ctx context.Context, cfg Config) (err error) {
	if err := cfg.check(); err != nil {
		return err
	}
	dataDir, err := cfg.subfolder("engine")
	if err != nil {
		return err
	}
	// The port comes first: it is the cheaper one to find taken.
	listener, err := net.Listen("tcp", cfg.Addr)
	if err != nil {
		return fmt.Errorf("listening for ClickHouse's clients: %w", err)
	}
	defer listener.Close()

	// The engine takes its time zone from the environment: the business day must not depend on where the laptop is (I6).
	if err := os.Setenv("TZ", "UTC"); err != nil {
		return fmt.Errorf("setting ClickHouse's time zone: %w", err)
	}
	engine, err := loadEngine(cfg.LibPath)
	if err != nil {
		return err
	}
	pool, err := openPool(engine, dataDir)
	if err != nil {
		return fmt.Errorf("opening ClickHouse's data folder %q, which no other process may use: %w", dataDir, err)
	}
	defer func() { err = errors.Join(err, pool.close()) }()
	if cfg.Database != "" {
		create := func(c *conn) error { return c.exec("CREATE DATABASE IF NOT EXISTS " + quote(cfg.Database, '`')) }
		if err := pool.do(ctx, create); err != nil {
			return fmt.Errorf("creating database %q: %w", cfg.Database, err)
		}
	}

	server := &http.Server{
		Handler:           &handler{pool, newCredentials(cfg.User, cfg.Password)},
		ReadHeaderTimeout: 10 * time.Second,
	}
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	if cfg.Ready != nil {
		cfg.Ready(listener.Addr())
	}
	select {
	case err := <-served:
		return fmt.Errorf("serving ClickHouse's clients: %w", err)
	case <-ctx.Done():
	}
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), drainTimeout)
	defer cancel()
	if server.Shutdown(grace) != nil {
		return server.Close() // clients that would not finish lose their connection
	}
	return nil
}
