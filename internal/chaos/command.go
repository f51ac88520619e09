package chaos

import (
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/shop-connect/shop-connect/internal/env"
)

const (
	flagSeed      = "seed"
	flagKills     = "kills"
	flagScenario  = "scenario"
	flagPerRound  = "kills-per-round"
	flagDuration  = "duration"
	flagRate      = "rate"
	flagBound     = "bound"
	flagCluster   = "cluster"
	flagDataDir   = "data-dir"
	flagPipelines = "pipelines"
	flagStreams   = "streams"
	flagKeep      = "keep"
)

// Command is `shop-connect chaos`.
func Command() *cli.Command {
	return &cli.Command{
		Name:  "chaos",
		Usage: "Break a running shop in every way, and prove that nothing is lost and nothing counts twice",
		Description: "Starts servers and two replicas of `shop-connect streams`, with a proxy in each of their connections, and sends purchases all the time.\n" +
			"docs/chaos.md says how to read what it prints, and how to run it against a cluster.\n\nScenarios:\n" + describeScenarios(),
		Flags: []cli.Flag{
			&cli.Uint64Flag{Name: flagSeed, Usage: "what is sent and which faults come when; 0 draws one and prints it"},
			&cli.StringSliceFlag{Name: flagScenario, Usage: "run this scenario alone; may be given more than once (default: all, one after the other)"},
			&cli.IntFlag{Name: flagKills, Usage: "begin again until so many processes were killed"},
			&cli.IntFlag{Name: flagPerRound, Value: 15, Usage: "kills of the scenario mix before layers are compared"},
			&cli.DurationFlag{Name: flagDuration, Usage: "end after the scenario in which this time passes"},
			&cli.IntFlag{Name: flagRate, Value: 300, Usage: "events a second"},
			&cli.DurationFlag{Name: flagBound, Value: 2 * time.Minute, Usage: "how long all may take to come right once the faults of a scenario are over"},
			&cli.BoolFlag{Name: flagCluster, Usage: "use the servers that the environment names, which must be empty and nobody else's"},
			&cli.StringFlag{Name: flagDataDir, Usage: "new or empty directory for data and logs (default: a new one in .chaos)"},
			&cli.StringFlag{Name: flagPipelines, Value: "pipelines", Usage: "folder of the streams to run"},
			&cli.StringFlag{Name: flagStreams, Value: "streams", Usage: "folder of the batch streams"},
			&cli.BoolFlag{Name: flagKeep, Usage: "keep the data directory where all was right"},
		},
		Action: action,
	}
}

func describeScenarios() string {
	var text strings.Builder
	for _, s := range scenarios {
		fmt.Fprintf(&text, "  %-16s %s\n", s.name, s.doc)
	}
	return text.String()
}

func action(c *cli.Context) error {
	if c.Args().Present() {
		return fmt.Errorf("chaos takes no arguments, only flags: %q", c.Args().First())
	}
	cfg := Config{
		Seed: c.Uint64(flagSeed), Rate: c.Int(flagRate), Scenarios: c.StringSlice(flagScenario), Kills: c.Int(flagKills), KillsPerRound: c.Int(flagPerRound),
		Lasts: 4 * time.Second, Bound: c.Duration(flagBound), Duration: c.Duration(flagDuration), User: "admin", Password: "admin", Out: c.App.Writer,
	}
	if cfg.Seed == 0 {
		cfg.Seed = uint64(time.Now().UnixNano())%1_000_000 + 1
	}
	if cfg.Rate < 7 {
		return fmt.Errorf("--%s must be 7 or more, one event a second for each client; it is %d", flagRate, cfg.Rate)
	}
	if c.Bool(flagCluster) {
		cfg.Vars = env.FromProcess()
	}
	var err error
	if cfg.Binary, err = os.Executable(); err != nil {
		return fmt.Errorf("locating this program: %w", err)
	}
	if cfg.Pipelines, err = filepath.Abs(c.String(flagPipelines)); err != nil {
		return fmt.Errorf("locating pipelines: %w", err)
	}
	if cfg.Streams, err = filepath.Abs(c.String(flagStreams)); err != nil {
		return fmt.Errorf("locating batch streams: %w", err)
	}
	if cfg.Dir, err = ensureDir(c.String(flagDataDir)); err != nil {
		return err
	}
	// an interrupted run must not leave its disk mounted
	ctx, stop := signal.NotifyContext(c.Context, syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	err = Run(ctx, cfg)
	if err != nil {
		return fmt.Errorf("%w; again with --%s %d; data and logs are in %s", err, flagSeed, cfg.Seed, cfg.Dir)
	}
	if !c.Bool(flagKeep) {
		err = errors.Join(err, os.RemoveAll(cfg.Dir))
	}
	return err
}
