// Package postgresexport is the processor `postgres_export`: it takes a table of the shop, as it is at one
// moment, into RAW as one Parquet object.
//
// RAW has what happened, from Kafka; an export has what is, also where events were lost, or made before
// there was a Kafka. The object appears whole or not at all, however the export ends.
package postgresexport

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/redpanda-data/benthos/v4/public/service"

	"github.com/shop-connect/shop-connect/internal/contract"
	"github.com/shop-connect/shop-connect/internal/objectstore"
	"github.com/shop-connect/shop-connect/internal/parquetfile"
	"github.com/shop-connect/shop-connect/internal/quarantine"
	"github.com/shop-connect/shop-connect/internal/store"
)

const (
	fieldContract = "contract"
	fieldPostgres = "postgres_dsn"
	fieldBucket   = "bucket"
	fieldPrefix   = "prefix"
	fieldFull     = "full"
	fieldSince    = "since"
	fieldDate     = "date"
	fieldTimezone = "timezone"
)

func init() { service.MustRegisterProcessor("postgres_export", Spec(), fromParsed) }

// Spec documents the component.
func Spec() *service.ConfigSpec {
	return service.NewConfigSpec().
		Categories("Services").
		Summary("Exports a table of the shop from PostgreSQL into one Parquet object of RAW, for each message.").
		Description(`
The table is that of the contract's entity, its key the contract's, and column `+"`updated_at`"+` says when a row changed. Rows come in the order of their keys and then, as deletions, the keys of rows that are gone. All are of one moment. They have no `+"`_topic`"+`; `+"`_timestamp`"+` is when the row changed and `+"`_value`"+` the row as JSON.

An incremental export has what changed since the last one: every row of a transaction that the last one could not see, whatever its `+"`updated_at`"+`; so a transaction that commits late is not lost. A row may be in two exports. The first of a table is a full one. With `+"`since`"+` it has what changed from that day on by `+"`updated_at`"+`, and the next incremental one goes on as if it had not been.

The object is `+"`<prefix>export_<date>_full.parquet`, `…_after_<transaction>.parquet` or `…_since_<day>.parquet`"+`: an export that is repeated writes over what it wrote. Where nothing has changed there is none. Rows whose values have not the contract's types go where `+"`refused`"+` says.

In a batch run (input `+"`batch_run`"+`), rows and bytes are entered in its ledger, and a run that was cancelled ends the export. The message becomes a report: `+"`"+`{"key", "rows_in", "rows_out", "rows_refused", "bytes"}`+"`"+`. Put the output into `+"`reject_errored`"+`.`).
		Fields(objectstore.Fields()...).
		Fields(
			service.NewStringField(fieldBucket).Description("Bucket of RAW.").Default("shop-raw-data"),
			service.NewStringField(fieldPrefix).Description("What the object's key begins with.").Example("customers/"),
			service.NewStringField(fieldContract).Description("Path of the contract.").Example("${CONTRACTS_DIR:pipelines/contracts}/customers.yaml"),
			service.NewStringField(fieldPostgres).Description("Connection string of the PostgreSQL database that holds the table and the ledger.").Secret().Example("${POSTGRES_DSN}"),
			service.NewBoolField(fieldFull).Description("Export all rows, not only what changed since the last export.").Default(false),
			service.NewStringField(fieldSince).Description("A day, as 2026-01-31: export what changed from then on. Empty goes by the last export.").Default(""),
			service.NewStringField(fieldDate).Description("The day that the object is named for, as 2026-01-31; empty is today.").Default(""),
			service.NewStringField(fieldTimezone).Description("The shop's time zone, for today and for `since`.").Default("UTC").Example("${SHOP_TIMEZONE:UTC}"),
			quarantine.Field(),
		)
}

type config struct {
	objects  objectstore.Config
	bucket   string
	prefix   string
	dsn      string
	full     bool
	since    time.Time // zero where it is not given
	date     string
	shop     *time.Location
	layout   *parquetfile.Layout
	contract *contract.Contract
}

func parse(conf *service.ParsedConfig) (c config, err error) {
	var faults []error
	note := func(field string, err error) {
		if err != nil {
			faults = append(faults, fmt.Errorf("field %q: %w", field, err))
		}
	}
	text := func(field string) string {
		v, err := conf.FieldString(field)
		note(field, err)
		return v
	}
	if c.objects, err = objectstore.FromParsed(conf); err != nil {
		faults = append(faults, err)
	}
	if c.bucket = text(fieldBucket); c.bucket == "" {
		note(fieldBucket, errors.New("must not be empty"))
	}
	if c.prefix = text(fieldPrefix); strings.HasPrefix(c.prefix, "/") {
		note(fieldPrefix, errors.New("must not begin with a slash"))
	}
	c.dsn = text(fieldPostgres)
	note(fieldPostgres, store.CheckDSN(c.dsn))
	c.full, err = conf.FieldBool(fieldFull)
	note(fieldFull, err)
	c.shop, err = time.LoadLocation(text(fieldTimezone))
	note(fieldTimezone, err)
	if c.date = text(fieldDate); c.date != "" {
		_, err = time.Parse(time.DateOnly, c.date)
		note(fieldDate, err)
	}
	if since := text(fieldSince); since != "" && c.shop != nil {
		c.since, err = time.ParseInLocation(time.DateOnly, since, c.shop)
		note(fieldSince, err)
	}
	if c.full && !c.since.IsZero() {
		note(fieldSince, errors.New("a full export has no beginning: leave one of them out"))
	}
	if c.contract, err = contract.Load(text(fieldContract)); err != nil {
		note(fieldContract, err)
		return c, errors.Join(faults...)
	}
	c.layout, err = parquetfile.NewLayout(c.contract)
	note(fieldContract, err)
	return c, errors.Join(faults...)
}

func fromParsed(conf *service.ParsedConfig, _ *service.Resources) (service.Processor, error) {
	c, err := parse(conf)
	if err != nil {
		return nil, err
	}
	refused, err := quarantine.FromParsed(conf, quarantine.LayerRaw)
	if err != nil {
		return nil, err
	}
	return &processor{config: c, refused: refused}, nil
}
