package demo

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/shop-connect/shop-connect/internal/load"
)

// counting returns the given counts one after the other, and the last one for ever.
func counting(counts ...int) func(context.Context) (int, error) {
	return func(context.Context) (int, error) {
		n := counts[0]
		if len(counts) > 1 {
			counts = counts[1:]
		}
		if n < 0 {
			return 0, errors.New("the table is not there")
		}
		return n, nil
	}
}

func reached(n int) func(int) bool { return func(got int) bool { return got >= n } }

func TestAwaitEndsWhenThereIsEnough(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		started := time.Now()
		got, err := await(t.Context(), counting(-1, 0, 4, 7, 9), reached(7))
		if got != 7 || err != nil {
			t.Errorf("got %d, %v", got, err)
		}
		if took := time.Since(started); took != 3*pollEvery {
			t.Errorf("it took %s", took)
		}
	})
}

func TestAwaitGivesUpOnlyWhenNothingChanges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var slow []int
		for n := range 10 {
			for range int(idleLimit/pollEvery) - 5 { // each count stays just short of the limit
				slow = append(slow, n+1)
			}
		}
		started := time.Now()
		got, err := await(t.Context(), counting(slow...), reached(99))
		if got != 10 || err != nil {
			t.Errorf("got %d, %v", got, err)
		}
		if took := time.Since(started); took < 9*idleLimit*8/10 {
			t.Errorf("it gave up after %s although rows kept coming", took)
		}
	})
}

func TestAwaitReturnsTheErrorThatStays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		if _, err := await(t.Context(), counting(3, -1), reached(99)); err == nil {
			t.Error("a count that always fails was taken for a result")
		}
	})
}

func TestAwaitEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := await(ctx, counting(1), reached(2)); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
	})
}

func TestChartScalesRevenueToTheBestDay(t *testing.T) {
	var days []load.Day
	for i, revenue := range []int64{1, 80_000, 40_000, 0} {
		days = append(days, load.Day{Date: "2026-01-0" + string(rune('1'+i)), Purchases: 1234, Items: 5, Revenue: load.NewAmount(revenue)})
	}
	lines := strings.Split(chart(days), "\n")
	for i, want := range []int{0, barWidth, barWidth / 2, 0} {
		if line := lines[3+i]; strings.Count(line, "█") != want || !strings.Contains(line, "1,234") {
			t.Errorf("day %d is drawn as %q, its bar should be %d long", i+1, line, want)
		}
	}
	if strings.Contains(chart(nil), "█") {
		t.Error("no days were drawn as bars")
	}
}

// runCommand runs `demo` with a stack that does nothing but note its data directory.
func runCommand(t *testing.T, result error, args ...string) (dataDir, output string, err error) {
	t.Helper()
	var out bytes.Buffer
	app := &cli.App{Writer: &out, ErrWriter: &out, Commands: []*cli.Command{
		Command(func(_ context.Context, dir string, _ func(context.Context, Stack) error) error {
			dataDir = dir
			return errors.Join(result, os.WriteFile(filepath.Join(dir, "data"), nil, 0o600))
		}),
	}}
	err = app.Run(append([]string{"shop-connect", "demo"}, args...))
	return dataDir, out.String(), err
}

func exists(t *testing.T, path string) bool {
	t.Helper()
	_, err := os.Stat(path)
	return err == nil
}

func TestCommandRemovesItsDataUnlessAskedToKeepIt(t *testing.T) {
	t.Chdir(t.TempDir())
	dir, out, err := runCommand(t, nil)
	if err != nil || exists(t, dir) || !strings.HasPrefix(dir, demoDir) || !strings.Contains(out, "make up") {
		t.Errorf("a demo in %q ended with %v and said %s", dir, err, out)
	}
	dir, out, err = runCommand(t, nil, "--keep", "--data-dir", "mine")
	if err != nil || dir != "mine" || !exists(t, dir) || !strings.Contains(out, "--data-dir mine") {
		t.Errorf("a kept demo in %q ended with %v and said %s", dir, err, out)
	}
}

func TestCommandKeepsTheEvidenceWhenLayersDiffer(t *testing.T) {
	t.Chdir(t.TempDir())
	dir, _, err := runCommand(t, ErrDiffers)
	if !errors.Is(err, ErrDiffers) || !exists(t, dir) || !strings.Contains(err.Error(), dir) {
		t.Errorf("a demo in %q ended with %v", dir, err)
	}
}

func TestCommandRefusesADirectoryWithOtherData(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "mine"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	started, _, err := runCommand(t, nil, "--data-dir", dir)
	if err == nil || started != "" || !exists(t, filepath.Join(dir, "mine")) {
		t.Errorf("a directory with other data gave %v", err)
	}
}
