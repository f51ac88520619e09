package runs

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/google/uuid"
	"github.com/urfave/cli/v2"

	"github.com/shop-connect/shop-connect/internal/env"
	"github.com/shop-connect/shop-connect/internal/store"
)

const (
	flagParam   = "param"
	flagDataDir = "data-dir"
	flagStreams = "streams"
)

// The exit codes, besides 0 for a run that succeeded and 1 for one that did not.
const (
	exitBusy      = 3
	exitCancelled = 130 // what a shell makes of Ctrl-C
)

// What is done after Ctrl-C is bounded.
const (
	cancelTimeout = 40 * time.Second
	// startGrace is how long a start that is interrupted may go on, so that its run can be cancelled.
	startGrace = 10 * time.Second
)

// Command is `shop-connect run-batch`.
func Command() *cli.Command {
	return &cli.Command{
		Name:      "run-batch",
		Usage:     "Run a batch stream to its end and say what it did",
		ArgsUsage: "NAME",
		Description: "Posts streams/NAME.yaml to the streams REST API and follows its run. Ctrl-C cancels the run.\n" +
			"Exits with 0 when the run succeeded, 130 when it was cancelled, 3 when another of its name is at work,\n" +
			"else 1.\n\n" +
			"  shop-connect run-batch copy_raw_to_stage --param entity=products\n\n" +
			"Finds the servers by the environment (STREAMS_URL or STREAMS_ADDRESS, STREAMS_USER, STREAMS_PASSWORD, POSTGRES_DSN),\n" +
			"else by the data directory of a running `shop-connect up`.",
		Flags: []cli.Flag{
			&cli.StringSliceFlag{Name: flagParam, Usage: "parameter of the stream, `key=value`; may be given several times"},
			&cli.StringFlag{Name: flagDataDir, Value: ".shop", Usage: "data directory of a running `up`"},
			&cli.StringFlag{Name: flagStreams, Value: DefaultDir, EnvVars: []string{env.StreamsDir}, Usage: "folder of the batch streams"},
		},
		Action: action,
	}
}

func action(c *cli.Context) error {
	if flags := c.Args().Tail(); len(flags) > 0 {
		// flags behind the name, where people put them
		if c.NumFlags() > 0 || !strings.HasPrefix(flags[0], "-") {
			return fmt.Errorf("run-batch takes one NAME, with all flags before or all behind it: %q", flags[0])
		}
		return c.Command.Run(c, append(append([]string{c.Command.Name}, flags...), c.Args().First())...)
	}
	path, err := Find(c.String(flagStreams), c.Args().First())
	if err != nil {
		return err
	}
	params, err := parseParams(c.StringSlice(flagParam))
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(c.Context, os.Interrupt, syscall.SIGTERM)
	defer stop()
	vars, err := servers(c.String(flagDataDir))
	if err != nil {
		return err
	}
	return ToEnd(ctx, vars, path, params, c.App.Writer, os.Stderr)
}

func parseParams(given []string) (map[string]string, error) {
	params := map[string]string{}
	for _, text := range given {
		key, value, ok := strings.Cut(text, "=")
		if !ok || key == "" {
			return nil, fmt.Errorf("parameter %q is not key=value", text)
		}
		params[strings.ToLower(key)] = value
	}
	return params, nil
}

var wanted = []string{env.StreamsUser, env.StreamsPassword, env.PostgresDSN}

// servers finds the servers; what the environment says wins over a data directory.
func servers(dataDir string) (map[string]string, error) {
	vars := env.FromProcess()
	if env.Require(vars, wanted...) == nil {
		return vars, nil
	}
	file, err := env.ReadFile(dataDir)
	if err != nil {
		return nil, err
	}
	maps.Copy(file, vars)
	return file, nil
}

// ToEnd runs the batch stream of a file on the servers that vars name, and prints what it did. A run
// that does not succeed is an error.
func ToEnd(ctx context.Context, vars map[string]string, path string, params map[string]string, out, live io.Writer) error {
	if err := env.Require(vars, wanted...); err != nil {
		return err
	}
	ledger, err := store.Open(ctx, vars[env.PostgresDSN])
	if err != nil {
		return err
	}
	defer ledger.Close()
	dir, name := filepath.Split(path)
	client := &Client{
		StreamsURL: StreamsURL(vars), User: vars[env.StreamsUser], Password: vars[env.StreamsPassword], Dir: dir, Store: ledger,
	}
	// made here, so that a start that is interrupted can be cancelled whatever has come of it
	id, err := uuid.NewV7()
	if err != nil {
		return fmt.Errorf("making a run id: %w", err)
	}
	starting, started := graceAfter(ctx, startGrace)
	_, err = client.Start(starting, Request{Name: strings.TrimSuffix(name, extension), Params: params, ID: id.String()})
	started()
	switch {
	case errors.Is(err, ErrBusy):
		return cli.Exit(err, exitBusy)
	case err != nil && ctx.Err() == nil:
		return err
	}
	show := newDisplay(live)
	run, err := client.Follow(ctx, id.String(), show.progress)
	show.clear()
	if ctx.Err() != nil {
		run, err = client.cancelToEnd(context.WithoutCancel(ctx), id.String(), live)
	}
	if errors.Is(err, store.ErrNotFound) {
		return cli.Exit("interrupted before a run was in the ledger; `shop-connect runs "+id.String()+"` shows whether one began after all", exitCancelled)
	}
	if err != nil {
		return fmt.Errorf("%w; `shop-connect runs %s` shows how the run stands", err, id)
	}
	if _, err := fmt.Fprintln(out, summary(run)); err != nil {
		return fmt.Errorf("printing the result: %w", err)
	}
	if run.Status == store.Succeeded {
		return nil
	}
	err = errors.New("run " + run.ID + " of " + run.Name + " " + string(run.Status) + ": " + run.Error)
	switch {
	case run.Status == store.Cancelled:
		return cli.Exit(err, exitCancelled)
	case run.RefusedAsBusy(): // whoever holds the name was not seen when this one was started
		return cli.Exit(err, exitBusy)
	}
	return err
}

// graceAfter is a context that ends a while after another, so that what is amid a call can end by itself.
func graceAfter(ctx context.Context, grace time.Duration) (context.Context, context.CancelFunc) {
	later, cancel := context.WithCancel(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, func() {
		_ = pause(later, grace)
		cancel()
	})
	return later, func() {
		stop()
		cancel()
	}
}

// cancelToEnd cancels a run and returns it once it has ended.
func (c *Client) cancelToEnd(ctx context.Context, id string, live io.Writer) (store.Run, error) {
	ctx, cancel := context.WithTimeout(ctx, cancelTimeout)
	defer cancel()
	_, _ = fmt.Fprintln(live, "cancelling the run")
	if run, err := c.Cancel(ctx, id); err != nil {
		return run, err
	}
	return c.Follow(ctx, id, nil)
}

// StreamsURL is where the streams REST API is: STREAMS_URL, else this machine's STREAMS_ADDRESS.
func StreamsURL(vars map[string]string) string {
	if url := vars[env.StreamsURL]; url != "" {
		return url
	}
	return "http://" + cmp.Or(vars[env.StreamsAddress], "127.0.0.1:4195")
}
