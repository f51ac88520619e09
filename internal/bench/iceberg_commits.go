package main

import (
	"context"
	"fmt"
	"path/filepath"
	"sync"
	"time"

	"github.com/apache/iceberg-go/table"
	_ "github.com/redpanda-data/benthos/v4/public/components/pure" // output reject
	"github.com/redpanda-data/benthos/v4/public/service"

	"github.com/shop-connect/shop-connect/internal/env"
	"github.com/shop-connect/shop-connect/internal/icebergcatalog"
	"github.com/shop-connect/shop-connect/internal/tableupkeep"
	_ "github.com/shop-connect/shop-connect/plugins/icebergsink" // output iceberg_table
)

const (
	commits, commitRows, commitCorrections, commitDays = 10_000, 20, 1, 3
	// bareCommits are without upkeep, and every one costs more than the one before.
	bareCommits = 300
	// commitsTimed are the last ones, of which the latency is told.
	commitsTimed = 1000
)

// icebergCommitsStep makes ten thousand small commits, as fast as the sink takes them, with upkeep beside it.
// What takes fourteen hours at one commit in five seconds takes minutes here, so upkeep runs each second
// instead of each minute, and keeps snapshots for ten seconds instead of ten minutes.
func icebergCommitsStep() step {
	c := &commitsBench{}
	return step{name: "iceberg_commits", bareName: "the same, the first 300, without upkeep", alone: true, run: c.run, bare: c.bare, check: c.check}
}

type commitsBench struct {
	table string
	rows  int64
}

func (c *commitsBench) catalog(b *bench) icebergcatalog.Config {
	return icebergcatalog.Config{
		Name: "shop", URI: b.up.Env[env.PostgresDSN], Warehouse: "s3://analytics/",
		Storage: icebergcatalog.Storage{
			Endpoint: b.up.Env[env.S3Endpoint], Region: b.up.Env[env.S3Region],
			AccessKey: b.up.Env[env.S3AccessKey], SecretKey: b.up.Env[env.S3SecretKey],
		},
	}
}

func (c *commitsBench) run(ctx context.Context, b *bench) (measurement, error) {
	c.table = "bench_commits"
	config := c.catalog(b)
	cat, err := config.Open(ctx)
	if err != nil {
		return measurement{}, err
	}
	defer cat.Close()
	keeper := tableupkeep.New(cat, table.Identifier{"analytics", c.table}, tableupkeep.Options{
		TargetBytes: 128 << 20, MinFiles: 4, MaxDeletes: 20, MaxManifests: 30, KeepSnapshots: 10 * time.Second,
	})
	upkeeping, stop := context.WithCancel(ctx)
	var wg sync.WaitGroup
	var runs, conflicts, gaveWay, most, mostSnapshots int
	var upkeepFault error
	wg.Go(func() {
		for upkeeping.Err() == nil {
			report, err := keeper.Run(upkeeping)
			if err != nil && upkeeping.Err() == nil {
				upkeepFault = err // the next one may succeed; the last one is told
			}
			runs, conflicts, gaveWay = runs+1, conflicts+report.Conflicts, gaveWay+report.GaveWay
			most, mostSnapshots = max(most, report.LiveFiles+report.LiveDeletes), max(mostSnapshots, report.Snapshots)
			select {
			case <-upkeeping.Done():
			case <-time.After(time.Second):
			}
		}
	})
	took, elapsed, err := c.commit(ctx, b, commits)
	stop()
	wg.Wait()
	if err != nil {
		return measurement{}, err
	}
	last, err := keeper.Run(ctx)
	if err != nil {
		return measurement{}, err
	}
	c.rows = commits * commitRows
	metadata, err := c.metadataBytes(ctx, cat)
	if err != nil {
		return measurement{}, err
	}
	b.notef("iceberg_commits: of the last %d of %d commits, rows in hand to committed: %s; of the first %d: %s",
		commitsTimed, commits, sorted(took[commits-commitsTimed:]), commitsTimed, sorted(took[:commitsTimed]))
	b.notef("iceberg_commits: %d runs of upkeep, %d conflicts, %d merges given up; after a run at most %d live files and %d snapshots; in the end %d data and %d delete files for %d rows, %d manifests, %d snapshots, %d kB of metadata",
		runs, conflicts, gaveWay, most, mostSnapshots, last.LiveFiles, last.LiveDeletes, last.LiveRows, last.LiveManifests, last.Snapshots, metadata>>10)
	if upkeepFault != nil {
		b.notef("iceberg_commits: the last fault of upkeep: %v", upkeepFault)
	}
	return measurement{rows: c.rows, took: elapsed}, nil
}

func (c *commitsBench) metadataBytes(ctx context.Context, cat *icebergcatalog.Catalog) (int64, error) {
	tbl, err := cat.LoadTable(ctx, table.Identifier{"analytics", c.table})
	if err != nil {
		return 0, fmt.Errorf("loading table: %w", err)
	}
	store, err := tbl.FS(ctx)
	if err != nil {
		return 0, fmt.Errorf("opening store: %w", err)
	}
	file, err := store.Open(tbl.MetadataLocation())
	if err != nil {
		return 0, fmt.Errorf("opening metadata: %w", err)
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return 0, fmt.Errorf("looking at metadata: %w", err)
	}
	return info.Size(), nil
}

func (c *commitsBench) bare(ctx context.Context, b *bench) (measurement, error) {
	c.table = "bench_commits_bare"
	took, elapsed, err := c.commit(ctx, b, bareCommits)
	if err != nil {
		return measurement{}, err
	}
	b.notef("iceberg_commits without upkeep: of the commits from %d on: %s", bareCommits-100, sorted(took[bareCommits-100:]))
	return measurement{rows: bareCommits * commitRows, took: elapsed}, nil
}

// commit pushes small batches through the sink, one after the other, and times each until it is committed.
func (c *commitsBench) commit(ctx context.Context, b *bench, n int) (latencies, time.Duration, error) {
	push, stop, err := c.sink(b)
	if err != nil {
		return nil, 0, err
	}
	defer stop()
	took := make(latencies, n)
	begun := time.Now()
	for i := range n {
		batch := commitBatch(i)
		sent := time.Now()
		if err := push(ctx, batch); err != nil {
			return nil, 0, fmt.Errorf("writing batch %d: %w", i, err)
		}
		took[i] = time.Since(sent)
	}
	return took, time.Since(begun), nil
}

// commitBatch is new purchases, and corrections of earlier ones in their own day.
func commitBatch(n int) service.MessageBatch {
	var batch service.MessageBatch
	add := func(row, price int) {
		text := fmt.Sprintf(`{"id":"0190b3a2-%012d","product_id":"p-1","customer_id":1,"seller_id":1,"quantity":1,"price_at_time":%d,"purchased_at":"2024-01-%02dT08:00:00Z"}`, row, price, 1+row%commitDays)
		msg := service.NewMessage([]byte(text))
		msg.MetaSetMut("kafka_topic", "bench")
		msg.MetaSetMut("kafka_partition", 0)
		msg.MetaSetMut("kafka_offset", n*(commitRows+commitCorrections)+len(batch))
		msg.MetaSetMut("kafka_timestamp_ms", 1_750_000_000_000+n)
		batch = append(batch, msg)
	}
	for i := range commitRows {
		add(n*commitRows+i, 1)
	}
	for i := range commitCorrections {
		if n > 0 {
			add((n*7919+i*104729)%(n*commitRows), 2+n)
		}
	}
	return batch
}

func (c *commitsBench) sink(b *bench) (push service.MessageBatchHandlerFunc, stop func(), err error) {
	builder := service.NewStreamBuilder()
	if push, err = builder.AddBatchProducerFunc(); err != nil {
		return nil, nil, fmt.Errorf("building a stream: %w", err)
	}
	config := c.catalog(b)
	err = builder.AddOutputYAML(fmt.Sprintf(`
iceberg_table:
  catalog: {name: %q, uri: %q, warehouse: %q}
  storage: {endpoint: %q, region: %q, access_key: %q, secret_key: %q}
  table: analytics.%s
  contract: %s
  partition_by: [purchase_date]
  refused: {reject: refused}
`, config.Name, config.URI, config.Warehouse, config.Storage.Endpoint, config.Storage.Region, config.Storage.AccessKey, config.Storage.SecretKey,
		c.table, filepath.Join(b.pipelines, "contracts", "purchases.yaml")))
	if err == nil {
		err = builder.SetLoggerYAML("level: error")
	}
	if err != nil {
		return nil, nil, fmt.Errorf("building a stream: %w", err)
	}
	stream, err := builder.Build()
	if err != nil {
		return nil, nil, fmt.Errorf("building a stream: %w", err)
	}
	ended := make(chan struct{})
	go func() { defer close(ended); _ = stream.Run(context.Background()) }()
	return push, func() { _ = stream.StopWithin(10 * time.Second); <-ended }, nil
}

// check reads the table back.
func (c *commitsBench) check(ctx context.Context, b *bench) error {
	config := c.catalog(b)
	cat, err := config.Open(ctx)
	if err != nil {
		return err
	}
	defer cat.Close()
	tbl, err := cat.LoadTable(ctx, table.Identifier{"analytics", c.table})
	if err != nil {
		return fmt.Errorf("loading table: %w", err)
	}
	_, records, err := tbl.Scan(table.WithSelectedFields("id")).ToArrowRecords(ctx)
	if err != nil {
		return fmt.Errorf("reading table: %w", err)
	}
	var rows int64
	for record, err := range records {
		if err != nil {
			return fmt.Errorf("reading table: %w", err)
		}
		rows += record.NumRows()
		record.Release()
	}
	if rows != c.rows {
		return fmt.Errorf("the table holds %d rows, should be %d", rows, c.rows)
	}
	return nil
}
