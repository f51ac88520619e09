// Package stagevalidate is the processor `stage_validate`: it takes RAW objects into STAGE, where every
// row obeys its entity's contract and is there once.
//
// It works on columns, not on rows: a column of a row group is checked by its pages, an object without a
// fault is copied by the store itself, a row group without one is copied as the bytes it is. Only row
// groups that hold a refused or a repeated row are written again. What is in STAGE is known by ranges of
// Kafka offsets in PostgreSQL, so that no crash, repeat or second worker puts a row there twice (I3), and
// every row that came in is in STAGE, in quarantine, or was there before (I4).
package stagevalidate

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"time"

	"github.com/redpanda-data/benthos/v4/public/service"

	"github.com/shop-connect/shop-connect/internal/contract"
	"github.com/shop-connect/shop-connect/internal/objectstore"
	"github.com/shop-connect/shop-connect/internal/parquetfile"
	"github.com/shop-connect/shop-connect/internal/references"
	"github.com/shop-connect/shop-connect/internal/store"
)

const (
	fieldContract    = "contract"
	fieldBucket      = "stage_bucket"
	fieldQuarantine  = "quarantine_bucket"
	fieldPostgres    = "postgres_dsn"
	fieldCompression = "compression"
)

func init() { service.MustRegisterBatchProcessor("stage_validate", Spec(), fromParsed) }

// Spec documents the component.
func Spec() *service.ConfigSpec {
	return service.NewConfigSpec().
		Categories("Integration").
		Summary("Checks RAW Parquet objects against their contract and takes them into STAGE.").
		Description(`A message names an object by the metadata `+"`s3_bucket`, `s3_key`, `s3_etag` and `s3_size`"+`, as the inputs `+"`raw_pending` and `s3_parquet`"+` set them, and becomes a JSON report: `+"`key`, `rows_in`, `rows_out`, `rows_refused`, `rows_skipped`, `stage_key`, `quarantine_key`, `fault`, `warnings`"+`. Objects may come in any order, repeatedly, and to several workers at once.

Refused rows go to `+"`<entity>/layer=stage/date=<today>/`"+` of the quarantine bucket, with all their reasons and their bytes. An object that is not a Parquet file of the contract goes to `+"`<entity>/layer=stage/objects/`"+` as it is. Neither is an error; trouble with the store or the database is one, on the message, so that it can be delivered again.`).
		Fields(service.NewStringField(fieldContract).Description("Path of the contract that rows are held against, or of a folder of contracts: an object's rows are then held against that of the entity its key begins with.").
			Example("${CONTRACTS_DIR:pipelines/contracts}").Example("${CONTRACTS_DIR:pipelines/contracts}/purchases.yaml")).
		Fields(objectstore.Fields()...).
		Fields(
			service.NewStringField(fieldBucket).Description("Bucket of STAGE, which must exist.").Default("shop-stage-data"),
			service.NewStringField(fieldQuarantine).Description("Bucket of refused rows and objects, which must exist.").Default("shop-quarantine"),
			service.NewStringField(fieldPostgres).Description("Connection string of the PostgreSQL database that knows what is in STAGE.").Secret().
				Example("${POSTGRES_DSN}"),
			service.NewStringEnumField(fieldCompression, parquetfile.Compressions()...).
				Description("Codec of row groups that are written again.").Default(parquetfile.Compressions()[0]),
		)
}

type config struct {
	// layouts are those of the contracts, by entity.
	layouts            map[string]*parquetfile.Layout
	objects            objectstore.Config
	bucket, quarantine string
	dsn                string
	compression        parquetfile.Compression
}

func (c *config) contracts() (all []*contract.Contract) {
	for _, entity := range slices.Sorted(maps.Keys(c.layouts)) {
		all = append(all, c.layouts[entity].Contract)
	}
	return all
}

func parse(conf *service.ParsedConfig) (config, error) {
	var c config
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
	var err error
	c.layouts, err = loadLayouts(text(fieldContract))
	note(fieldContract, err)
	if c.objects, err = objectstore.FromParsed(conf); err != nil {
		faults = append(faults, err)
	}
	for field, into := range map[string]*string{fieldBucket: &c.bucket, fieldQuarantine: &c.quarantine} {
		if *into = text(field); *into == "" {
			note(field, errors.New("must not be empty"))
		}
	}
	c.dsn = text(fieldPostgres)
	note(fieldPostgres, store.CheckDSN(c.dsn))
	c.compression, err = parquetfile.ParseCompression(text(fieldCompression))
	note(fieldCompression, err)
	return c, errors.Join(faults...)
}

// loadLayouts reads one contract, or all of a folder.
func loadLayouts(path string) (map[string]*parquetfile.Layout, error) {
	contracts := map[string]*contract.Contract{}
	if info, err := os.Stat(path); err == nil && info.IsDir() {
		if contracts, err = contract.LoadDir(path); err != nil {
			return nil, err
		}
	} else {
		one, err := contract.Load(path)
		if err != nil {
			return nil, err
		}
		contracts[one.Entity] = one
	}
	layouts := make(map[string]*parquetfile.Layout, len(contracts))
	for entity, rules := range contracts {
		if err := references.Check(rules); err != nil {
			return nil, err
		}
		layout, err := parquetfile.NewLayout(rules)
		if err != nil {
			return nil, err
		}
		layouts[entity] = layout
	}
	return layouts, nil
}

func fromParsed(conf *service.ParsedConfig, _ *service.Resources) (service.BatchProcessor, error) {
	cfg, err := parse(conf)
	if err != nil {
		return nil, err
	}
	return &processor{cfg: cfg, now: time.Now}, nil
}
