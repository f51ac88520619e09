package app

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"text/tabwriter"
	"time"

	"github.com/redpanda-data/benthos/v4/public/service"
	"github.com/urfave/cli/v2"

	"github.com/shop-connect/shop-connect/internal/contract"
	"github.com/shop-connect/shop-connect/internal/embedded"
	"github.com/shop-connect/shop-connect/internal/env"
	"github.com/shop-connect/shop-connect/internal/provision"
	"github.com/shop-connect/shop-connect/internal/runs"
	"github.com/shop-connect/shop-connect/internal/store"
	"github.com/shop-connect/shop-connect/internal/upproc"
)

const (
	flagDataDir   = "data-dir"
	flagPipelines = "pipelines"
	flagBatches   = "streams"
	flagStreams   = "port-streams"
	flagAPI       = "port-api"
	loopback      = "127.0.0.1"
	streamsUser   = "shop"
	readyTimeout  = 20 * time.Second
)

func upCommand(p *program) *cli.Command {
	ports := embedded.DefaultPorts()
	return &cli.Command{
		Name:  "up",
		Usage: "Run everything on this machine: embedded Kafka, S3, PostgreSQL and ClickHouse, the API and the pipelines",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: flagDataDir, Value: ".shop", Usage: "where all data, logs and credentials are kept"},
			&cli.StringFlag{Name: flagPipelines, Value: "pipelines", Usage: "folder of the streams to run; edits take effect at once"},
			&cli.StringFlag{Name: flagBatches, Value: runs.DefaultDir, EnvVars: []string{env.StreamsDir}, Usage: "folder of the batch streams that the API may start"},
			&cli.IntFlag{Name: flagAPI, Value: 8000, Usage: "port of the HTTP API; 0 lets the system choose, as for every port"},
			&cli.IntFlag{Name: flagStreams, Value: 4195, Usage: "port of the streams REST API"},
			&cli.IntFlag{Name: "port-kafka", Value: ports.Kafka, Usage: "port of Kafka"},
			&cli.IntFlag{Name: "port-s3", Value: ports.S3, Usage: "port of S3"},
			&cli.IntFlag{Name: "port-postgres", Value: ports.Postgres, Usage: "port of PostgreSQL"},
			&cli.IntFlag{Name: "port-clickhouse", Value: ports.ClickHouse, Usage: "port of ClickHouse's HTTP interface"},
		},
		Action: func(c *cli.Context) error {
			if c.Args().Present() {
				return fmt.Errorf("up takes no arguments, only flags: %q", c.Args().First())
			}
			return (&stack{program: p, out: c.App.Writer, log: slog.New(slog.NewTextHandler(os.Stderr, nil))}).run(c)
		},
	}
}

// stack is one run of up.
type stack struct {
	program *program
	out     interface{ Write([]byte) (int, error) }
	log     *slog.Logger
	servers *embedded.Servers
	vars    map[string]string
	// batches is the folder of the batch streams.
	batches string
}

func (s *stack) run(c *cli.Context) error {
	dir, err := filepath.Abs(c.String(flagPipelines))
	if err != nil {
		return fmt.Errorf("locating pipelines: %w", err)
	}
	if s.batches, err = filepath.Abs(c.String(flagBatches)); err != nil {
		return fmt.Errorf("locating batch streams: %w", err)
	}
	if err := checkTimezone(os.Getenv("SHOP_TIMEZONE")); err != nil {
		return err
	}
	own, err := reserveAddresses(c)
	if err != nil {
		return err
	}
	defer own.release()
	ctx, cancel := context.WithCancel(c.Context)
	defer cancel()
	s.servers, err = embedded.Start(ctx, embedded.Config{DataDir: c.String(flagDataDir), Ports: embedded.Ports{
		Kafka: c.Int("port-kafka"), S3: c.Int("port-s3"), Postgres: c.Int("port-postgres"), ClickHouse: c.Int("port-clickhouse"),
	}}, s.log)
	if err != nil {
		return err
	}
	err = s.serve(ctx, c.String(flagDataDir), dir, own)
	return errors.Join(err, s.servers.Err(), s.servers.Close())
}

// serve runs the streams until a signal, or the end of a server, ends them.
func (s *stack) serve(ctx context.Context, dataDir, dir string, own *addresses) error {
	streams, api := own.streams, own.api
	s.vars = s.servers.Env()
	s.vars[env.APIAddress], s.vars[env.StreamsAddress] = api, streams
	s.vars[env.StreamsURL], s.vars[env.StreamsDir] = "http://"+streams, s.batches
	s.vars[env.StreamsUser], s.vars[env.ContractsDir] = streamsUser, filepath.Join(dir, "contracts")
	if err := provision.All(ctx, s.vars); err != nil {
		return err
	}
	if err := s.export(); err != nil {
		return err
	}
	pipelines := newPipelines(dir, streamsAPI{"http://" + streams, streamsUser, s.vars[env.StreamsPassword]}, s.program.environment, s.log)
	if err := pipelines.check(); err != nil {
		return err
	}
	ledger, err := store.Open(ctx, s.vars[env.PostgresDSN])
	if err != nil {
		return err
	}
	defer ledger.Close()
	pipelines.adopt = func(ctx context.Context, contracts []*contract.Contract) error {
		return ledger.AdoptContracts(ctx, contracts...)
	}
	if err := env.WriteFile(dataDir, s.vars); err != nil {
		return err
	}
	failed := make(chan error, 1)
	begin := func(*service.RunningStreamSummary) error {
		go func() {
			if err := s.startPipelines(ctx, pipelines); err != nil {
				failed <- err
				stopSelf()
				return
			}
			pipelines.watch(ctx)
		}()
		go func() {
			select {
			case <-s.servers.Done():
				s.log.Error("stopping: " + s.servers.Err().Error())
				stopSelf()
			case <-ctx.Done():
			}
		}()
		return nil
	}
	root := filepath.Join(dir, "resources", "service.yaml")
	own.release()
	code, err := s.program.run(ctx, []string{name, "streams", "-o", root}, service.CLIOptOnStreamStart(begin))
	if code != 0 && err == nil {
		err = fmt.Errorf("running the streams: exit code %d; the lines above say why", code)
	}
	select {
	case cause := <-failed:
		return errors.Join(cause, err)
	default:
		return err
	}
}

// stopSelf ends the streams the way Ctrl-C does: Connect finishes what it has in hand on a signal only.
func stopSelf() { _ = syscall.Kill(syscall.Getpid(), syscall.SIGTERM) }

// startPipelines returns once every component of every stream is connected, or says which is not: one
// stream that waits for its bucket is no reason to take the others down.
func (s *stack) startPipelines(ctx context.Context, pipelines *pipelines) error {
	if err := pipelines.apply(ctx); err != nil {
		return err
	}
	waited, cancel := context.WithTimeout(ctx, readyTimeout)
	defer cancel()
	ticker := time.NewTicker(50 * time.Millisecond)
	defer ticker.Stop()
	for {
		err := pipelines.streams.ready(ctx)
		if err == nil {
			return s.printTable()
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-waited.Done():
			s.log.Error("some streams are not connected yet, they go on trying: " + err.Error())
			return s.printTable()
		case <-ticker.C:
		}
	}
}

// export sets the variables that the YAML of the streams refers to.
func (s *stack) export() error {
	hash := sha256.Sum256([]byte(s.vars[env.StreamsPassword]))
	settings := map[string]string{
		"STREAMS_PASSWORD_HASH": base64.StdEncoding.EncodeToString(hash[:]),
		"LOG_LEVEL":             cmp.Or(os.Getenv("LOG_LEVEL"), "ERROR"),
		"API_DEMO_USER":         "true",
		"API_ACCESS_LOG":        cmp.Or(os.Getenv("API_ACCESS_LOG"), "false"),
	}
	for _, vars := range []map[string]string{s.vars, settings} {
		for key, value := range vars {
			if err := os.Setenv(key, value); err != nil {
				return fmt.Errorf("setting %s: %w", key, err)
			}
		}
	}
	return nil
}

func (s *stack) printTable() error {
	table := tabwriter.NewWriter(s.out, 0, 0, 3, ' ', 0)
	fmt.Fprintf(table, "%s\n\n", upproc.Ready)
	fmt.Fprintf(table, "API\thttp://%s/docs\tadmin / admin, on this machine only\n", s.vars[env.APIAddress])
	fmt.Fprintf(table, "Streams\thttp://%s\tuser %s, password in the data directory's env file\n", s.vars[env.StreamsAddress], streamsUser)
	for _, server := range s.servers.List() {
		fmt.Fprintf(table, "%s\t%s\t%s, process %d, data in %s\n", server.Name, server.Address, server.Engine, server.PID, server.Data)
	}
	fmt.Fprintf(table, "\nCtrl-C stops everything; the data stay.\n")
	return table.Flush()
}

// checkTimezone refuses what would cut days differently on another machine, or nowhere.
func checkTimezone(name string) error {
	if _, err := time.LoadLocation(name); err != nil || name == "Local" {
		return fmt.Errorf("SHOP_TIMEZONE %q is not a time zone: use a name such as Europe/Berlin, or UTC", name)
	}
	return nil
}

// addresses are those of this process. They are held until it listens on them itself: a server that starts
// meanwhile, and lets the system choose its port, would be given one of them.
type addresses struct {
	streams, api string
	held         []net.Listener
}

func (a *addresses) release() {
	for _, listener := range a.held {
		listener.Close()
	}
	a.held = nil
}

// reserveAddresses takes the ports of this process before anything starts.
func reserveAddresses(c *cli.Context) (*addresses, error) {
	var faults []error
	own := &addresses{}
	if port := c.Int(flagAPI); port != 0 && port == c.Int(flagStreams) {
		return nil, fmt.Errorf("--%s and --%s name the same port %d", flagAPI, flagStreams, port)
	}
	reserve := func(what, flag string) string {
		listener, err := net.Listen("tcp", net.JoinHostPort(loopback, strconv.Itoa(c.Int(flag))))
		if errors.Is(err, syscall.EADDRINUSE) {
			faults = append(faults, fmt.Errorf("port %d for %s is taken: stop what uses it, or choose another with --%s", c.Int(flag), what, flag))
			return ""
		}
		if err != nil {
			faults = append(faults, fmt.Errorf("opening port %d for %s: %w; choose another with --%s", c.Int(flag), what, err, flag))
			return ""
		}
		own.held = append(own.held, listener)
		return listener.Addr().String()
	}
	own.streams, own.api = reserve("the streams REST API", flagStreams), reserve("the HTTP API", flagAPI)
	if err := errors.Join(faults...); err != nil {
		own.release()
		return nil, err
	}
	return own, nil
}
