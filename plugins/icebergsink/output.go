// Package icebergsink is the output iceberg_table: JSON rows from Kafka into an Apache Iceberg table,
// each record exactly once, one row per key.
//
// Sinks of this kind usually promise "at least once" and leave duplicates to whoever reads. Here the
// Kafka offsets that a table has taken in are part of the snapshot that took them in, and a commit is
// fenced to the snapshot that it was decided on. So a redelivery, a crash at any moment and two writers
// at once all come to the same table.
package icebergsink

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"strings"
	"sync"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/iceberg-go/io"
	"github.com/apache/iceberg-go/table"
	"github.com/redpanda-data/benthos/v4/public/service"

	"github.com/shop-connect/shop-connect/internal/columns"
	"github.com/shop-connect/shop-connect/internal/icebergcatalog"
	"github.com/shop-connect/shop-connect/internal/quarantine"
)

type output struct {
	cfg     config
	name    string
	log     *service.Logger
	metrics *sinkMetrics
	refused *quarantine.Refused
	decoder *columns.Decoder
	seed    maphash.Seed

	// mu is held for a whole Connect, WriteBatch or Close: one batch is in flight at a time.
	mu      sync.Mutex
	catalog *icebergcatalog.Catalog
	// tbl is the table as this writer last knew it, nil while not connected.
	tbl *table.Table
	// store opens the table's files. It is that of the table as it was loaded last: one of each commit's would
	// keep all the tables before it in memory.
	store  table.FSysF
	schema *arrow.Schema

	// What follows outlives a lost connection: it is of the table, not of the connection.
	known      *table.Table
	offsets    offsets
	topics     topics
	keys       *recentKeys
	partitions *partitions
	work       *work
	setAside   batchID
	failures   int
	commits    int
	permanent  error
}

func newOutput(cfg config, refused *quarantine.Refused, mgr *service.Resources) *output {
	return &output{
		cfg: cfg, name: strings.Join(cfg.ident, "."), log: mgr.Logger(), metrics: newMetrics(mgr.Metrics()), refused: refused,
		decoder: columns.NewDecoder(cfg.contract, columns.Valid, cfg.shop), seed: maphash.MakeSeed(),
		offsets: offsets{}, topics: topics{}, work: newWork(cfg.contract, 1024),
	}
}

var _ service.BatchOutput = (*output)(nil)

func (o *output) Connect(ctx context.Context) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.tbl != nil {
		return nil
	}
	if err := o.pause(ctx); err != nil {
		return err
	}
	err := o.permanent
	if err == nil {
		err = o.connect(ctx)
	}
	if err != nil {
		o.disconnect()
		o.failed(err)
	}
	return err
}

func (o *output) connect(ctx context.Context) (err error) {
	if o.catalog, err = o.cfg.catalog.Open(ctx); err != nil {
		return err
	}
	tbl, err := openTable(ctx, o.catalog, &o.cfg, o.known == nil)
	if err != nil {
		return err
	}
	if err := o.probe(ctx, tbl); err != nil {
		return err
	}
	return o.adopt(ctx, tbl)
}

// probe writes where the table's files go, so that a warehouse without rights is known at once and the
// stream is not ready, instead of failing at each batch.
func (o *output) probe(ctx context.Context, tbl *table.Table) error {
	store, err := tbl.FS(ctx)
	if err != nil {
		return fmt.Errorf("opening the store of table %q: %w", o.name, err)
	}
	writable, ok := store.(io.WriteFileIO)
	if !ok {
		return fmt.Errorf("opening the store of table %q: %s is not one to write to", o.name, tbl.Location())
	}
	name := tbl.Location() + "/metadata/shop-connect-probe"
	if err := writable.WriteFile(name, []byte("may be removed")); err != nil {
		return fmt.Errorf("writing to %s: %w; give the writer the right to put objects there", tbl.Location(), err)
	}
	_ = store.Remove(name) // who may not remove leaves it, and orphans of refused commits
	return nil
}

// adopt makes a loaded table the one to write to, catching up with whatever others did to it.
func (o *output) adopt(ctx context.Context, tbl *table.Table) error {
	if id := tbl.Metadata().TableUUID(); o.known != nil && id != o.known.Metadata().TableUUID() {
		return permanentError{fmt.Errorf("opening table %q: it was dropped and created again while this stream wrote to it; restart the stream to write to the new one", o.name)}
	}
	committed, err := committedOffsets(tbl)
	if err != nil {
		return err
	}
	topics, err := committedTopics(tbl)
	if err != nil {
		return err
	}
	if o.schema, err = arrowSchema(tbl, &o.cfg); err != nil {
		return err
	}
	if o.partitions == nil {
		o.partitions = newPartitions(&o.cfg, tbl.Schema())
	}
	if o.known == nil {
		err = o.loadKeys(ctx, tbl)
	} else {
		err = o.refreshKeys(ctx, o.known, tbl)
	}
	if err != nil {
		return err
	}
	o.adoptTopics(topics, committed)
	o.offsets = merged(committed, o.offsets)
	o.tbl, o.known, o.store = tbl, tbl, tbl.FS
	return nil
}

// WriteBatch returns once every row of the batch is in a committed snapshot or set aside. After a fault
// it asks to be connected again, and then gets the same batch again before any other: that keeps the
// order in which events of one key win.
func (o *output) WriteBatch(ctx context.Context, batch service.MessageBatch) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.tbl == nil {
		return service.ErrNotConnected
	}
	if err := o.write(ctx, batch); err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		o.log.Errorf("Writing to %s: %v", o.name, err)
		o.disconnect()
		o.failed(err)
		return service.ErrNotConnected
	}
	o.failures = 0
	return nil
}

func (o *output) write(ctx context.Context, batch service.MessageBatch) error {
	o.decoder.SetNow(time.Now())
	var err error
	if o.work.topics, err = topicsOf(batch); err != nil {
		return err
	}
	if err := o.identify(o.work.topics); err != nil {
		return err
	}
	for written := 0; ; {
		o.work.reset()
		d, err := o.decode(o.work, batch, written)
		if err != nil {
			return err
		}
		if d.id.len == 0 && !d.whole {
			return errors.New("decoding rows: one row has more than 2 GiB of text; lower the topic's message size")
		}
		// I4: a refused row is safe before its offset counts as taken in.
		if err := o.setRefusedAside(ctx, d.id, d.refused); err != nil {
			return err
		}
		if err := o.commitBatch(ctx, o.work); err != nil {
			return err
		}
		if written += d.id.len; d.whole {
			return nil
		}
	}
}

func (o *output) failed(err error) {
	o.failures++
	if _, ok := errors.AsType[permanentError](err); ok {
		o.permanent = err
	}
}

// pause keeps a fault that does not go away from being met hundreds of times a second.
func (o *output) pause(ctx context.Context) error {
	if o.failures == 0 {
		return nil
	}
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(min(10*time.Second, 100*time.Millisecond<<min(o.failures, 10))):
		return nil
	}
}

func (o *output) disconnect() {
	_ = o.catalog.Close()
	o.catalog, o.tbl = nil, nil
}

func (o *output) Close(ctx context.Context) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.disconnect()
	return o.refused.Close(ctx)
}
