// Package demo shows the whole shop at work, from the first purchase posted to the last decimal of
// its revenue in every layer, and proves that nothing was lost or doubled on the way.
package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"reflect"
	"time"

	"github.com/shop-connect/shop-connect/internal/load"
	"github.com/shop-connect/shop-connect/internal/progress"
	"github.com/shop-connect/shop-connect/internal/reconcile"
)

const (
	// stageStream is the batch stream that moves RAW to STAGE.
	stageStream = "copy_raw_to_stage"

	connections = 4
	pollEvery   = time.Second
	// idleLimit is how long nothing may arrive anywhere before the demo stops waiting and says what is missing.
	idleLimit = 30 * time.Second
)

// Stack is a running shop: the servers, the always-on streams and the API.
type Stack struct {
	// URL is the address of the API; User and Password may post to it.
	URL            string
	User, Password string
	// Env holds the variables by which pipelines find the servers.
	Env map[string]string
	// RunBatch runs a batch stream of the folder streams/ and returns once its run has ended.
	RunBatch func(ctx context.Context, name string) error
}

// ErrDiffers says that a layer does not hold what was sent.
var ErrDiffers = errors.New("the layers do not hold what was sent")

// Run posts the rows of a source, moves them through every layer and prints what each of them
// holds: results on out, progress on log.
func Run(ctx context.Context, stack Stack, source load.Source, out, log io.Writer) error {
	counter, err := reconcile.NewCounter(stack.Env)
	if err != nil {
		return err
	}
	err = run(ctx, stack, counter, source, out, log)
	return errors.Join(err, counter.Close())
}

func run(ctx context.Context, stack Stack, counter *reconcile.Counter, source load.Source, out, log io.Writer) error {
	report, err := post(ctx, stack, source, log)
	if err != nil {
		return err
	}
	if err := awaitRaw(ctx, counter, report.Truth, log); err != nil {
		return err
	}
	if _, err := fmt.Fprintf(log, "running batch stream %s\n", stageStream); err != nil {
		return fmt.Errorf("printing progress: %w", err)
	}
	if err := stack.RunBatch(ctx, stageStream); err != nil {
		return fmt.Errorf("running batch stream %s: %w", stageStream, err)
	}
	layers, err := awaitLayers(ctx, counter, report.Truth, log)
	if err != nil {
		return err
	}
	lines := append([]reconcile.Line{answers(report)}, reconcile.Compare(report.Truth, layers)...)
	if err := printResult(out, lines, layers.Days); err != nil {
		return err
	}
	if !reconcile.Hold(lines) {
		return ErrDiffers
	}
	return nil
}

func post(ctx context.Context, stack Stack, source load.Source, log io.Writer) (load.Report, error) {
	client := load.NewClient(load.ClientConfig{
		URL: stack.URL, User: stack.User, Password: stack.Password, Connections: connections,
	})
	defer client.Close()
	report, err := load.Run(ctx, client, source, connections, log)
	if err != nil {
		return load.Report{}, err
	}
	if _, err := fmt.Fprintln(log, report); err != nil {
		return load.Report{}, fmt.Errorf("printing progress: %w", err)
	}
	return report, nil
}

// answers holds what the API said while it took the rows against the truth.
func answers(r load.Report) reconcile.Line {
	line := reconcile.Line{
		Claim: "accepted and refused by the API = as they should be",
		Figures: fmt.Sprintf("%s and %s = %s and %s",
			progress.Thousands(r.Accepted), progress.Thousands(r.Refused),
			progress.Thousands(r.Truth.Accepted), progress.Thousands(r.Truth.Refused)),
		Holds: true,
	}
	if err := r.Check(); err != nil {
		line.Holds, line.Figures = false, err.Error()
	}
	return line
}

// awaitRaw waits until the stream from Kafka has written what was accepted, so that the batch stream
// finds all of it.
func awaitRaw(ctx context.Context, counter *reconcile.Counter, truth load.Truth, log io.Writer) error {
	meter := progress.Start(log, "Kafka → RAW", truth.Accepted)
	defer meter.Stop()
	_, err := await(ctx, counter.CountRaw, func(raw reconcile.Records) bool {
		meter.Set(raw.Distinct)
		return raw.Distinct >= truth.Accepted
	})
	return err
}

// awaitLayers waits until every line of the reconciliation holds.
func awaitLayers(ctx context.Context, counter *reconcile.Counter, truth load.Truth, log io.Writer) (reconcile.Layers, error) {
	meter := progress.Start(log, "ClickHouse, Iceberg, quarantine", 2*truth.Distinct+truth.Refused)
	defer meter.Stop()
	return await(ctx, counter.Count, func(l reconcile.Layers) bool {
		meter.Set(l.ClickHouse.Rows + l.Iceberg.Rows + l.Quarantined["api"])
		return reconcile.Hold(reconcile.Compare(truth, l))
	})
}

// await counts until there is enough, or until nothing has changed for the idle limit: then what was
// counted last is the result. A count that goes wrong (a table that is not there yet, an object
// replaced while it was read) is made again; it is the result only if it stays wrong.
func await[T any](ctx context.Context, count func(context.Context) (T, error), enough func(T) bool) (T, error) {
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	var last T
	changed := time.Now()
	for {
		now, err := count(ctx)
		if err == nil && enough(now) {
			return now, nil
		}
		if err == nil && !reflect.DeepEqual(now, last) {
			last, changed = now, time.Now()
		}
		if time.Since(changed) > idleLimit {
			return last, err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return last, context.Cause(ctx)
		}
	}
}
