package embedded

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"time"
)

// The servers' names, as people know them.
const (
	nameKafka      = "Kafka"
	nameS3         = "S3"
	namePostgres   = "PostgreSQL"
	nameClickHouse = "ClickHouse"
)

const (
	probeInterval = 20 * time.Millisecond
	probeTimeout  = 2 * time.Second
)

// server is one server: how to start it, how to know that it serves, how to stop it.
type server struct {
	name, engine       string
	address, data, log string
	stopSignal         syscall.Signal

	// prepare brings the data directory into being; nil when the server does so itself.
	prepare func(context.Context) error
	command func() (*exec.Cmd, error)
	// probe makes a request of the server's own protocol, with its credentials.
	probe func(context.Context) error

	process *process
	// killed is set while the server is away on purpose; Servers.mu guards it.
	killed bool
}

// start returns once the server answers. The child inherits the lock of the data directory.
func (s *server) start(ctx context.Context, lock *os.File) error {
	if s.prepare != nil {
		if err := s.prepare(ctx); err != nil {
			return fmt.Errorf("preparing %s: %w", s.name, err)
		}
	}
	cmd, err := s.command()
	if err != nil {
		return fmt.Errorf("starting %s: %w", s.name, err)
	}
	s.process, err = spawn(cmd, s.log, s.stopSignal, lock)
	if err != nil {
		return fmt.Errorf("starting %s: %w", s.name, err)
	}
	return s.awaitReady(ctx)
}

func (s *server) awaitReady(ctx context.Context) error {
	again := time.NewTicker(probeInterval)
	defer again.Stop()
	for {
		attempt, cancel := context.WithTimeout(ctx, probeTimeout)
		answer := s.probe(attempt)
		cancel()
		if answer == nil {
			return nil
		}
		select {
		case <-s.process.exited:
			return s.exitError()
		case <-ctx.Done():
			if errors.Is(ctx.Err(), context.Canceled) {
				return fmt.Errorf("waiting for %s: %w", s.name, ctx.Err())
			}
			return fmt.Errorf("waiting for %s on %s: no good answer in %s (%w); its log is %s", s.name, s.address, startTimeout, answer, s.log)
		case <-again.C:
		}
	}
}

// exitError describes the end of a server that should be running.
func (s *server) exitError() error {
	err := fmt.Errorf("%s stopped with %s; its log is %s", s.name, s.process.cmd.ProcessState, s.log)
	if line := lastLine(s.log); line != "" {
		err = fmt.Errorf("%w, ending with: %s", err, line)
	}
	return err
}

func (s *server) stop() { s.process.stop(s.stopSignal) }
