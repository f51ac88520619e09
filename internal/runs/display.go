package runs

import (
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/term"

	"github.com/shop-connect/shop-connect/internal/store"
)

// lineEvery is how often a log gets a line; a terminal gets each one, over the last.
const lineEvery = time.Second

// display shows where a run is.
type display struct {
	out   io.Writer
	live  bool
	last  time.Time
	shown bool
}

func newDisplay(out io.Writer) *display {
	file, ok := out.(*os.File)
	return &display{out: out, live: ok && term.IsTerminal(int(file.Fd())), last: time.Now()}
}

const clearLine = "\r\x1b[K"

func (d *display) progress(run store.Run) {
	if d.live {
		_, _ = fmt.Fprint(d.out, clearLine+d.cut(progressLine(run)))
		d.shown = true
		return
	}
	if time.Since(d.last) >= lineEvery {
		d.last = time.Now()
		_, _ = fmt.Fprintln(d.out, progressLine(run))
	}
}

// cut keeps a line on one line of the terminal: only the last line can be written over.
func (d *display) cut(line string) string {
	width, _, err := term.GetSize(int(d.out.(*os.File).Fd()))
	if err != nil || len(line) < width {
		return line
	}
	return line[:max(width-1, 0)]
}

// clear makes room for the result.
func (d *display) clear() {
	if d.shown {
		_, _ = fmt.Fprint(d.out, clearLine)
	}
}

func progressLine(run store.Run) string {
	took := time.Since(run.StartedAt)
	line := fmt.Sprintf("%s %s, %s: %s rows in", run.Name, run.Status, took.Round(time.Second), group(run.RowsIn))
	if run.Objects > 0 {
		line += fmt.Sprintf(", %s objects", group(run.Objects))
	}
	if seconds := took.Seconds(); seconds >= 1 && run.RowsIn > 0 {
		line += fmt.Sprintf(", %s rows/s", group(int64(float64(run.RowsIn)/seconds)))
	}
	if run.Progress != "" {
		line += "; " + run.Progress
	}
	return line
}

func summary(run store.Run) string {
	took := ""
	if run.FinishedAt != nil {
		took = " in " + run.FinishedAt.Sub(run.StartedAt).Round(time.Millisecond).String()
	}
	line := fmt.Sprintf("%s %s%s: %s rows in = %s out + %s refused + %s skipped", run.Name, run.Status, took,
		group(run.RowsIn), group(run.RowsOut), group(run.RowsRefused), group(run.RowsSkipped))
	if objects := objectCounts(run.Counts); objects != "" {
		line += "; " + objects
	}
	if len(run.Warnings) > 0 {
		line += "; passed with a warning: " + warnings(run)
	}
	if run.Progress != "" {
		line += "; " + run.Progress
	}
	return line
}

// objectCounts names what there is of: 0 of something is not worth a word.
func objectCounts(c store.Counts) string {
	var counts []string
	if c.Objects > 0 {
		text := group(c.Objects) + " objects"
		if c.ObjectsRefused > 0 {
			text += ", " + group(c.ObjectsRefused) + " of them refused"
		}
		counts = append(counts, text)
	}
	if c.ObjectsUnchanged > 0 {
		counts = append(counts, group(c.ObjectsUnchanged)+" objects unchanged")
	}
	return strings.Join(counts, ", ")
}

// warnings says how many rows have an unknown value in which field.
func warnings(run store.Run) string {
	var counts []string
	for _, field := range slices.Sorted(maps.Keys(run.Warnings)) {
		counts = append(counts, group(run.Warnings[field])+" with an unknown "+field)
	}
	return strings.Join(counts, ", ")
}

// group writes a number with its thousands apart.
func group(n int64) string {
	text := strconv.FormatInt(n, 10)
	for i := len(text) - 3; i > 0 && text[i-1] != '-'; i -= 3 {
		text = text[:i] + "," + text[i:]
	}
	return text
}
