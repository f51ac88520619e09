package embedded

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"syscall"
	"time"

	"github.com/shop-connect/shop-connect/internal/embedded/clickhouse"
)

// The hidden subcommand: `shop-connect embedded kafka`.
const (
	childCommand    = "embedded"
	childKafka      = "kafka"
	childS3         = "s3"
	childClickHouse = "clickhouse"
)

// childGrace is how long a child may take to put its things in order once it is told to end. It is
// below stopGrace, so that the child itself has the last word.
const childGrace = 4 * time.Second

// childConfig reaches a child as one line of JSON on its standard input: arguments and environment
// would show the secrets to every user of the machine.
type childConfig struct {
	Address  string `json:"address"`
	DataDir  string `json:"data_dir"`
	User     string `json:"user,omitempty"`
	Password string `json:"password,omitempty"`
	Database string `json:"database,omitempty"`
	LibPath  string `json:"lib_path,omitempty"`
}

var childServers = map[string]func(context.Context, childConfig) error{
	childKafka: serveKafka,
	childS3:    serveS3,
	childClickHouse: func(ctx context.Context, cfg childConfig) error {
		return clickhouse.Serve(ctx, clickhouse.Config{
			Addr: cfg.Address, DataDir: cfg.DataDir, User: cfg.User, Password: cfg.Password,
			Database: cfg.Database, LibPath: cfg.LibPath,
		})
	},
}

// RunChild serves the hidden subcommands. main calls it first, with os.Args[1:]: when handled is true,
// this process was a server and has nothing else to do.
func RunChild(ctx context.Context, args []string) (handled bool, err error) {
	if len(args) != 2 || args[0] != childCommand {
		return false, nil
	}
	serve, ok := childServers[args[1]]
	if !ok {
		return true, fmt.Errorf("unknown embedded server %q", args[1])
	}
	// Two calls to end may come together: the kernel's signal for the parent's death and the end of
	// input. Signals stay caught, so that the second one does not cut short what the first one began.
	ctx, _ = signal.NotifyContext(ctx, syscall.SIGINT, syscall.SIGTERM)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()

	stdin := bufio.NewReader(os.Stdin)
	line, err := stdin.ReadBytes('\n')
	if err != nil {
		return true, fmt.Errorf("reading the configuration of embedded %s: %w; it is started by `shop-connect up`", args[1], err)
	}
	var cfg childConfig
	if err := json.Unmarshal(line, &cfg); err != nil {
		return true, fmt.Errorf("decoding the configuration of embedded %s: %w", args[1], err)
	}
	// The parent holds the other end for as long as it lives, so the end of input is its death.
	go func() {
		_, _ = io.Copy(io.Discard, stdin)
		cancel()
	}()
	context.AfterFunc(ctx, func() {
		time.AfterFunc(childGrace, func() {
			fmt.Fprintln(os.Stderr, "still not stopped: giving up")
			os.Exit(1)
		})
	})
	return true, serve(ctx, cfg)
}

// childCmd is the command of one of this binary's own servers.
func childCmd(name string, cfg childConfig) func() (*exec.Cmd, error) {
	return func() (*exec.Cmd, error) {
		self, err := os.Executable()
		if err != nil {
			return nil, fmt.Errorf("locating this program: %w", err)
		}
		line, err := json.Marshal(cfg)
		if err != nil {
			return nil, fmt.Errorf("encoding configuration: %w", err)
		}
		cmd := exec.Command(self, childCommand, name)
		stdin, err := cmd.StdinPipe()
		if err != nil {
			return nil, fmt.Errorf("opening a pipe: %w", err)
		}
		// Shorter than a pipe's buffer, so this does not wait for the child; the pipe stays open.
		_, err = io.Copy(stdin, bytes.NewReader(append(line, '\n')))
		return cmd, err
	}
}
