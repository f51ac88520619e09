// Command bench measures how fast each flow of the shipped pipelines is on this machine, with the
// servers and the load generator beside it, and against the bare library doing the same work in the
// same run. It prints rows per second, CPU seconds and peak memory, and checks that the end state is
// exact; it judges nothing else.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"text/tabwriter"
	"time"

	"github.com/shop-connect/shop-connect/internal/load"
	"github.com/shop-connect/shop-connect/internal/upproc"
)

// step is one measured flow.
type step struct {
	name, bareName string
	// pipelines are the files that this step adds to the running ones.
	pipelines []string
	// alone says that the step brings its own rows instead of those that ingest put into Kafka.
	alone bool
	// prepare makes what the step starts from, and is not measured; nil means nothing.
	prepare func(ctx context.Context, b *bench) error
	// run moves all rows through the flow and returns how long that took and how many rows it moved.
	run func(ctx context.Context, b *bench) (measurement, error)
	// bare has the underlying library do the same work; nil where it is no rate that is measured.
	bare func(ctx context.Context, b *bench) (measurement, error)
	// check compares the end state with the truth.
	check func(ctx context.Context, b *bench) error
}

// minRows is several batches of the largest kind.
const minRows = 500_000

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run() error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	binary := flag.String("binary", "bin/shop-connect", "shop-connect to measure")
	source := flag.String("pipelines", "pipelines", "folder of the pipelines to measure")
	rows := flag.Int64("rows", 3_000_000, "purchases to move through each flow")
	days := flag.Int("days", 7, "business days that the purchases spread over")
	only := flag.String("only", "", "measure this flow alone, after what it needs: ingest, raw, clickhouse, iceberg, iceberg_commits, ingest_single, stage, api or freshness")
	verbose := flag.Bool("v", false, "show what shop-connect prints")
	flag.Parse()

	if *rows < minRows {
		return fmt.Errorf("-rows %d are too few to time: take at least %d", *rows, minRows)
	}
	dir, err := os.MkdirTemp("", "shop-bench-*")
	if err != nil {
		return fmt.Errorf("making a directory: %w", err)
	}
	defer os.RemoveAll(dir)
	b := &bench{source: *source, pipelines: filepath.Join(dir, "pipelines")}
	if err := b.copyPipelines("contracts", "resources"); err != nil {
		return err
	}
	if err := b.addPipelines("purchases_ingest", "products_ingest"); err != nil {
		return err
	}
	generator := load.DefaultGenerator(*rows, time.Now().UTC())
	generator.Days = *days
	b.generator = generator

	var output io.Writer
	if *verbose {
		output = os.Stderr
	}
	b.binary = *binary
	if b.up, err = upproc.Start(ctx, upproc.Config{Binary: *binary, DataDir: filepath.Join(dir, "data"), Pipelines: b.pipelines, Output: output, Errors: output}); err != nil {
		return err
	}
	err = b.measure(ctx, *only)
	return errors.Join(err, b.up.Stop())
}

func (b *bench) measure(ctx context.Context, only string) error {
	table := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(table, "flow\trows\trows/s\tCPU s\tpeak MB\tbare library\trows/s\tCPU s\tratio\t")
	var faults []error
	steps := []step{ingestStep(), rawStep(), clickhouseStep(), icebergStep(), icebergCommitsStep(), ingestSingleStep()}
	steps = append(steps, stageSteps()...)
	steps = append(steps, stageIdleStep(), apiStep(), freshnessStep())
	named := slices.ContainsFunc(steps, func(s step) bool { return s.name == only })
	wanted := func(s step) bool {
		return only == "" || s.name == only || !named && strings.HasPrefix(s.name, only+"_")
	}
	onlyAlone := !slices.ContainsFunc(steps, func(s step) bool { return wanted(s) && !s.alone })
	for _, step := range steps {
		if !wanted(step) && (step.name != "ingest" || onlyAlone) {
			continue
		}
		if step.prepare != nil {
			if err := step.prepare(ctx, b); err != nil {
				return fmt.Errorf("preparing %s: %w", step.name, err)
			}
		}
		fmt.Fprintf(os.Stderr, "measuring %s …\n", step.name)
		flow, err := b.watched(ctx, step)
		if err != nil {
			return fmt.Errorf("measuring %s: %w", step.name, err)
		}
		if err := step.check(ctx, b); err != nil {
			faults = append(faults, fmt.Errorf("%s: %w", step.name, err))
		}
		fmt.Fprintf(table, "%s\t%d\t%.0f\t%.1f\t%d", step.name, flow.rows, flow.rate(), flow.cpu.Seconds(), flow.peak>>20)
		if step.bare == nil {
			fmt.Fprint(table, "\t\t\t\t\t\n")
		} else {
			bare, err := step.bare(ctx, b)
			if err != nil {
				return fmt.Errorf("measuring %s: %w", step.bareName, err)
			}
			fmt.Fprintf(table, "\t%s\t%.0f\t%.1f\t%.2f\t\n", step.bareName, bare.rate(), bare.cpu.Seconds(), flow.rate()/bare.rate())
		}
		if err := b.removePipelines(step.pipelines...); err != nil {
			return err
		}
	}
	if err := table.Flush(); err != nil {
		return fmt.Errorf("printing: %w", err)
	}
	for _, note := range b.notes {
		fmt.Println(note)
	}
	fmt.Println("CPU and memory of a flow are those of shop-connect, its servers and the loader together; ratio is flow / bare library.")
	fmt.Println("A flow out of Kafka is timed from its first acknowledged batch to 98 % of the backlog.")
	return errors.Join(faults...)
}
