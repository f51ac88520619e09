package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/shop-connect/shop-connect/internal/load"
)

const (
	flagRows    = "rows"
	flagDataDir = "data-dir"
	flagKeep    = "keep"

	defaultRows = 200_000
	demoDir     = ".demo"
)

// WithStack starts the shop on a data directory, calls use once all of it answers, stops the shop when
// use returns, and returns what went wrong.
type WithStack func(ctx context.Context, dataDir string, use func(context.Context, Stack) error) error

// Command is `shop-connect demo`.
func Command(withStack WithStack) *cli.Command {
	return &cli.Command{
		Name:  "demo",
		Usage: "Start a shop in a fresh data directory, load it, and compare every layer with the truth",
		Flags: []cli.Flag{
			&cli.Int64Flag{Name: flagRows, Value: defaultRows, Usage: "purchases to generate"},
			&cli.StringFlag{Name: flagDataDir, Usage: "new or empty directory for the data (default: a new one in " + demoDir + ")"},
			&cli.BoolFlag{Name: flagKeep, Usage: "keep the data directory afterwards"},
		},
		Action: func(c *cli.Context) error { return action(c, withStack) },
	}
}

func action(c *cli.Context, withStack WithStack) (err error) {
	rows := c.Int64(flagRows)
	if rows < 1 {
		return fmt.Errorf("--%s must be at least 1, it is %d", flagRows, rows)
	}
	source, err := load.NewGenerator(load.DefaultGenerator(rows, time.Now()))
	if err != nil {
		return err
	}
	dataDir, err := freshDir(c.String(flagDataDir))
	if err != nil {
		return err
	}
	out, log := c.App.Writer, c.App.ErrWriter
	started := time.Now()
	err = withStack(c.Context, dataDir, func(ctx context.Context, stack Stack) error {
		return Run(ctx, stack, source, out, log)
	})
	// The layers of a run that went wrong are the evidence.
	kept := c.Bool(flagKeep) || errors.Is(err, ErrDiffers)
	if !kept {
		if removing := os.RemoveAll(dataDir); removing != nil {
			err = errors.Join(err, fmt.Errorf("removing data directory: %w", removing))
		}
		dataDir = ""
	}
	if err != nil {
		if kept {
			err = fmt.Errorf("%w; the data is kept in %s", err, dataDir)
		}
		return err
	}
	if _, err := fmt.Fprintf(out, "\nDone in %s.\n", time.Since(started).Round(time.Second/10)); err != nil {
		return fmt.Errorf("printing: %w", err)
	}
	if _, err := io.WriteString(out, nextSteps(dataDir)); err != nil {
		return fmt.Errorf("printing: %w", err)
	}
	return nil
}

// freshDir returns an empty directory: the truth is about what this run sends and nothing before it.
func freshDir(dir string) (string, error) {
	if dir == "" {
		err := os.MkdirAll(demoDir, 0o700)
		if err == nil {
			dir, err = os.MkdirTemp(demoDir, "run-*")
		}
		if err != nil {
			return "", fmt.Errorf("creating a data directory: %w; choose another place with --%s", err, flagDataDir)
		}
		return dir, nil
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", fmt.Errorf("creating data directory: %w; choose another place with --%s", err, flagDataDir)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return "", fmt.Errorf("reading data directory: %w", err)
	}
	if len(entries) > 0 {
		return "", fmt.Errorf("data directory %s is not empty: the demo compares all that is in it with what it sent; choose a new one with --%s", dir, flagDataDir)
	}
	return dir, nil
}
