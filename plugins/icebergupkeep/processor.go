// Package icebergupkeep is the processor iceberg_upkeep: it keeps an Iceberg table healthy beside its
// writers, once for each message.
package icebergupkeep

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/apache/iceberg-go/table"
	"github.com/redpanda-data/benthos/v4/public/service"

	"github.com/shop-connect/shop-connect/internal/icebergcatalog"
	"github.com/shop-connect/shop-connect/internal/tableupkeep"
)

const (
	fieldTargetBytes   = "target_bytes"
	fieldMinFiles      = "min_files"
	fieldMaxDeletes    = "max_deletes"
	fieldMaxManifests  = "max_manifests"
	fieldKeepSnapshots = "keep_snapshots"
	fieldKeepOrphans   = "keep_orphans"
	fieldOrphansEvery  = "orphans_every"
	fieldApplyDeletes  = "apply_deletes"
)

func init() { service.MustRegisterProcessor("iceberg_upkeep", Spec(), fromParsed) }

// Spec documents the processor; the editor schema is generated from it.
func Spec() *service.ConfigSpec {
	return service.NewConfigSpec().
		Categories("Services").
		Summary("Keeps an Apache Iceberg table healthy beside its writers, once for each message.").
		Description(`
Small files of a partition become large ones, deletes are applied, manifests merged, old snapshots expired and orphans removed. Every commit is fenced to the snapshot that it was decided on; merged files keep the sequence number of the snapshot they were read from, so that a correction that is committed meanwhile still takes effect. Several processes may look after one table: with a catalog in PostgreSQL one of them works at a time, elsewhere the fence decides.

A table that has not changed costs one look into the catalog. A table that is not there yet is no error.

The message becomes a report: `+"`"+`{"table", "files_merged", "files_written", "delete_files_removed", "manifests_merged", "snapshots_expired", "orphans_removed", "live_data_files", "live_delete_files", …}`+"`"+`.`).
		Fields(icebergcatalog.Fields()...).
		Fields(
			service.NewIntField(fieldTargetBytes).Description("How large a merged file becomes. Files of three quarters of it stay as they are.").Default(128<<20),
			service.NewIntField(fieldMinFiles).Description("How many small files of one partition are worth a merge.").Default(4),
			service.NewIntField(fieldMaxDeletes).Description("How many delete files may apply to a partition before what they touch is rewritten; fewer for a partition of less than 20,000 rows for each.").Default(20),
			service.NewIntField(fieldMaxManifests).Description("How many manifests a snapshot may list before they are merged.").Default(30),
			service.NewDurationField(fieldKeepSnapshots).Description("How long a snapshot stays readable once another has replaced it: longer than the longest query, and than a rewrite by others.").Default("10m"),
			service.NewDurationField(fieldKeepOrphans).Description("How old a file that no snapshot refers to must be to be removed: longer than any writer takes from a file to its commit. `0s`: never.").Default("72h"),
			service.NewDurationField(fieldOrphansEvery).Description("How often orphans are looked for, which lists the whole table.").Default("1h"),
			service.NewBoolField(fieldApplyDeletes).Description("Rewrite whatever has a row deleted, however few: what was deleted is then in no live file, and with `keep_snapshots: 0s` in none at all.").Default(false),
		)
}

func parseOptions(conf *service.ParsedConfig) (o tableupkeep.Options, err error) {
	var faults []error
	fault := func(name string, err error) {
		if err != nil {
			faults = append(faults, fmt.Errorf("%s: %w", name, err))
		}
	}
	atLeast := func(name string, least int) int {
		v, err := conf.FieldInt(name)
		fault(name, err)
		if err == nil && v < least {
			fault(name, fmt.Errorf("must be %d or more, is %d", least, v))
		}
		return v
	}
	duration := func(name string) time.Duration {
		v, err := conf.FieldDuration(name)
		fault(name, err)
		if v < 0 {
			fault(name, errors.New("must not be negative"))
		}
		return v
	}
	o.TargetBytes = int64(atLeast(fieldTargetBytes, 1<<20))
	o.MinFiles, o.MaxDeletes, o.MaxManifests = atLeast(fieldMinFiles, 2), atLeast(fieldMaxDeletes, 1), atLeast(fieldMaxManifests, 1)
	o.KeepSnapshots, o.KeepOrphans, o.OrphansEvery = duration(fieldKeepSnapshots), duration(fieldKeepOrphans), duration(fieldOrphansEvery)
	if o.KeepOrphans > 0 && o.KeepOrphans < time.Hour {
		fault(fieldKeepOrphans, fmt.Errorf("must be 1h or more, is %s: a younger file may be about to be committed; use 0s to remove none", o.KeepOrphans))
	}
	o.ApplyDeletes, err = conf.FieldBool(fieldApplyDeletes)
	fault(fieldApplyDeletes, err)
	return o, errors.Join(faults...)
}

func fromParsed(conf *service.ParsedConfig, mgr *service.Resources) (service.Processor, error) {
	config, ident, err := icebergcatalog.FromParsed(conf)
	options, optionsErr := parseOptions(conf)
	if err := errors.Join(err, optionsErr); err != nil {
		return nil, err
	}
	return &processor{config: config, ident: ident, options: options, log: mgr.Logger(), metrics: newMetrics(mgr.Metrics())}, nil
}

type processor struct {
	config  icebergcatalog.Config
	ident   table.Identifier
	options tableupkeep.Options
	log     *service.Logger
	metrics *metrics

	// mu is held for a whole run: one at a time.
	mu      sync.Mutex
	catalog *icebergcatalog.Catalog
	keeper  *tableupkeep.Keeper
}

var _ service.Processor = (*processor)(nil)

func (p *processor) Process(ctx context.Context, msg *service.Message) (service.MessageBatch, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.catalog == nil {
		cat, err := p.config.Open(ctx)
		if err != nil {
			return nil, err
		}
		p.catalog, p.keeper = cat, tableupkeep.New(cat, p.ident, p.options)
	}
	started := time.Now()
	report, err := p.keeper.Run(ctx)
	p.metrics.ran(&report, time.Since(started), err)
	if err != nil {
		// the next run connects anew
		p.close()
		return nil, err
	}
	if report.Changed() {
		p.log.Info(report.String())
	}
	body, err := json.Marshal(&report)
	if err != nil {
		return nil, fmt.Errorf("reporting upkeep: %w", err)
	}
	msg.SetBytes(body)
	return service.MessageBatch{msg}, nil
}

func (p *processor) close() {
	_ = p.catalog.Close()
	p.catalog, p.keeper = nil, nil
}

func (p *processor) Close(context.Context) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.close()
	return nil
}
