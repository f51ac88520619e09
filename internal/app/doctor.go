package app

import (
	"fmt"
	"io"
	"os"
	"slices"

	"github.com/urfave/cli/v2"
	"golang.org/x/term"

	"github.com/shop-connect/shop-connect/internal/doctor"
	"github.com/shop-connect/shop-connect/internal/env"
)

const flagJSON = "json"

func doctorCommand() *cli.Command {
	return &cli.Command{
		Name:  "doctor",
		Usage: "Look at every server, right, clock, version and schema, and say what to do; exits with 1 where there is a fault",
		Description: "Asks the servers that the environment names, else those that `shop-connect up` started on the data directory.\n" +
			"It changes nothing but for an object under .doctor/ in each bucket, which it removes again. Warnings alone exit with 0.",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: flagDataDir, Value: ".shop", Usage: "data directory of a running `up`"},
			&cli.BoolFlag{Name: flagJSON, Usage: "print the report as JSON"},
		},
		Action: func(c *cli.Context) error {
			if c.NArg() > 0 {
				return fmt.Errorf("doctor takes no arguments, only flags: %q", c.Args().First())
			}
			report := doctor.Examine(c.Context, patient(c.String(flagDataDir), c.IsSet(flagDataDir)))
			write := func(out io.Writer) error { return report.WriteText(out, onTerminal(out)) }
			if c.Bool(flagJSON) {
				write = report.WriteJSON
			}
			if err := write(c.App.Writer); err != nil {
				return fmt.Errorf("writing the report: %w", err)
			}
			if report.Level == doctor.Fault {
				return cli.Exit("", 1)
			}
			return nil
		},
	}
}

// patient says whose servers are meant: those of the environment where it names any, else those of the data
// directory. Where that has none, what is missing is the first finding.
func patient(dataDir string, named bool) doctor.Config {
	vars := env.FromProcess()
	set := func(name string) bool { return vars[name] != "" }
	embedded, err := env.ReadFile(dataDir)
	switch {
	case err != nil:
		embedded = nil
	case named || !slices.ContainsFunc(needed, set):
		vars = embedded
	}
	config := doctor.Config{Vars: vars}
	if embedded[env.PostgresDSN] != "" && embedded[env.PostgresDSN] == vars[env.PostgresDSN] {
		config.DataDir = dataDir
	}
	if url, err := healthURL(vars[env.APIAddress]); err == nil {
		config.HealthURL = url
	}
	return config
}

func onTerminal(out io.Writer) bool {
	file, ok := out.(*os.File)
	return ok && term.IsTerminal(int(file.Fd())) && os.Getenv("NO_COLOR") == ""
}
