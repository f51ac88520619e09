package postgresexport

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/redpanda-data/benthos/v4/public/service"

	"github.com/shop-connect/shop-connect/internal/progress"
	"github.com/shop-connect/shop-connect/internal/quarantine"
	"github.com/shop-connect/shop-connect/internal/store"
)

// closeTimeout bounds what lets go of a transaction whose export was given up.
const closeTimeout = 5 * time.Second

// processor is the component.
type processor struct {
	config
	refused *quarantine.Refused

	mu      sync.Mutex
	store   *store.Store
	objects *minio.Client
}

var _ service.Processor = (*processor)(nil)

// report is what an export did.
type report struct {
	Key         string `json:"key"`
	RowsIn      int64  `json:"rows_in"`
	RowsOut     int64  `json:"rows_out"`
	RowsRefused int64  `json:"rows_refused"`
	Bytes       int64  `json:"bytes"`
}

// Process exports the table.
func (p *processor) Process(ctx context.Context, msg *service.Message) (service.MessageBatch, error) {
	if err := p.open(ctx); err != nil {
		return nil, err
	}
	run, _ := msg.MetaGet(store.MetaRunID)
	done, err := p.export(ctx, run)
	if err != nil {
		return nil, err
	}
	text, err := json.Marshal(done)
	if err != nil {
		return nil, fmt.Errorf("reporting an export: %w", err)
	}
	msg.SetBytes(text)
	return service.MessageBatch{msg}, nil
}

func (p *processor) open(ctx context.Context) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.objects == nil {
		client, err := p.config.objects.Client()
		if err != nil {
			return err
		}
		p.objects = client
	}
	if p.store == nil {
		opened, err := store.Open(ctx, p.dsn)
		if err != nil {
			return err
		}
		if err := opened.AdoptContracts(ctx, p.contract); err != nil {
			opened.Close()
			return err
		}
		p.store = opened
	}
	return nil
}

func (p *processor) export(ctx context.Context, run string) (report, error) {
	whole := p.full || !p.since.IsZero()
	table, err := p.store.BeginExport(ctx, p.contract.Entity, p.contract.Fields[p.contract.Key].Name, whole)
	if err != nil {
		return report{}, err
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeTimeout)
		defer cancel()
		table.Close(ctx)
	}()
	f := p.newFile(p.key(table.From))
	defer f.abandon()
	if err := table.Rows(ctx, p.since, func(row []byte, changedAt int64) error {
		return errors.Join(f.add(ctx, row, changedAt), p.tell(ctx, run, f))
	}); err != nil {
		return report{}, err
	}
	object, err := f.finish(ctx)
	if err != nil {
		return report{}, err
	}
	return f.report, p.enter(ctx, run, table, f, object)
}

// key names the object for what is in it, so that the same export writes over itself. An incremental one
// that was interrupted is repeated from the same transaction on; the next one has a name of its own.
func (p *processor) key(from int64) string {
	key := p.prefix + "export_" + cmp.Or(p.date, time.Now().In(p.shop).Format(time.DateOnly))
	switch {
	case !p.since.IsZero():
		key += "_since_" + p.since.Format(time.DateOnly)
	case from != 0:
		key += fmt.Sprintf("_after_%d", from)
	default:
		key += "_full"
	}
	return key + ".parquet"
}

// errCancelled ends an export whose run has ended.
var errCancelled = errors.New("the run was cancelled")

// tell says once a second where the export is, and ends that of a run which has ended.
func (p *processor) tell(ctx context.Context, run string, f *file) error {
	if run == "" || time.Since(f.told) < time.Second {
		return nil
	}
	f.told = time.Now()
	goOn, err := p.store.Report(ctx, run, progress.Thousands(f.report.RowsIn)+" rows of "+p.contract.Entity+" read")
	if err == nil && !goOn {
		err = errCancelled
	}
	return err
}

// enter makes the object known to those who take it into STAGE, then notes how far the table is exported.
func (p *processor) enter(ctx context.Context, run string, table *store.Export, f *file, object minio.UploadInfo) error {
	counts := store.Counts{RowsIn: f.report.RowsIn, RowsOut: f.report.RowsOut, RowsRefused: f.report.RowsRefused, Bytes: f.report.Bytes}
	said := "nothing has changed since the last export"
	if f.report.Key == "" {
		counts.ObjectsUnchanged = 1
	} else {
		counts.Objects = 1
		said = "written to s3://" + p.bucket + "/" + f.report.Key
		err := p.store.RegisterRaw(ctx, p.bucket, p.contract.Entity, []store.RawObject{{
			Object: store.Object{Key: f.report.Key, ETag: object.ETag}, Size: object.Size, Rows: f.report.RowsOut, LastOffset: -1,
		}})
		if err != nil {
			return err
		}
	}
	if run != "" {
		if _, err := p.store.Report(ctx, run, said); err != nil {
			return err
		}
	}
	return table.Done(ctx, p.store, run, counts, p.since.IsZero())
}

// Close lets go of the database.
func (p *processor) Close(ctx context.Context) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.store.Close()
	p.store = nil
	return p.refused.Close(ctx)
}
