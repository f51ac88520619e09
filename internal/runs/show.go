package runs

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"text/tabwriter"
	"time"

	"github.com/google/uuid"
	"github.com/urfave/cli/v2"

	"github.com/shop-connect/shop-connect/internal/env"
	"github.com/shop-connect/shop-connect/internal/store"
)

const (
	flagName  = "name"
	flagLimit = "limit"

	// shownError is how much of an error fits into a line of the list.
	shownError = 100
)

// ShowCommand is `shop-connect runs`.
func ShowCommand() *cli.Command {
	return &cli.Command{
		Name:      "runs",
		Usage:     "List the latest batch runs, or show one of them",
		ArgsUsage: "[ID]",
		Description: "Reads the ledger in PostgreSQL (POSTGRES_DSN), else that of a running `shop-connect up`. Flags go before the ID.\n\n" +
			"  shop-connect runs --name copy_raw_to_stage",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: flagName, Usage: "only runs of this batch stream"},
			&cli.IntFlag{Name: flagLimit, Value: 20, Usage: "how many runs to list at most"},
			&cli.StringFlag{Name: flagDataDir, Value: ".shop", Usage: "data directory of a running `up`"},
		},
		Action: show,
	}
}

func show(c *cli.Context) error {
	if c.NArg() > 1 {
		return fmt.Errorf("runs takes one ID at most, with all flags before it: %q", c.Args().Slice())
	}
	id := c.Args().First()
	if id != "" && uuid.Validate(id) != nil {
		return fmt.Errorf("%q is no id of a run; `shop-connect runs` lists the latest ones with their ids", id)
	}
	if c.Int(flagLimit) < 1 {
		return fmt.Errorf("--%s must be 1 or more", flagLimit)
	}
	vars := env.FromProcess()
	if vars[env.PostgresDSN] == "" {
		var err error
		if vars, err = env.ReadFile(c.String(flagDataDir)); err != nil {
			return err
		}
	}
	ctx, stop := signal.NotifyContext(c.Context, os.Interrupt, syscall.SIGTERM)
	defer stop()
	ledger, err := store.Open(ctx, vars[env.PostgresDSN])
	if err != nil {
		return err
	}
	defer ledger.Close()
	client := &Client{Store: ledger}
	if id != "" {
		return client.printRun(ctx, c.App.Writer, id)
	}
	return client.printRuns(ctx, c.App.Writer, store.RunFilter{Name: c.String(flagName)}, c.Int(flagLimit))
}

// printRun prints all that the ledger has of a run.
func (c *Client) printRun(ctx context.Context, out io.Writer, id string) error {
	run, err := c.Run(ctx, id)
	if errors.Is(err, store.ErrNotFound) {
		return fmt.Errorf("there is no run %s; `shop-connect runs` lists the latest ones", id)
	}
	if err != nil {
		return err
	}
	var params []string
	for _, name := range slices.Sorted(maps.Keys(run.Parameters)) {
		params = append(params, name+"="+run.Parameters[name])
	}
	text := summary(run) + "\nid       " + run.ID + "\nstarted  " + run.StartedAt.Format(time.RFC3339)
	if run.FinishedAt != nil {
		text += "\nended    " + run.FinishedAt.Format(time.RFC3339)
	}
	if len(params) > 0 {
		text += "\nparams   " + strings.Join(params, " ")
	}
	if run.Error != "" {
		text += "\nerror    " + run.Error
	}
	if _, err := fmt.Fprintln(out, text); err != nil {
		return fmt.Errorf("printing the run: %w", err)
	}
	return nil
}

// printRuns prints a line for each of the latest runs.
func (c *Client) printRuns(ctx context.Context, out io.Writer, f store.RunFilter, limit int) error {
	list, err := c.Runs(ctx, f, limit)
	if err != nil {
		return err
	}
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	if len(list) == 0 {
		_, _ = fmt.Fprintln(table, "the ledger has no such run")
	} else {
		_, _ = fmt.Fprintln(table, "STARTED\tNAME\tSTATUS\tIN\tOUT\tREFUSED\tSKIPPED\tWARNINGS\tID\tERROR")
	}
	for _, run := range list {
		var warned int64
		for n := range maps.Values(run.Warnings) {
			warned += n
		}
		_, _ = fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", run.StartedAt.Format(time.RFC3339), run.Name, run.Status,
			group(run.RowsIn), group(run.RowsOut), group(run.RowsRefused), group(run.RowsSkipped), group(warned), run.ID, firstLine(run.Error))
	}
	if err := table.Flush(); err != nil {
		return fmt.Errorf("printing runs: %w", err)
	}
	return nil
}

func firstLine(text string) string {
	line, _, cut := strings.Cut(text, "\n")
	if runes := []rune(line); len(runes) > shownError {
		line, cut = string(runes[:shownError]), true
	}
	if cut {
		line += "…"
	}
	return line
}
