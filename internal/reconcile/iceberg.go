package reconcile

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/iceberg-go"
	"github.com/apache/iceberg-go/catalog"
	catalogsql "github.com/apache/iceberg-go/catalog/sql"
	iceio "github.com/apache/iceberg-go/io"
	"github.com/apache/iceberg-go/table"
	"github.com/jackc/pgx/v5/pgconn"

	_ "github.com/shop-connect/shop-connect/internal/icebergio" // s3:// locations

	"github.com/shop-connect/shop-connect/internal/env"
)

const (
	catalogName = "shop"
	warehouse   = "s3://analytics/"

	// PostgreSQL's code for a table that does not exist: nothing was ever committed.
	undefinedTable = "42P01"
)

var factsTable = table.Identifier{"analytics", "purchase_product_facts"}

var salesColumns = []string{"id", "quantity", "price_at_time"}

// icebergCounter reads the facts table, each snapshot once.
type icebergCounter struct {
	db         *sql.DB
	properties iceberg.Properties

	catalog  catalog.Catalog
	snapshot int64
	counted  Sales
}

func icebergProperties(vars map[string]string) iceberg.Properties {
	return iceberg.Properties{
		"warehouse":             warehouse,
		"init_catalog_tables":   "false", // only the sink creates anything
		iceio.S3EndpointURL:     vars[env.S3Endpoint],
		iceio.S3Region:          vars[env.S3Region],
		iceio.S3AccessKeyID:     vars[env.S3AccessKey],
		iceio.S3SecretAccessKey: vars[env.S3SecretKey],
	}
}

// newest is the table and its current snapshot; both are nil where nothing was ever committed.
func (c *icebergCounter) newest(ctx context.Context) (*table.Table, *table.Snapshot, error) {
	if c.catalog == nil {
		cat, err := catalogsql.NewCatalog(catalogName, c.db, catalogsql.Postgres, c.properties)
		if err != nil {
			return nil, nil, fmt.Errorf("opening catalog %q: %w", catalogName, err)
		}
		c.catalog = cat
	}
	t, err := c.catalog.LoadTable(ctx, factsTable)
	if notThereYet(err) {
		return nil, nil, nil
	}
	if err != nil {
		return nil, nil, fmt.Errorf("loading table %v: %w", factsTable, err)
	}
	return t, t.CurrentSnapshot(), nil
}

// sales counts the newest snapshot, with deletes applied. A table that no sink has created yet is empty.
func (c *icebergCounter) sales(ctx context.Context) (Sales, error) {
	t, current, err := c.newest(ctx)
	if err != nil || current == nil {
		return Sales{}, err
	}
	if current.SnapshotID == c.snapshot {
		return c.counted, nil
	}
	counted, err := scanSales(ctx, t, current.SnapshotID)
	if err != nil {
		return Sales{}, fmt.Errorf("scanning snapshot %d of %v: %w", current.SnapshotID, factsTable, err)
	}
	c.snapshot, c.counted = current.SnapshotID, counted
	return counted, nil
}

func notThereYet(err error) bool {
	var pg *pgconn.PgError
	return errors.Is(err, catalog.ErrNoSuchTable) || errors.As(err, &pg) && pg.Code == undefinedTable
}

func scanSales(ctx context.Context, t *table.Table, snapshot int64) (Sales, error) {
	var s Sales
	ids := map[string]struct{}{}
	err := scanBatches(ctx, t, snapshot, salesColumns, func(batch arrow.RecordBatch) error {
		return s.addBatch(batch, ids)
	})
	s.IDs = int64(len(ids))
	return s, err
}

// scanBatches reads columns of a snapshot, with deletes applied.
func scanBatches(ctx context.Context, t *table.Table, snapshot int64, columns []string, visit func(arrow.RecordBatch) error) error {
	scan := t.Scan(table.WithSelectedFields(columns...), table.WithSnapshotID(snapshot))
	_, batches, err := scan.ToArrowRecords(ctx)
	if err != nil {
		return err
	}
	for batch, err := range batches {
		if err != nil {
			return err
		}
		err = visit(batch)
		batch.Release()
		if err != nil {
			return err
		}
	}
	return scan.Close()
}

func (s *Sales) addBatch(batch arrow.RecordBatch, ids map[string]struct{}) error {
	var columns [3]arrow.Array
	for i, name := range salesColumns {
		found := batch.Schema().FieldIndices(name)
		if len(found) != 1 {
			return fmt.Errorf("reading column %q: the table has %d of that name", name, len(found))
		}
		columns[i] = batch.Column(found[0])
		if columns[i].NullN() > 0 {
			return fmt.Errorf("reading column %q: %d of %d values are null", name, columns[i].NullN(), batch.NumRows())
		}
	}
	id, ok := columns[0].(interface{ Value(int) string })
	if !ok {
		return fmt.Errorf("reading column id: its type is %s, it must be string", columns[0].DataType())
	}
	quantity, ok := columns[1].(*array.Int64)
	if !ok {
		return fmt.Errorf("reading column quantity: its type is %s, it must be long", columns[1].DataType())
	}
	price, ok := columns[2].(*array.Decimal128)
	if !ok || price.DataType().(*arrow.Decimal128Type).Scale != 4 {
		return fmt.Errorf("reading column price_at_time: its type is %s, it must be decimal(18,4)", columns[2].DataType())
	}
	for i := range int(batch.NumRows()) {
		ids[id.Value(i)] = struct{}{}
		units := price.Value(i)
		if units.HighBits() != int64(units.LowBits())>>63 {
			return fmt.Errorf("reading column price_at_time: %s does not fit decimal(18,4)", units.BigInt())
		}
		s.Items += quantity.Value(i)
		s.Revenue = s.Revenue.AddProduct(int64(units.LowBits()), quantity.Value(i))
	}
	s.Rows += batch.NumRows()
	return nil
}
