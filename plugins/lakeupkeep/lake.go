// Package lakeupkeep keeps the lake in shape: the processor `lake_compact` merges small Parquet objects of
// RAW and STAGE, and `lake_retention` removes what is older than somebody wants to keep.
//
// Streams write many small objects because rows must not wait; readers pay for each object they open. And
// what nobody needs any more costs money, and may not be kept. Both take away objects that others may be
// reading or writing, so both go by the ledger in PostgreSQL and not by what a bucket looks like.
package lakeupkeep

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/minio/minio-go/v7"
	"github.com/redpanda-data/benthos/v4/public/service"

	"github.com/shop-connect/shop-connect/internal/contract"
	"github.com/shop-connect/shop-connect/internal/objectstore"
	"github.com/shop-connect/shop-connect/internal/parquetfile"
	"github.com/shop-connect/shop-connect/internal/store"
)

const (
	fieldContract = "contract"
	fieldPostgres = "postgres_dsn"
	fieldEntity   = "entity"

	// allEntities is the name of every entity at once.
	allEntities = "all"
)

// lakeFields are those that both processors have.
func lakeFields() []*service.ConfigField {
	return append(objectstore.Fields(),
		service.NewStringField(fieldContract).Description("Folder of the contracts, which say what entities there are and what columns they have.").Example("${CONTRACTS_DIR:pipelines/contracts}"),
		service.NewStringField(fieldPostgres).Description("Connection string of the PostgreSQL database that knows what is in the lake.").Secret().Example("${POSTGRES_DSN}"),
		service.NewStringField(fieldEntity).Description("The entity that is meant; `all` is every one that has a contract.").Default(allEntities).Example("purchases"),
	)
}

// lake is the store and the database, and which entities are meant.
type lake struct {
	objects objectstore.Config
	dsn     string
	layouts map[string]*parquetfile.Layout

	mu     sync.Mutex
	store  *store.Store
	client *minio.Client
}

// faults gathers what is wrong with a config.
type faults []error

func (f *faults) note(field string, err error) {
	if err != nil {
		*f = append(*f, fmt.Errorf("field %q: %w", field, err))
	}
}

func (f *faults) text(conf *service.ParsedConfig, field string) string {
	v, err := conf.FieldString(field)
	f.note(field, err)
	return v
}

func (f *faults) lake(conf *service.ParsedConfig) *lake {
	l := &lake{layouts: map[string]*parquetfile.Layout{}}
	var err error
	if l.objects, err = objectstore.FromParsed(conf); err != nil {
		*f = append(*f, err)
	}
	l.dsn = f.text(conf, fieldPostgres)
	f.note(fieldPostgres, store.CheckDSN(l.dsn))
	folder, entity := f.text(conf, fieldContract), f.text(conf, fieldEntity)
	contracts, err := contract.LoadDir(folder)
	if err != nil {
		f.note(fieldContract, err)
		return l
	}
	if _, known := contracts[entity]; entity != allEntities && !known {
		f.note(fieldEntity, fmt.Errorf("%q has no contract; use %q or one of %s", entity, allEntities, strings.Join(slices.Sorted(maps.Keys(contracts)), ", ")))
	}
	for name, rules := range contracts {
		if entity != allEntities && name != entity {
			continue
		}
		l.layouts[name], err = parquetfile.NewLayout(rules)
		f.note(fieldContract, err)
	}
	return l
}

func (l *lake) entities() []string { return slices.Sorted(maps.Keys(l.layouts)) }

func (l *lake) contracts() (all []*contract.Contract) {
	for _, entity := range l.entities() {
		all = append(all, l.layouts[entity].Contract)
	}
	return all
}

// open connects when there is something to do; processors have no Connect.
func (l *lake) open(ctx context.Context) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.client == nil {
		client, err := l.objects.Client()
		if err != nil {
			return err
		}
		l.client = client
	}
	if l.store == nil {
		opened, err := store.Open(ctx, l.dsn)
		if err != nil {
			return err
		}
		if err := opened.AdoptContracts(ctx, l.contracts()...); err != nil {
			opened.Close()
			return err
		}
		l.store = opened
	}
	return nil
}

// Close lets go of the database.
func (l *lake) Close(context.Context) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.store.Close()
	l.store = nil
	return nil
}

// errCancelled ends the work of a run that has ended.
var errCancelled = errors.New("the run was cancelled")

// tell says where the work is, and ends that of a run which somebody cancelled.
func (l *lake) tell(ctx context.Context, run, text string) error {
	if run == "" {
		return nil
	}
	goOn, err := l.store.Report(ctx, run, text)
	if err == nil && !goOn {
		err = errCancelled
	}
	return err
}

// errEnough ends a listing.
var errEnough = errors.New("the rest is not wanted")

// list hands over objects in the order of their keys; folders end in a slash where they are not gone into.
func (l *lake) list(ctx context.Context, bucket string, options minio.ListObjectsOptions, each func(minio.ObjectInfo) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	for info := range l.client.ListObjectsIter(ctx, bucket, options) {
		if info.Err != nil {
			return fmt.Errorf("listing s3://%s/%s: %w", bucket, options.Prefix, l.objects.Explain(info.Err, bucket))
		}
		if err := each(info); errors.Is(err, errEnough) {
			return nil
		} else if err != nil {
			return err
		}
	}
	return ctx.Err()
}

// remove removes objects. One that is gone already is no error.
func (l *lake) remove(ctx context.Context, bucket string, keys []string) error {
	names := make([]minio.ObjectInfo, len(keys))
	for i, key := range keys {
		names[i].Key = key
	}
	results, err := l.client.RemoveObjectsWithIter(ctx, bucket, slices.Values(names), minio.RemoveObjectsOptions{})
	if err == nil {
		for r := range results {
			if r.Err != nil && minio.ToErrorResponse(r.Err).Code != minio.NoSuchKey {
				err = errors.Join(err, fmt.Errorf("%s: %w", r.ObjectName, r.Err))
			}
		}
	}
	if err = errors.Join(err, ctx.Err()); err != nil {
		return fmt.Errorf("removing objects of bucket %q: %w", bucket, l.objects.Explain(err, bucket))
	}
	return nil
}

// hidden reports whether a key is another program's work in progress, such as Spark's _temporary/.
func hidden(key string) bool {
	for name := range strings.SplitSeq(key, "/") {
		if strings.HasPrefix(name, "_") || strings.HasPrefix(name, ".") {
			return true
		}
	}
	return false
}
