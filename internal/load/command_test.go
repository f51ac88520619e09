package load

import (
	"bytes"
	"strings"
	"testing"

	"github.com/urfave/cli/v2"
)

func runCommand(t *testing.T, args ...string) (string, error) {
	t.Helper()
	var out bytes.Buffer
	app := &cli.App{Writer: &out, ErrWriter: &bytes.Buffer{}, Commands: []*cli.Command{Command()}}
	err := app.RunContext(t.Context(), append([]string{"shop-connect", "load"}, args...))
	return out.String(), err
}

func TestCommandReportsWhatWasSentAcceptedAndRefused(t *testing.T) {
	a := newAPI(t)
	out, err := runCommand(t, "--url", a.URL+"/", "--generate", "3000", "--end", "2026-03-01", "--bad", "0")
	if err != nil || !strings.HasPrefix(out, "sent 3,000, accepted 3,000, refused 0, ") || !strings.HasSuffix(out, " rows/s\n") {
		t.Errorf("it said %q and ended with %v", out, err)
	}
	sales := writeSales(t, "536365,85123A,WHITE HOLDER,6,2010-12-01 08:26:00,2.55,17850.0,EIRE\n536365,85123A,WHITE HOLDER,-6,2010-12-01 08:26:00,2.55,17850.0,EIRE\n")
	out, err = runCommand(t, "--url", a.URL, "--format", "online-retail", sales)
	if err != nil || !strings.HasPrefix(out, "sent 2, accepted 1, refused 1, ") {
		t.Errorf("it said %q and ended with %v", out, err)
	}
}

func TestCommandFailsWhenTheServerCountsDifferently(t *testing.T) {
	a := newAPI(t)
	if _, err := runCommand(t, "--url", a.URL, "--generate", "3000"); err != nil {
		t.Fatal(err)
	}
	// The generator's bad rows are told apart by the contract; a server without one accepts them all.
	a.acceptAll = true
	if _, err := runCommand(t, "--url", a.URL, "--generate", "3000"); err == nil || !strings.Contains(err.Error(), "differ") {
		t.Errorf("a server that accepts everything ended with %v", err)
	}
}

func TestCommandReportsAllFaultsOfItsFlagsAtOnce(t *testing.T) {
	for _, c := range []struct {
		args  []string
		wants []string
	}{
		{nil, []string{"--generate N", "--format online-retail DIR"}},
		{[]string{"--generate", "5", "--format", "online-retail", "x"}, []string{"either"}},
		{[]string{"--generate", "0", "--days", "0", "--bad", "1.5", "--end", "soon", "--connections", "0"},
			[]string{"--generate must", "--days must", "--bad is", `--end "soon"`, "--connections must"}},
		{[]string{"--format", "csv"}, []string{`--format "csv" is unknown`, "needs DIR"}},
		{[]string{"--format", "online-retail", "x", "--connections", "9"}, []string{"--connections stands behind DIR"}},
		{[]string{"--format", "online-retail", "/nowhere"}, []string{"/nowhere"}},
	} {
		_, err := runCommand(t, c.args...)
		for _, want := range c.wants {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%q gave %v, which should say %s", c.args, err, want)
			}
		}
	}
}
