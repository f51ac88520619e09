// Package command is `shop-connect quarantine`: what was refused, why, and how to get it back in.
package command

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/urfave/cli/v2"

	"github.com/shop-connect/shop-connect/internal/contract"
	"github.com/shop-connect/shop-connect/internal/env"
	"github.com/shop-connect/shop-connect/internal/objectstore"
	"github.com/shop-connect/shop-connect/internal/quarantine"
	"github.com/shop-connect/shop-connect/internal/quarantine/catalog"
	"github.com/shop-connect/shop-connect/internal/quarantine/replay"
	"github.com/shop-connect/shop-connect/internal/store"
)

const (
	flagEntity      = "entity"
	flagLayer       = "layer"
	flagDay         = "day"
	flagReason      = "reason"
	flagSource      = "source"
	flagAll         = "all"
	flagLimit       = "limit"
	flagMapping     = "mapping"
	flagMappingFile = "mapping-file"
	flagDryRun      = "dry-run"
	flagObjects     = "objects"
	flagWhy         = "why"
	flagDataDir     = "data-dir"
)

const (
	defaultContracts = "pipelines/contracts"
	rawBucket        = "shop-raw-data"
	sendTimeout      = 30 * time.Second
)

// layers are those that refuse rows.
var layers = []string{quarantine.LayerAPI, quarantine.LayerRaw, quarantine.LayerStage, quarantine.LayerClickHouse, quarantine.LayerIceberg}

// Command is `shop-connect quarantine`.
func Command() *cli.Command {
	filters := []cli.Flag{
		&cli.StringFlag{Name: flagEntity, Usage: "only of this entity, `purchases` for example"},
		&cli.StringFlag{Name: flagLayer, Usage: "only what this `LAYER` refused: " + strings.Join(layers, ", ")},
		&cli.StringFlag{Name: flagDay, Usage: "only of this day, `YYYY-MM-DD`"},
		&cli.StringFlag{Name: flagReason, Usage: "only rows first refused for something that holds this `text`, as ls shows them: \"quantity range\""},
		&cli.StringFlag{Name: flagDataDir, Value: ".shop", Usage: "data directory of a running `up`"},
	}
	source := &cli.StringFlag{Name: flagSource, Usage: "only rows whose source begins with this `text`; with --objects, those whose key in the quarantine bucket does"}
	with := func(flags ...cli.Flag) []cli.Flag { return append(slices.Clone(filters), flags...) }
	all := &cli.BoolFlag{Name: flagAll, Usage: "also what was replayed or discarded"}
	dryRun := &cli.BoolFlag{Name: flagDryRun, Usage: "change nothing and say what would happen"}
	objects := &cli.BoolFlag{Name: flagObjects, Usage: "only objects that were refused whole, and not rows"}
	return &cli.Command{
		Name:  "quarantine",
		Usage: "Show refused rows, bring them back, or give them up",
		Description: "  shop-connect quarantine ls\n" +
			"  shop-connect quarantine show --entity purchases --reason 'customer_id'\n" +
			"  shop-connect quarantine replay --entity purchases --reason 'customer_id' \\\n" +
			"    --mapping 'root = this\n      root.customer_id = this.customer_id.or(1)' --dry-run\n" +
			"  shop-connect quarantine discard --entity purchases --reason json --why 'test traffic'\n\n" +
			"Finds the servers by the environment (S3_*, POSTGRES_DSN, KAFKA_BROKERS), else by the data directory\n" +
			"of a running `shop-connect up`.",
		Subcommands: []*cli.Command{
			{Name: "ls", Usage: "Count refused rows by entity, layer, day and reasons, and list objects that were refused whole", Flags: with(objects, all), Action: action(nil, list)},
			{
				Name: "show", Usage: "Show refused rows with their bytes and every reason",
				Flags: with(source, all, &cli.IntFlag{Name: flagLimit, Value: 10, Usage: "how many rows at most"}), Action: action(nil, show),
			},
			{
				Name: "replay", Usage: "Repair refused rows and send those that pass the contract back to their topic",
				Description: "The mapping is Bloblang and sees a row as `this`, its bytes as content(). It may use nothing but the row.\n" +
					"`root = deleted()` leaves a row in quarantine. A replayed row is the latest event of its id: leave rows alone\n" +
					"whose correction has come in by itself. Safe to start again after a crash: no row is brought back twice.",
				Flags: with(source, objects, dryRun,
					&cli.StringFlag{Name: flagMapping, Usage: "`BLOBLANG` that repairs a row"},
					&cli.PathFlag{Name: flagMappingFile, Usage: "`FILE` with the mapping"}), Action: action(prepareReplay, bringBack),
			},
			{
				Name: "discard", Usage: "Give refused rows up; they stay in the bucket and are no longer open",
				Flags: with(source, objects, dryRun, &cli.StringFlag{Name: flagWhy, Usage: "`REASON`, which the run ledger keeps"}), Action: action(prepareDiscard, discard),
			},
		},
	}
}

// desk is what the commands work with.
type desk struct {
	*cli.Context
	vars      map[string]string
	contracts map[string]*contract.Contract
	store     *store.Store
	catalog   *catalog.Catalog
	filter    catalog.Filter
	// request is what replay and discard are asked for.
	request replay.Request
}

// action checks flags, connects to what all commands need, and does one of them.
func action(prepare func(d *desk) error, do func(ctx context.Context, d *desk) error) cli.ActionFunc {
	return func(c *cli.Context) error {
		if c.Args().Present() {
			return fmt.Errorf("quarantine %s takes flags and no arguments: %q", c.Command.Name, c.Args().First())
		}
		ctx, stop := signal.NotifyContext(c.Context, os.Interrupt, syscall.SIGTERM)
		defer stop()
		d := &desk{Context: c, filter: catalog.Filter{
			Source: c.String(flagSource),
			QuarantineFilter: store.QuarantineFilter{
				Entity: c.String(flagEntity), Layer: c.String(flagLayer), Day: c.String(flagDay), Reason: c.String(flagReason), PendingOnly: !c.Bool(flagAll),
			},
		}}
		if prepare != nil {
			if err := prepare(d); err != nil {
				return err
			}
		}
		if err := d.connect(ctx); err != nil {
			return err
		}
		defer d.store.Close()
		return do(ctx, d)
	}
}

var needed = []string{env.S3Endpoint, env.S3AccessKey, env.S3SecretKey, env.PostgresDSN, env.KafkaBrokers}

func (d *desk) connect(ctx context.Context) error {
	if d.filter.Day != "" {
		if _, err := time.Parse(time.DateOnly, d.filter.Day); err != nil {
			return fmt.Errorf("--%s %q is no day such as 2026-01-31", flagDay, d.filter.Day)
		}
	}
	d.vars = env.FromProcess()
	if env.Require(d.vars, needed...) != nil {
		file, err := env.ReadFile(d.String(flagDataDir))
		if err != nil {
			return err
		}
		maps.Copy(file, d.vars)
		d.vars = file
	}
	if err := env.Require(d.vars, needed...); err != nil {
		return err
	}
	var err error
	if d.contracts, err = contract.LoadDir(cmp.Or(d.vars[env.ContractsDir], defaultContracts)); err != nil {
		return fmt.Errorf("reading %s: %w", env.ContractsDir, err)
	}
	objects, err := objectstore.Config{
		Endpoint: d.vars[env.S3Endpoint], Region: d.vars[env.S3Region], AccessKey: d.vars[env.S3AccessKey], SecretKey: d.vars[env.S3SecretKey],
	}.Client()
	if err != nil {
		return err
	}
	if d.store, err = store.Open(ctx, d.vars[env.PostgresDSN]); err != nil {
		return err
	}
	d.catalog = &catalog.Catalog{Store: d.store, Objects: objects, Bucket: catalog.Bucket}
	if err := d.refresh(ctx); err != nil {
		d.store.Close()
		return err
	}
	return nil
}

// refresh brings the catalog up to date; an entity of which there is neither a contract nor a row is a
// misspelt one.
func (d *desk) refresh(ctx context.Context) error {
	if err := d.catalog.Refresh(ctx, d.filter.Entity); err != nil {
		return err
	}
	if err := d.knownLayer(ctx); err != nil {
		return err
	}
	if d.filter.Entity == "" || d.contracts[d.filter.Entity] != nil {
		return nil
	}
	known, err := d.store.KnownQuarantine(ctx, d.filter.Entity)
	if err != nil || len(known) > 0 {
		return err
	}
	return d.unknownEntity()
}

// knownLayer refuses a layer that refuses nothing, and of which there is nothing.
func (d *desk) knownLayer(ctx context.Context) error {
	if d.filter.Layer == "" || slices.Contains(layers, d.filter.Layer) {
		return nil
	}
	objects, err := d.store.QuarantineObjects(ctx, store.QuarantineFilter{Layer: d.filter.Layer})
	if err != nil || len(objects) > 0 {
		return err
	}
	return fmt.Errorf("there is no layer %q; use one of %s", d.filter.Layer, strings.Join(layers, ", "))
}

func (d *desk) unknownEntity() error {
	names := slices.Sorted(maps.Keys(d.contracts))
	commands := make([]*cli.Command, len(names))
	for i, name := range names {
		commands[i] = &cli.Command{Name: name}
	}
	hint := ""
	if nearest := cli.SuggestCommand(commands, d.filter.Entity); nearest != "" {
		hint = " " + strings.TrimSpace(nearest)
	}
	return fmt.Errorf("there is no entity %q.%s There are %s", d.filter.Entity, hint, strings.Join(names, ", "))
}

// engine is what replays and discards.
func (d *desk) engine() (*replay.Engine, error) {
	zone, err := time.LoadLocation(d.vars[env.ShopTimezone])
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w; use a name such as Europe/Berlin", env.ShopTimezone, err)
	}
	kafka, err := kgo.NewClient(kgo.SeedBrokers(strings.Split(d.vars[env.KafkaBrokers], ",")...), kgo.RecordDeliveryTimeout(sendTimeout))
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", env.KafkaBrokers, err)
	}
	return &replay.Engine{
		Catalog: d.catalog, Store: d.store, Kafka: kafka, Contracts: d.contracts, Timezone: zone, RawBucket: rawBucket,
	}, nil
}
