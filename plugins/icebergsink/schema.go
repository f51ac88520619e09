package icebergsink

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/apache/iceberg-go"
	"github.com/apache/iceberg-go/catalog"
	"github.com/apache/iceberg-go/table"

	"github.com/shop-connect/shop-connect/internal/contract"
	"github.com/shop-connect/shop-connect/internal/icebergcatalog"
	"github.com/shop-connect/shop-connect/internal/money"
)

const moneyPrecision = 18

// icebergTypes maps a contract's types. Money stays decimal(18,4) (I5), time UTC microseconds (I6).
var icebergTypes = map[contract.Type]iceberg.Type{
	contract.String:    iceberg.PrimitiveTypes.String,
	contract.Int64:     iceberg.PrimitiveTypes.Int64,
	contract.Decimal:   iceberg.DecimalTypeOf(moneyPrecision, money.Scale),
	contract.Timestamp: iceberg.PrimitiveTypes.TimestampTz,
	contract.Date:      iceberg.PrimitiveTypes.Date,
	contract.Bool:      iceberg.PrimitiveTypes.Bool,
}

// tableProperties keep a table healthy that gets a commit every few seconds for years, and its files
// quick to write: the fastest zstd, and no dictionary for a column in which no value repeats.
func (c *config) tableProperties() iceberg.Properties {
	return iceberg.Properties{
		"format-version":                          "2",
		table.ParquetCompressionKey:               "zstd",
		table.ParquetCompressionLevelKey:          "1",
		table.ManifestMergeEnabledKey:             "true",
		table.MetadataDeleteAfterCommitEnabledKey: "true",
		table.MetadataPreviousVersionsMaxKey:      "20",
		"write.delete.mode":                       "merge-on-read",
		"write.update.mode":                       "merge-on-read",
		"write.merge.mode":                        "merge-on-read",

		"write.parquet.dict-encoding-enabled.column." + c.contract.Fields[c.contract.Key].Name: "false",
	}
}

// schema is the table's schema when it is created. Only the key and the day are required: a column
// can be dropped from a contract later, but a required one not from a table that others read.
func (c *config) schema() *iceberg.Schema {
	fields := make([]iceberg.NestedField, 0, len(c.contract.Fields)+1)
	for i := range c.contract.Fields {
		f := &c.contract.Fields[i]
		fields = append(fields, iceberg.NestedField{
			ID: i + 1, Name: f.Name, Type: icebergTypes[f.Type], Doc: f.Doc, Required: i == c.contract.Key,
		})
	}
	if c.dayColumn != "" {
		fields = append(fields, iceberg.NestedField{
			ID: len(fields) + 1, Name: c.dayColumn, Type: iceberg.PrimitiveTypes.Date, Required: true,
			Doc: "The business day of " + c.contract.Fields[c.contract.EventTime].Name + ".",
		})
	}
	return iceberg.NewSchemaWithIdentifiers(0, []int{c.contract.Key + 1}, fields...)
}

// openTable loads the table, creating it and its namespace where they are missing, and makes sure that
// rows of the contract fit it.
func openTable(ctx context.Context, cat *icebergcatalog.Catalog, cfg *config, mayCreate bool) (*table.Table, error) {
	name := strings.Join(cfg.ident, ".")
	tbl, err := cat.LoadTable(ctx, cfg.ident)
	if errors.Is(err, catalog.ErrNoSuchTable) || errors.Is(err, catalog.ErrNoSuchNamespace) {
		if !mayCreate {
			// A table created anew here would hold only what comes from now on, and look whole.
			return nil, fmt.Errorf("loading table %q: it was dropped while this stream wrote to it; restore it, or restart the stream to begin a new one", name)
		}
		if err := cat.CheckName(ctx, cfg.ident); err != nil {
			return nil, err
		}
		tbl, err = createTable(ctx, cat, cfg)
	}
	if err != nil {
		return nil, fmt.Errorf("loading table %q: %w", name, err)
	}
	if tbl, err = evolve(ctx, tbl, cfg); err != nil {
		return nil, fmt.Errorf("fitting table %q to contract %q: %w", name, cfg.contract.Entity, err)
	}
	return tbl, nil
}

func createTable(ctx context.Context, cat catalog.Catalog, cfg *config) (*table.Table, error) {
	namespace := catalog.NamespaceFromIdent(cfg.ident)
	if err := cat.CreateNamespace(ctx, namespace, nil); err != nil && !errors.Is(err, catalog.ErrNamespaceAlreadyExists) {
		return nil, fmt.Errorf("creating its namespace: %w", err)
	}
	schema := cfg.schema()
	spec, err := partitionSpec(cfg.partitionBy, schema)
	if err != nil {
		return nil, err
	}
	options := []catalog.CreateTableOpt{catalog.WithPartitionSpec(&spec), catalog.WithProperties(cfg.tableProperties())}
	if len(cfg.sortBy) > 0 {
		order, err := sortOrder(cfg.sortBy, schema)
		if err != nil {
			return nil, err
		}
		options = append(options, catalog.WithSortOrder(order))
	}
	tbl, err := cat.CreateTable(ctx, cfg.ident, schema, options...)
	if errors.Is(err, catalog.ErrTableAlreadyExists) {
		return cat.LoadTable(ctx, cfg.ident)
	}
	if err != nil {
		return nil, fmt.Errorf("creating it: %w", err)
	}
	return tbl, nil
}

// evolve adds columns that the contract has gained and widens int to long. Everything else that does
// not fit is reported, all of it at once.
func evolve(ctx context.Context, tbl *table.Table, cfg *config) (*table.Table, error) {
	if v := tbl.Metadata().Version(); v != 2 {
		return nil, fmt.Errorf("the table has format version %d, this sink writes 2", v)
	}
	d := compare(tbl, cfg)
	if err := errors.Join(errors.Join(d.faults...), checkSpec(tbl, cfg.partitionBy)); err != nil {
		return tbl, err
	}
	tx := tbl.NewTransaction()
	changed := len(d.gained)+len(d.widened) > 0
	if changed {
		update := tx.UpdateSchema(true, false)
		for _, field := range d.gained {
			update.AddColumn([]string{field.Name}, field.Type, field.Doc, false, nil)
		}
		for _, field := range d.widened {
			update.UpdateColumn([]string{field.Name}, table.ColumnUpdate{FieldType: iceberg.Optional[iceberg.Type]{Val: field.Type, Valid: true}})
		}
		if err := update.Commit(); err != nil {
			return nil, err
		}
	}
	sorted, err := resort(tx, tbl, cfg.sortBy)
	if err != nil || (!changed && !sorted) {
		return tbl, err
	}
	return tx.Commit(ctx)
}

// wasColumn says whether an earlier schema of the table had a column of the name.
func wasColumn(tbl *table.Table, name string) bool {
	for _, schema := range tbl.Metadata().Schemas() {
		if _, found := schema.FindFieldByName(name); found {
			return true
		}
	}
	return false
}
