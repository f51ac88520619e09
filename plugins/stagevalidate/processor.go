package stagevalidate

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/redpanda-data/benthos/v4/public/service"

	"github.com/shop-connect/shop-connect/internal/references"
	"github.com/shop-connect/shop-connect/internal/store"
)

// The metadata by which a message names its object, as raw_pending and s3_parquet set it.
const (
	metaBucket = "s3_bucket"
	metaKey    = "s3_key"
	metaETag   = "s3_etag"
	metaSize   = "s3_size"
)

// report is what a message becomes.
type report struct {
	Key           string `json:"key"`
	RowsIn        int64  `json:"rows_in"`
	RowsOut       int64  `json:"rows_out"`
	RowsRefused   int64  `json:"rows_refused"`
	RowsSkipped   int64  `json:"rows_skipped"`
	StageKey      string `json:"stage_key,omitempty"`
	QuarantineKey string `json:"quarantine_key,omitempty"`
	// Warnings counts, by field, the rows that went to STAGE with a reference to what is unknown.
	Warnings map[string]int64 `json:"warnings,omitempty"`
	// Fault says why the object as a whole is refused.
	Fault string `json:"fault,omitempty"`
	// Unchanged says that the object was staged before, in this state, or is gone.
	Unchanged bool `json:"unchanged,omitempty"`
}

type processor struct {
	cfg config
	now func() time.Time

	mu     sync.Mutex
	store  *store.Store
	client *minio.Client
	// directory knows what rows may refer to.
	directory *references.Directory
}

var _ service.BatchProcessor = (*processor)(nil)

// open connects when the first object comes; processors have no Connect.
func (p *processor) open(ctx context.Context) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.client == nil {
		client, err := p.cfg.objects.Client()
		if err != nil {
			return err
		}
		p.client = client
	}
	if p.store == nil {
		opened, err := store.Open(ctx, p.cfg.dsn)
		if err != nil {
			return err
		}
		// by a contract that rows stored so far do not fit, good rows would be refused
		if err := opened.AdoptContracts(ctx, p.cfg.contracts()...); err != nil {
			opened.Close()
			return err
		}
		p.store, p.directory = opened, references.NewDirectory(opened)
	}
	return nil
}

// ProcessBatch stages the objects that the messages name. An object that is staged already costs its
// share of one query.
func (p *processor) ProcessBatch(ctx context.Context, batch service.MessageBatch) ([]service.MessageBatch, error) {
	if err := p.open(ctx); err != nil {
		return nil, err
	}
	objects := make([]object, len(batch))
	names := make([]store.Object, 0, len(batch))
	for i, msg := range batch {
		o, err := p.objectOf(msg)
		if err != nil {
			msg.SetError(err)
			continue
		}
		objects[i] = o
		names = append(names, o.name())
	}
	known, err := p.store.KnownObjects(ctx, names)
	if err != nil {
		return nil, err
	}
	unchanged, settled := map[string]int64{}, make([]store.Object, 0, len(known))
	for i, msg := range batch {
		if msg.GetError() != nil {
			continue
		}
		run, _ := msg.MetaGet(store.MetaRunID)
		var r report
		if by, before := known[objects[i].key]; before {
			r = report{Key: objects[i].key, Unchanged: true}
			settled = append(settled, objects[i].name())
			if by != run {
				unchanged[run]++
			}
		} else if r, err = p.stage(ctx, objects[i], run); err != nil {
			msg.SetError(err)
			continue
		}
		body, err := json.Marshal(r)
		if err != nil {
			return nil, fmt.Errorf("encoding report: %w", err)
		}
		msg.SetBytes(body)
	}
	if err := p.store.SettleRaw(ctx, settled...); err != nil {
		return nil, err
	}
	for run, n := range unchanged {
		if run == "" {
			continue
		}
		if err := p.store.AddToRun(ctx, run, store.Counts{ObjectsUnchanged: n}); err != nil {
			return nil, err
		}
	}
	return []service.MessageBatch{batch}, nil
}

// Close lets go of the connections.
func (p *processor) Close(context.Context) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.store.Close()
	p.store = nil
	return nil
}

func (p *processor) objectOf(msg *service.Message) (object, error) {
	o := object{seen: time.Now()}
	var faults []error
	text := func(name string) string {
		v, found := msg.MetaGet(name)
		if !found || v == "" {
			faults = append(faults, fmt.Errorf("metadata %q is missing: feed stage_validate with the input raw_pending or s3_parquet", name))
		}
		return v
	}
	o.bucket, o.key, o.etag = text(metaBucket), text(metaKey), text(metaETag)
	size, err := strconv.ParseInt(text(metaSize), 10, 64)
	if err != nil {
		faults = append(faults, fmt.Errorf("metadata %q: %w", metaSize, err))
	}
	o.size = size
	if len(faults) == 0 {
		entity, _, _ := strings.Cut(o.key, "/")
		if o.layout = p.cfg.layouts[entity]; o.layout == nil {
			faults = append(faults, fmt.Errorf("object %q belongs to no entity that has a contract here, which are %s: point the input at one of them",
				o.key, strings.Join(slices.Sorted(maps.Keys(p.cfg.layouts)), ", ")))
		}
	}
	return o, errors.Join(faults...)
}
