// Package icebergrepair is the processor iceberg_repair: it fills in, in rows of an Iceberg table, what was
// not known when they were written.
//
// The table itself is the record of what is missing, and the only one. A repair is a function of the row in
// the table and of what is known now, and its commit is fenced to the snapshot that the row was read from:
// there is no queue whose order against corrections would have to be right, and nothing that a crash could lose.
package icebergrepair

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/apache/iceberg-go/catalog"
	"github.com/apache/iceberg-go/table"
	"github.com/redpanda-data/benthos/v4/public/service"

	"github.com/shop-connect/shop-connect/internal/columns"
	"github.com/shop-connect/shop-connect/internal/dimension"
	"github.com/shop-connect/shop-connect/internal/icebergcatalog"
)

// report is what one run did and left.
type report struct {
	Table string `json:"table"`
	// Rows were repaired; Files are those that they were looked for in.
	Rows  int `json:"rows"`
	Files int `json:"files"`
	// Missing counts the keys that are not known, by file.
	Missing   int `json:"keys_missing"`
	Conflicts int `json:"conflicts"`
}

type processor struct {
	cfg     config
	log     *service.Logger
	metrics *metrics
	set     *dimension.Set

	// mu is held for a whole run: one at a time.
	mu      sync.Mutex
	catalog *icebergcatalog.Catalog
	watch   *dimension.Watch
	decoder *columns.Decoder
	// gaps is what the table lacked at the last run, nil where that has to be found out anew.
	gaps *gaps
	// paused is called between reading rows and committing them, by tests.
	paused func()
}

var _ service.Processor = (*processor)(nil)

func fromParsed(conf *service.ParsedConfig, mgr *service.Resources) (service.Processor, error) {
	cfg, err := parseConfig(conf)
	if err != nil {
		return nil, err
	}
	return &processor{
		cfg: cfg, log: mgr.Logger(), metrics: newMetrics(mgr.Metrics()), set: dimension.Open(cfg.join, mgr.Logger()),
		decoder: columns.NewDecoder(cfg.contract, columns.Typed, cfg.join.Timezone),
	}, nil
}

func (p *processor) Process(ctx context.Context, msg *service.Message) (service.MessageBatch, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	r, err := p.run(ctx)
	p.metrics.ran(&r, err)
	if err != nil {
		// the next run connects anew, and looks at the whole table: what it was about to do is not remembered
		p.disconnect()
		return nil, err
	}
	if r.Rows > 0 {
		p.log.Debugf("Repaired %d rows of %s in %d files; it lacks %d keys", r.Rows, r.Table, r.Files, r.Missing)
	}
	body, err := json.Marshal(&r)
	if err != nil {
		return nil, fmt.Errorf("reporting repairs: %w", err)
	}
	msg.SetBytes(body)
	return service.MessageBatch{msg}, nil
}

func (p *processor) run(ctx context.Context) (r report, err error) {
	r.Table = strings.Join(p.cfg.ident, ".")
	if p.catalog == nil {
		if p.catalog, err = p.cfg.catalog.Open(ctx); err != nil {
			return r, err
		}
	}
	if err := p.set.CatchUp(ctx); err != nil {
		return r, err
	}
	if p.watch == nil {
		p.watch, p.gaps = p.set.Watch(), nil
	}
	tbl, err := p.load(ctx)
	if tbl == nil || err != nil {
		return r, err
	}
	// replicas take turns, which saves work; without the lock the fence would still decide
	release, got, err := p.catalog.TryLock(ctx, append(slices.Clone(p.cfg.ident), "repair"))
	if err != nil || !got {
		return r, err
	}
	defer release()

	arrived, all := p.watch.Take()
	if all || p.gaps == nil {
		p.gaps = newGaps(&p.cfg)
	}
	// what arrives from here on is for the next run, or is known to this one already
	if err := p.gaps.update(ctx, tbl, p.set); err != nil {
		return r, err
	}
	p.gaps.note(arrived)
	err = p.repair(ctx, tbl, &r)
	r.Missing = p.gaps.missing()
	return r, err
}

// load returns the table, nil while there is none, or none with the columns that mark what is missing.
func (p *processor) load(ctx context.Context) (*table.Table, error) {
	tbl, err := p.catalog.LoadTable(ctx, p.cfg.ident)
	if errors.Is(err, catalog.ErrNoSuchTable) || errors.Is(err, catalog.ErrNoSuchNamespace) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("loading table %q: %w", strings.Join(p.cfg.ident, "."), err)
	}
	// the sink adds the columns of a new contract when it starts
	for i := range p.cfg.contract.Fields {
		if _, found := tbl.Schema().FindFieldByName(p.cfg.contract.Fields[i].Name); !found {
			return nil, nil
		}
	}
	if tbl.CurrentSnapshot() == nil {
		return nil, nil
	}
	return tbl, nil
}

func (p *processor) disconnect() {
	_ = p.catalog.Close()
	p.catalog, p.gaps = nil, nil
}

func (p *processor) Close(context.Context) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.disconnect()
	if p.watch != nil {
		p.watch.Stop()
		p.watch = nil
	}
	if p.set != nil {
		p.set.Close()
		p.set = nil
	}
	return nil
}

type metrics struct {
	rows, conflicts, failures *service.MetricCounter
	missing                   *service.MetricGauge
}

func newMetrics(m *service.Metrics) *metrics {
	return &metrics{
		rows: m.NewCounter("iceberg_repair_rows", "table"), conflicts: m.NewCounter("iceberg_repair_conflicts", "table"),
		failures: m.NewCounter("iceberg_repair_failures", "table"), missing: m.NewGauge("iceberg_repair_keys_missing", "table"),
	}
}

func (m *metrics) ran(r *report, err error) {
	m.rows.Incr(int64(r.Rows), r.Table)
	m.conflicts.Incr(int64(r.Conflicts), r.Table)
	if err != nil {
		m.failures.Incr(1, r.Table)
		return
	}
	m.missing.Set(int64(r.Missing), r.Table)
}
