package command

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
	"unicode/utf8"

	"github.com/shop-connect/shop-connect/internal/progress"
	"github.com/shop-connect/shop-connect/internal/quarantine"
	"github.com/shop-connect/shop-connect/internal/quarantine/catalog"
	"github.com/shop-connect/shop-connect/internal/store"
)

// list is `quarantine ls`.
func list(ctx context.Context, d *desk) error {
	var counts []store.QuarantineCount
	if !d.Bool(flagObjects) {
		var err error
		if counts, err = d.store.QuarantineCounts(ctx, d.filter.QuarantineFilter); err != nil {
			return err
		}
	}
	objects, err := d.store.QuarantineObjects(ctx, d.filter.QuarantineFilter)
	if err != nil {
		return err
	}
	table := tabwriter.NewWriter(d.App.Writer, 0, 0, 2, ' ', 0)
	var rows, open int64
	for i, c := range counts {
		if i == 0 {
			_, _ = fmt.Fprintln(table, "ENTITY\tLAYER\tDAY\tREASONS\tROWS\tOPEN\tREPLAYED\tDISCARDED")
		}
		_, _ = fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", c.Entity, c.Layer, c.Day, c.Reason,
			progress.Thousands(c.Rows), progress.Thousands(c.Open), progress.Thousands(c.Replayed), progress.Thousands(c.Discarded))
		rows, open = rows+c.Rows, open+c.Open
	}
	whole := 0
	for _, o := range objects {
		if !o.Whole() {
			continue
		}
		if whole++; whole == 1 {
			_, _ = fmt.Fprintln(table, "\nObjects that were refused whole, or cannot be read:")
		}
		showObject(table, o)
	}
	switch {
	case len(counts) == 0 && whole == 0 && d.filter.Entity+d.filter.Layer+d.filter.Day+d.filter.Reason == "":
		_, _ = fmt.Fprintln(table, "nothing in quarantine is open; --all shows also what was replayed or discarded")
	case len(counts) == 0 && whole == 0:
		_, _ = fmt.Fprintln(table, "nothing in quarantine is of this kind")
	case d.Bool(flagObjects):
	default:
		_, _ = fmt.Fprintf(table, "\n%s rows open of %s, in %s objects. A record that several layers refused is in each of them, and is replayed once.\n",
			progress.Thousands(open), progress.Thousands(rows), progress.Thousands(int64(len(objects))))
	}
	if err := table.Flush(); err != nil {
		return fmt.Errorf("printing the counts: %w", err)
	}
	return nil
}

// showObject prints a key whole, since --source takes it, and each fault on a line of its own.
func showObject(out io.Writer, o store.QuarantineObject) {
	_, _ = fmt.Fprintf(out, "%s  %s bytes  %s\n", oneLine(o.Key, maxBytes), progress.Thousands(o.Bytes), cmp.Or(string(o.Fate), "open"))
	for fault := range strings.SplitSeq(o.Fault, "; ") {
		_, _ = fmt.Fprintf(out, "  ✗ %s\n", oneLine(fault, maxBytes))
	}
}

const (
	maxLine  = 160
	maxBytes = 4096
	// maxObjects bounds what show reads; --source looks for one row in all of them.
	maxObjects = 50
	allObjects = -1
)

// show is `quarantine show`.
func show(ctx context.Context, d *desk) error {
	limit := d.Int(flagLimit)
	if limit < 1 || limit > 1000 {
		return fmt.Errorf("--%s must be from 1 to 1000", flagLimit)
	}
	objects := maxObjects
	if d.filter.Source != "" {
		objects = allObjects
	}
	items, err := d.catalog.Samples(ctx, d.filter, limit, objects)
	if err != nil {
		return err
	}
	for i := range items {
		showItem(d.App.Writer, &items[i])
	}
	if len(items) == 0 {
		_, _ = fmt.Fprintln(d.App.Writer, "nothing in quarantine is of this kind; --all shows also what was replayed or discarded")
	}
	return nil
}

func showItem(out io.Writer, item *catalog.Item) {
	_, _ = fmt.Fprintf(out, "%s  %s  %s  version %d  source %s\n", item.Entity, item.Layer,
		time.UnixMicro(item.RefusedAt).UTC().Format(time.RFC3339), item.ContractVersion, oneLine(item.Source, maxLine))
	showReasons(out, "  ✗ ", item.Reasons)
	if item.ReplayReasons != "" {
		_, _ = fmt.Fprintf(out, "  not brought back by run %s:\n", item.ReplayRun)
		showReasons(out, "    ✗ ", item.ReplayReasons)
	}
	_, _ = fmt.Fprintf(out, "  %s\n\n", visible(item.Value, maxBytes))
}

func showReasons(out io.Writer, indent, text string) {
	for _, r := range quarantine.ReadReasons(text) {
		_, _ = fmt.Fprintf(out, "%s%s\n", indent, oneLine(strings.TrimSpace(r.Field+" "+r.Message)+" ("+r.Rule+")", maxLine*4))
	}
}

// visible shows bytes as text where they are, else escaped; a terminal must not be driven by them.
func visible(value []byte, limit int) string {
	rest := ""
	if more := len(value) - limit; more > 0 {
		value, rest = value[:limit], fmt.Sprintf("… (%s bytes more)", progress.Thousands(int64(more)))
	}
	if !utf8.Valid(value) || strings.ContainsFunc(string(value), func(c rune) bool { return c != '\t' && !strconv.IsPrint(c) }) {
		return strconv.Quote(string(value)) + rest
	}
	return string(value) + rest
}

func oneLine(text string, limit int) string {
	quoted := strconv.Quote(text)
	if plain := quoted[1 : len(quoted)-1]; len([]rune(plain)) <= limit {
		return strings.ReplaceAll(plain, `\"`, `"`)
	}
	return string([]rune(text)[:min(limit, len([]rune(text)))]) + "…"
}
