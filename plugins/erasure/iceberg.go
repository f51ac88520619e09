package erasure

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"iter"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/iceberg-go"
	"github.com/apache/iceberg-go/catalog"
	catalogsql "github.com/apache/iceberg-go/catalog/sql"
	icebergio "github.com/apache/iceberg-go/io"
	"github.com/apache/iceberg-go/table"
	"github.com/jackc/pgx/v5/pgconn"
	_ "github.com/jackc/pgx/v5/stdlib" // the driver of the catalog

	_ "github.com/shop-connect/shop-connect/internal/icebergio" // s3:// locations
)

const (
	groupFacts = "purchases-iceberg"
	topicFacts = "purchases"

	// notedPrefix is what the sink's notes begin with, in the summaries of snapshots and in the table's properties:
	// who commits a snapshot takes them over.
	notedPrefix = "shop-connect."

	// commitAttempts bounds how often other writers may commit first.
	commitAttempts = 50

	undefinedTable = "42P01" // PostgreSQL's code of a catalog that nobody has used yet
)

// facts is the table of facts, and what of its columns tells of customers.
type facts struct {
	catalog  catalog.Catalog
	ident    table.Identifier
	customer int64
	personal []string
}

// eraseFromIceberg takes what tells of the customer out of the facts: the files with such rows are written anew,
// and the snapshots that had the old ones are expired. The rows stay, with the number, in every statistic.
func (e *erasure) eraseFromIceberg(ctx context.Context) error {
	f, db, err := e.openFacts(ctx)
	if f == nil || err != nil {
		return err
	}
	defer db.Close()
	d := e.report.Layers[layerIceberg]
	for attempt := 1; ; {
		// what was joined before the tombstone was read is in the table behind this
		if err := e.awaitFacts(ctx); err != nil {
			return err
		}
		rows, files, bytes, err := f.rewrite(ctx)
		switch {
		case refused(err) && attempt < commitAttempts:
			attempt++
			if err := e.pause(ctx); err != nil {
				return err
			}
			continue
		case err != nil:
			return fmt.Errorf("rewriting files of %s: %w", strings.Join(f.ident, "."), err)
		}
		d.Rows, d.Objects, d.Bytes = d.Rows+rows, d.Objects+files, d.Bytes+bytes
		if rows == 0 {
			break
		}
	}
	if d.Rows == 0 && e.state.FinishedAt != nil {
		return nil // an earlier run has expired what there was
	}
	return e.expireFacts(ctx, f, d)
}

func (e *erasure) pause(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(rand.N(time.Second)):
		return nil
	}
}

// awaitFacts returns once the sink has committed the purchases that are in Kafka by now, if there is a sink.
func (e *erasure) awaitFacts(ctx context.Context) error {
	committed, err := e.kafka.admin.FetchOffsets(ctx, groupFacts)
	if err != nil || len(committed[topicFacts]) == 0 {
		return nil //nolint:nilerr // nobody joins purchases, so nothing is on its way
	}
	return e.awaitGroup(ctx, groupFacts, topicFacts)
}

// openFacts returns nil where there is no table, or where it tells nothing of customers but the number.
func (e *erasure) openFacts(ctx context.Context) (*facts, *sql.DB, error) {
	db, err := sql.Open("pgx", e.cfg.dsn)
	if err != nil {
		return nil, nil, fmt.Errorf("opening the catalog: %w", err)
	}
	o := e.cfg.objects
	cat, err := catalogsql.NewCatalog(e.cfg.catalog, db, catalogsql.Postgres, iceberg.Properties{
		"warehouse": strings.TrimSuffix(e.cfg.warehouse, "/"), "init_catalog_tables": "false",
		icebergio.S3EndpointURL: o.Endpoint, icebergio.S3Region: o.Region, icebergio.S3AccessKeyID: o.AccessKey, icebergio.S3SecretAccessKey: o.SecretKey,
	})
	if err != nil {
		return nil, nil, errors.Join(fmt.Errorf("opening catalog %q: %w", e.cfg.catalog, err), db.Close())
	}
	f := &facts{catalog: cat, ident: e.cfg.facts, customer: e.cfg.customer}
	tbl, err := cat.LoadTable(ctx, f.ident)
	var pg *pgconn.PgError
	if errors.Is(err, catalog.ErrNoSuchTable) || errors.As(err, &pg) && pg.Code == undefinedTable {
		return nil, nil, db.Close()
	}
	if err != nil {
		return nil, nil, errors.Join(fmt.Errorf("loading table %s: %w", strings.Join(f.ident, "."), err), db.Close())
	}
	columns := make([]string, 0, tbl.Schema().NumFields())
	for _, field := range tbl.Schema().Fields() {
		if !field.Required {
			columns = append(columns, field.Name)
		}
	}
	if f.personal = e.personalColumns(f.ident[len(f.ident)-1], columns); len(f.personal) == 0 {
		return nil, nil, db.Close()
	}
	return f, db, nil
}

// told is true of rows that tell of the customer.
func (f *facts) told() iceberg.BooleanExpression {
	var told iceberg.BooleanExpression = iceberg.AlwaysFalse{}
	for _, name := range f.personal {
		told = iceberg.NewOr(told, iceberg.NotNull(iceberg.Reference(name)))
	}
	return iceberg.NewAnd(iceberg.EqualTo(iceberg.Reference(columnCustomer), f.customer), told)
}

// rewrite writes the files anew that hold rows that tell of the customer, in one snapshot that is fenced to the
// one that they were read from.
func (f *facts) rewrite(ctx context.Context) (rows, files, bytes int64, err error) {
	tbl, err := f.catalog.LoadTable(ctx, f.ident)
	if err != nil || tbl.CurrentSnapshot() == nil {
		return 0, 0, 0, err
	}
	// by the bounds of files first, then by the rows of those that are left
	tasks, err := tbl.Scan(table.WithRowFilter(f.told())).PlanFiles(ctx)
	if err != nil {
		return 0, 0, 0, err
	}
	var old []iceberg.DataFile
	var affected []table.FileScanTask
	for _, task := range tasks {
		n, err := f.count(ctx, tbl, task)
		if err != nil {
			return 0, 0, 0, err
		}
		if n > 0 {
			rows += n
			task.Residual = nil
			affected, old = append(affected, task), append(old, task.File)
		}
	}
	if len(affected) == 0 {
		return 0, 0, 0, nil
	}
	written, err := f.writeAnew(ctx, tbl, affected)
	for _, file := range written {
		bytes += file.FileSizeBytes()
	}
	if err == nil {
		err = f.commit(ctx, tbl, func(tx *table.Transaction, noted iceberg.Properties) error {
			return tx.ReplaceDataFilesWithDataFiles(ctx, old, written, noted)
		})
		if err != nil && !refused(err) {
			return 0, 0, 0, err // the commit may be in: the files stay
		}
	}
	if err != nil {
		f.discard(ctx, tbl, written)
		return 0, 0, 0, err
	}
	return rows, int64(len(written)), bytes, nil
}

// count returns how many rows of a file tell of the customer, with deletes applied.
func (f *facts) count(ctx context.Context, tbl *table.Table, task table.FileScanTask) (rows int64, err error) {
	scan := tbl.Scan(table.WithRowFilter(f.told()), table.WithSelectedFields(append([]string{columnCustomer}, f.personal...)...))
	_, batches, err := scan.ReadTasks(ctx, []table.FileScanTask{task})
	if err != nil {
		return 0, err
	}
	for batch, err := range batches {
		if err != nil {
			return 0, err
		}
		rows += batch.NumRows()
		batch.Release()
	}
	return rows, scan.Close()
}

// writeAnew writes files one by one, each of which is of one partition.
func (f *facts) writeAnew(ctx context.Context, tbl *table.Table, tasks []table.FileScanTask) (written []iceberg.DataFile, err error) {
	for _, task := range tasks {
		scan := tbl.Scan()
		schema, batches, err := scan.ReadTasks(ctx, []table.FileScanTask{task})
		if err != nil {
			return written, err
		}
		for file, err := range table.WriteRecords(ctx, tbl, schema, f.forgetting(batches), table.WithClusteredWrite()) {
			if err != nil {
				return written, err
			}
			written = append(written, file)
		}
		if err := scan.Close(); err != nil {
			return written, err
		}
	}
	return written, nil
}

func (f *facts) forgetting(batches iter.Seq2[arrow.RecordBatch, error]) iter.Seq2[arrow.RecordBatch, error] {
	return func(yield func(arrow.RecordBatch, error) bool) {
		for batch, err := range batches {
			if err != nil {
				yield(nil, err)
				return
			}
			kept := f.forget(batch)
			batch.Release()
			if !yield(kept, nil) {
				return
			}
		}
	}
}

// forget makes the columns null that tell of the customer, in their rows.
func (f *facts) forget(batch arrow.RecordBatch) arrow.RecordBatch {
	customers, ok := batch.Column(batch.Schema().FieldIndices(columnCustomer)[0]).(*array.Int64)
	columns := make([]arrow.Array, batch.NumCols())
	for i := range columns {
		columns[i] = batch.Column(i)
		columns[i].Retain()
	}
	for _, name := range f.personal {
		for _, at := range batch.Schema().FieldIndices(name) {
			before := columns[at]
			b := array.NewBuilder(memory.DefaultAllocator, before.DataType())
			for row := range before.Len() {
				theirs := ok && customers.IsValid(row) && customers.Value(row) == f.customer
				if theirs || before.IsNull(row) || b.AppendValueFromString(before.ValueStr(row)) != nil {
					b.AppendNull()
				}
			}
			columns[at] = b.NewArray()
			b.Release()
			before.Release()
		}
	}
	kept := array.NewRecordBatch(batch.Schema(), columns, batch.NumRows())
	for _, column := range columns {
		column.Release()
	}
	return kept
}

// commit makes a change on a state of the table, with what its sink has noted, or fails if main has moved.
func (f *facts) commit(ctx context.Context, tbl *table.Table, change func(tx *table.Transaction, noted iceberg.Properties) error) error {
	noted := iceberg.Properties{}
	for key, value := range tbl.Properties() {
		if strings.HasPrefix(key, notedPrefix) {
			noted[key] = value
		}
	}
	if head := tbl.CurrentSnapshot(); head != nil && head.Summary != nil {
		for key, value := range head.Summary.Properties {
			if strings.HasPrefix(key, notedPrefix) {
				noted[key] = value
			}
		}
	}
	tx := tbl.NewTransaction()
	if err := change(tx, noted); err != nil {
		return err
	}
	if len(noted) > 0 {
		if err := tx.SetProperties(noted); err != nil {
			return err
		}
	}
	// I3: another writer's offsets must not be undone
	if err := tx.AssertRefSnapshotID(table.MainBranch); err != nil {
		return err
	}
	_, err := tx.Commit(ctx)
	return err
}

// refused says whether a commit provably did not happen, because another writer was first.
func refused(err error) bool {
	return err != nil && (errors.Is(err, table.ErrCommitFailed) || strings.Contains(strings.ToLower(err.Error()), "requirement failed: "))
}

func (f *facts) discard(ctx context.Context, tbl *table.Table, files []iceberg.DataFile) {
	fs, err := tbl.FS(ctx)
	if err != nil {
		return
	}
	for _, file := range files {
		_ = fs.Remove(file.FilePath()) // one that stays is an orphan, which the table's maintenance removes
	}
}

// expireFacts expires every snapshot but the last, and with them the files that only they had.
func (e *erasure) expireFacts(ctx context.Context, f *facts, d *done) error {
	for attempt := 1; ; attempt++ {
		tbl, err := f.catalog.LoadTable(ctx, f.ident)
		if err != nil {
			return fmt.Errorf("loading table %s: %w", strings.Join(f.ident, "."), err)
		}
		snapshots := int64(len(tbl.Metadata().Snapshots())) - 1
		if snapshots < 1 {
			return nil
		}
		err = f.commit(ctx, tbl, func(tx *table.Transaction, _ iceberg.Properties) error {
			return tx.ExpireSnapshots(table.WithOlderThan(0), table.WithRetainLast(1))
		})
		switch {
		case err == nil:
			d.Snapshots += snapshots
			e.report.remain(layerIceberg, "column bounds of replaced files in the manifests of the present snapshot", "the manifests are merged, by the next commits or by the table's maintenance")
			return nil
		case refused(err) && attempt < commitAttempts:
			if err := e.pause(ctx); err != nil {
				return err
			}
		default:
			return fmt.Errorf("expiring snapshots of %s: %w", strings.Join(f.ident, "."), err)
		}
	}
}
