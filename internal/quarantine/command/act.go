package command

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/user"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/urfave/cli/v2"

	"github.com/shop-connect/shop-connect/internal/progress"
	"github.com/shop-connect/shop-connect/internal/quarantine/replay"
	"github.com/shop-connect/shop-connect/internal/store"
)

// exitBusy is the exit code where another is at work, as it is of `run-batch`.
const exitBusy = 3

// prepareReplay reports the faults of the flags of `quarantine replay`.
func prepareReplay(d *desk) error {
	if err := d.prepare(); err != nil {
		return err
	}
	text, err := d.mapping()
	if err != nil || text == "" {
		return err
	}
	if d.request.Objects {
		return fmt.Errorf("--%s goes with rows, and --%s means whole objects: give one of them", flagMapping, flagObjects)
	}
	d.request.MappingText = text
	d.request.Mapping, err = replay.ParseMapping(text)
	return err
}

// prepareDiscard reports the faults of the flags of `quarantine discard`.
func prepareDiscard(d *desk) error {
	if d.request.Why = d.String(flagWhy); d.request.Why == "" {
		return fmt.Errorf("say with --%s why these rows are given up; the run ledger keeps it", flagWhy)
	}
	return d.prepare()
}

func (d *desk) prepare() error {
	if d.filter.Entity == "" {
		return fmt.Errorf("name whose rows are meant with --%s; `shop-connect quarantine ls` shows what there is", flagEntity)
	}
	d.request.Filter, d.request.Objects, d.request.DryRun = d.filter, d.Bool(flagObjects), d.Bool(flagDryRun)
	if who, err := user.Current(); err == nil {
		d.request.By = who.Username
	}
	return nil
}

func bringBack(ctx context.Context, d *desk) error {
	return d.act(ctx, (*replay.Engine).Replay, "replayed", "would be replayed")
}

func discard(ctx context.Context, d *desk) error {
	return d.act(ctx, (*replay.Engine).Discard, "discarded", "would be discarded")
}

func (d *desk) mapping() (string, error) {
	text, file := d.String(flagMapping), d.Path(flagMappingFile)
	if file == "" {
		return text, nil
	}
	if text != "" {
		return "", fmt.Errorf("give --%s or --%s, not both", flagMapping, flagMappingFile)
	}
	content, err := os.ReadFile(file)
	if err != nil {
		return "", fmt.Errorf("reading the mapping: %w", err)
	}
	return string(content), nil
}

func (d *desk) act(ctx context.Context, do func(*replay.Engine, context.Context, replay.Request) (replay.Report, error), done, would string) error {
	r := d.request
	engine, err := d.engine()
	if err != nil {
		return err
	}
	defer engine.Kafka.Close()
	var meter *progress.Meter
	r.Total = func(rows int64) {
		if rows > 0 {
			meter = progress.Start(os.Stderr, "quarantine", rows)
		}
	}
	r.Progress = func(rows int64) {
		if meter != nil {
			meter.Add(rows)
		}
	}
	report, err := do(engine, ctx, r)
	if meter != nil {
		meter.Stop()
	}
	if errors.Is(err, replay.ErrBusy) {
		return cli.Exit(err, exitBusy)
	}
	if errors.Is(err, context.Canceled) {
		err = fmt.Errorf("cancelled; what was done stays done, and the same command does the rest: %w", err)
	}
	if r.DryRun {
		done = would
	}
	if err == nil {
		err = d.outcome(ctx, report)
	}
	return errors.Join(d.print(report, r.Objects, done), err)
}

// outcome is an error where nothing was done that was asked for: a script must not take that for success.
// That all of it is settled already is none, and neither is an entity without refused rows.
func (d *desk) outcome(ctx context.Context, report replay.Report) error {
	switch {
	case report.RowsOut > 0 || d.request.Objects && report.Objects > 0:
		return nil
	case len(report.Refused) == 1 && report.Refused[0].Reason == replay.RuleMapping:
		return fmt.Errorf("the mapping failed on each of %s rows and nothing was brought back; repair the mapping", progress.Thousands(report.RowsRefused))
	case report.RowsRefused > 0:
		return fmt.Errorf("nothing was brought back: all of %s rows are still refused; repair them with --%s, or discard them", progress.Thousands(report.RowsRefused), flagMapping)
	case len(report.Troubles) > 0:
		return fmt.Errorf("nothing was done: %d objects were passed over, for what is said above", len(report.Troubles))
	case report.RowsIn > 0:
		return nil // the mapping leaves them alone
	}
	settled, err := d.settled(ctx)
	if err != nil {
		return err
	}
	narrow := d.filter.Layer + d.filter.Day + d.filter.Reason + d.filter.Source
	switch {
	case settled:
		_, err = fmt.Fprintln(d.App.Writer, "nothing of this kind is open: all of it was replayed or discarded already")
	case narrow == "":
		_, err = fmt.Fprintf(d.App.Writer, "nothing of %s is in quarantine\n", d.filter.Entity)
	case d.request.Objects && d.filter.Source != "":
		return fmt.Errorf("no object is meant: --%s with --%s is what its key in the quarantine bucket begins with, as `quarantine ls --%s` shows it", flagSource, flagObjects, flagObjects)
	default:
		return errors.New("nothing in quarantine is meant by these flags; `shop-connect quarantine ls` shows what there is")
	}
	return err
}

// settled reports whether what the flags mean is there, and has a fate.
func (d *desk) settled(ctx context.Context) (bool, error) {
	all := d.filter
	all.PendingOnly = false
	if !d.request.Objects {
		items, err := d.catalog.Samples(ctx, all, 1, allObjects)
		return len(items) > 0, err
	}
	objects, err := d.store.QuarantineObjects(ctx, all.QuarantineFilter)
	return slices.ContainsFunc(objects, func(o store.QuarantineObject) bool {
		return o.Whole() && strings.HasPrefix(o.Key, all.Source)
	}), err
}

func (d *desk) print(report replay.Report, objects bool, done string) error {
	out := tabwriter.NewWriter(d.App.Writer, 0, 0, 2, ' ', 0)
	if objects {
		_, _ = fmt.Fprintf(out, "%s objects %s\n", progress.Thousands(report.Objects), done)
	} else {
		_, _ = fmt.Fprintf(out, "%s rows: %s %s, %s still refused, %s left alone\n", progress.Thousands(report.RowsIn),
			progress.Thousands(report.RowsOut), done, progress.Thousands(report.RowsRefused), progress.Thousands(report.RowsSkipped))
	}
	const shown = 20
	for i, r := range report.Refused {
		if i == 0 {
			_, _ = fmt.Fprintln(out, "\nSTILL REFUSED FOR\tROWS\tTHE FIRST\tSAYS")
		}
		if i == shown {
			_, _ = fmt.Fprintf(out, "… and %d more kinds\n", len(report.Refused)-shown)
			break
		}
		_, _ = fmt.Fprintf(out, "%s\t%s\t%s\t%s\n", r.Reason, progress.Thousands(r.Rows), oneLine(r.Source, maxLine), oneLine(r.Message, maxLine))
	}
	for i, trouble := range report.Troubles {
		if i == 0 {
			_, _ = fmt.Fprintln(out, "\npassed over:")
		}
		_, _ = fmt.Fprintf(out, "  %s\n", oneLine(trouble, maxLine*2))
	}
	if report.RunID != "" {
		_, _ = fmt.Fprintf(out, "\nrun %s\n", report.RunID)
	}
	if err := out.Flush(); err != nil {
		return fmt.Errorf("printing the result: %w", err)
	}
	return nil
}
