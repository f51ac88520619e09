package load

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/shop-connect/shop-connect/internal/env"
)

const (
	flagURL         = "url"
	flagDataDir     = "data-dir"
	flagUser        = "user"
	flagPassword    = "password"
	flagToken       = "token"
	flagConnections = "connections"
	flagGenerate    = "generate"
	flagFormat      = "format"
	flagSeed        = "seed"
	flagDays        = "days"
	flagEnd         = "end"
	flagBad         = "bad"
	flagDuplicates  = "duplicates"
	flagLate        = "late"

	formatOnlineRetail = "online-retail"
)

// The shop that is generated unless flags say otherwise.
const (
	DefaultSeed       = 1
	DefaultDays       = 30
	DefaultBad        = 0.02
	DefaultDuplicates = 0.01
	DefaultLate       = 0.03
)

// DefaultGenerator is the shop of so many rows over the 30 days before end.
func DefaultGenerator(rows int64, end time.Time) GeneratorConfig {
	return GeneratorConfig{
		Rows: rows, Seed: DefaultSeed, Days: DefaultDays, End: end,
		Bad: DefaultBad, Duplicates: DefaultDuplicates, Late: DefaultLate,
	}
}

// Command is `shop-connect load`.
func Command() *cli.Command {
	return &cli.Command{
		Name:      "load",
		Usage:     "Post purchases through the API, generated or from a dataset",
		ArgsUsage: "[DIR]",
		Description: "Posts products, then purchases in bulk bodies, and compares what the API accepted and\n" +
			"refused with what it should have. The same seed and period give the same rows with the same\n" +
			"ids: loading them twice counts them once.\n\n" +
			"  shop-connect load --generate 200000\n" +
			"  shop-connect load --format online-retail DIR",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: flagURL, EnvVars: []string{"SHOP_URL"}, Usage: "address of the API (default: that of the running `up`)"},
			&cli.StringFlag{Name: flagDataDir, Value: ".shop", Usage: "data directory of the running `up`"},
			&cli.StringFlag{Name: flagUser, Value: "admin", EnvVars: []string{"SHOP_USER"}, Usage: "user to get a token for"},
			&cli.StringFlag{Name: flagPassword, Value: "admin", EnvVars: []string{"SHOP_PASSWORD"}, Usage: "password of the user; admin works under `up` and `demo` only"},
			&cli.StringFlag{Name: flagToken, EnvVars: []string{"SHOP_TOKEN"}, Usage: "bearer token to use instead of user and password"},
			&cli.IntFlag{Name: flagConnections, Value: 4, Usage: "bodies in flight at once"},
			&cli.Int64Flag{Name: flagGenerate, Usage: "number of rows to generate"},
			&cli.StringFlag{Name: flagFormat, Usage: "format of the files in DIR: " + formatOnlineRetail},
			&cli.Uint64Flag{Name: flagSeed, Value: DefaultSeed, Usage: "which shop to generate"},
			&cli.IntFlag{Name: flagDays, Value: DefaultDays, Usage: "length of the generated period"},
			&cli.StringFlag{Name: flagEnd, Usage: "the day after the generated period, YYYY-MM-DD (default: today, UTC)"},
			&cli.Float64Flag{Name: flagBad, Value: DefaultBad, Usage: "share of rows that break the contract"},
			&cli.Float64Flag{Name: flagDuplicates, Value: DefaultDuplicates, Usage: "share of rows that repeat an earlier one"},
			&cli.Float64Flag{Name: flagLate, Value: DefaultLate, Usage: "share of rows sent hours or days late"},
		},
		Action: action,
	}
}

func action(c *cli.Context) error {
	source, err := openSource(c)
	if err != nil {
		return err
	}
	connections := c.Int(flagConnections)
	client := NewClient(ClientConfig{
		URL: apiURL(c), User: c.String(flagUser), Password: c.String(flagPassword),
		Token: c.String(flagToken), Connections: connections,
	})
	defer client.Close()
	report, err := Run(c.Context, client, source, connections, c.App.ErrWriter)
	if err != nil {
		return fmt.Errorf("loading, after %d rows were answered: %w", report.Accepted+report.Refused, err)
	}
	if _, err := fmt.Fprintln(c.App.Writer, report); err != nil {
		return fmt.Errorf("printing the report: %w", err)
	}
	return report.Check()
}

// apiURL is the address given, else that of a stack that runs here, else the API's own port.
func apiURL(c *cli.Context) string {
	if given := c.String(flagURL); given != "" {
		return given
	}
	address := os.Getenv(env.APIAddress)
	if vars, err := env.ReadFile(c.String(flagDataDir)); address == "" && err == nil {
		address = vars[env.APIAddress]
	}
	return "http://" + cmp.Or(address, "127.0.0.1:8000")
}

// openSource turns the flags into rows, reporting all that is wrong with them at once.
func openSource(c *cli.Context) (Source, error) {
	var faults []error
	if c.Int(flagConnections) < 1 {
		faults = append(faults, fmt.Errorf("--%s must be at least 1", flagConnections))
	}
	for _, arg := range c.Args().Slice() {
		if strings.HasPrefix(arg, "-") {
			faults = append(faults, fmt.Errorf("%s stands behind DIR: flags go before it", arg))
		}
	}
	if c.IsSet(flagGenerate) == c.IsSet(flagFormat) {
		faults = append(faults, fmt.Errorf("say what to load: either --%s N or --%s %s DIR", flagGenerate, flagFormat, formatOnlineRetail))
		return nil, errors.Join(faults...)
	}
	if c.IsSet(flagGenerate) {
		return openGenerator(c, faults)
	}
	if format := c.String(flagFormat); format != formatOnlineRetail {
		faults = append(faults, fmt.Errorf("--%s %q is unknown: it must be %s", flagFormat, format, formatOnlineRetail))
	}
	if c.NArg() == 0 {
		faults = append(faults, fmt.Errorf("--%s needs DIR, the folder with the files", flagFormat))
	}
	if err := errors.Join(faults...); err != nil {
		return nil, err
	}
	return OpenOnlineRetail(c.Args().First())
}

func openGenerator(c *cli.Context, faults []error) (Source, error) {
	config := GeneratorConfig{
		Rows: c.Int64(flagGenerate), Seed: c.Uint64(flagSeed), Days: c.Int(flagDays), End: time.Now(),
		Bad: c.Float64(flagBad), Duplicates: c.Float64(flagDuplicates), Late: c.Float64(flagLate),
	}
	if text := c.String(flagEnd); text != "" {
		end, err := time.Parse(time.DateOnly, text)
		if err != nil {
			faults = append(faults, fmt.Errorf("--%s %q must be a date such as 2026-01-31", flagEnd, text))
		}
		config.End = end
	}
	if err := errors.Join(append(faults, config.faultsFound())...); err != nil {
		return nil, err
	}
	return NewGenerator(config)
}
