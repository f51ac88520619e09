// Package catalog knows what the quarantine bucket holds: how many rows, refused by whom, when and why, and
// which of them are still open.
//
// Whoever refuses rows writes objects and nothing else, so that an absent database holds no stream up. The
// catalog follows by listing the bucket and reads each state of each object once; counts come from what it
// registered in PostgreSQL, at a cost that does not grow with the rows.
package catalog

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/minio/minio-go/v7"
	"golang.org/x/sync/errgroup"

	"github.com/shop-connect/shop-connect/internal/quarantine"
	"github.com/shop-connect/shop-connect/internal/store"
)

const (
	// Bucket is where refused rows are.
	Bucket = "shop-quarantine"

	layerFolder   = "layer="
	dayFolder     = "date="
	objectsFolder = "objects"

	readers   = 8
	scanBatch = 4096
	// maxLabels bounds what a foreign object can make of its reasons.
	maxLabels = 100
)

// Catalog is the view on one bucket. Its methods are safe for concurrent use.
type Catalog struct {
	Store   *store.Store
	Objects *minio.Client
	Bucket  string

	mu        sync.Mutex
	refreshed time.Time
}

func (c *Catalog) url(key string) string { return "s3://" + c.Bucket + "/" + key }

// passes bounds how often a refresh looks at the bucket again because objects that are gone, or have lost
// rows, leave copies of their rows to other objects.
const passes = 3

// Refresh registers what is new in the bucket, of one entity or of all, and forgets what is gone.
func (c *Catalog) Refresh(ctx context.Context, entity string) error {
	for range passes {
		if err := c.pass(ctx, entity); err != nil {
			return err
		}
		if stale, err := c.Store.QuarantineStale(ctx); err != nil || !stale {
			return err
		}
	}
	return nil
}

func (c *Catalog) pass(ctx context.Context, entity string) error {
	known, err := c.Store.KnownQuarantine(ctx, entity)
	if err != nil {
		return err
	}
	group, groupCtx := errgroup.WithContext(ctx)
	group.SetLimit(readers)
	prefix := ""
	if entity != "" {
		prefix = entity + "/"
	}
	for info := range c.Objects.ListObjectsIter(groupCtx, c.Bucket, minio.ListObjectsOptions{Prefix: prefix, Recursive: true}) {
		if info.Err != nil {
			return errors.Join(fmt.Errorf("listing %s: %w", c.url(prefix), info.Err), group.Wait())
		}
		o, ours := parseKey(info.Key)
		if !ours {
			continue
		}
		o.ETag, o.ModifiedAt, o.Bytes = info.ETag, info.LastModified.UTC().Truncate(time.Microsecond), info.Size
		there, registered := known[o.Key]
		delete(known, o.Key)
		if registered && there.ETag == o.ETag && there.ModifiedAt.Equal(o.ModifiedAt) {
			continue
		}
		group.Go(func() error { return c.register(groupCtx, o) })
	}
	if err := group.Wait(); err != nil {
		return err
	}
	gone := make([]int64, 0, len(known))
	for _, o := range known {
		gone = append(gone, o.ID)
	}
	if len(gone) == 0 {
		return nil
	}
	return c.Store.ForgetQuarantine(ctx, gone)
}

// RefreshWithin refreshes where the last time is longer ago than that. One caller at a time does; the others
// wait for it.
func (c *Catalog) RefreshWithin(ctx context.Context, age time.Duration) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if time.Since(c.refreshed) < age {
		return nil
	}
	if err := c.Refresh(ctx, ""); err != nil {
		return err
	}
	c.refreshed = time.Now()
	return nil
}

// parseKey reads <entity>/layer=<layer>/date=<day>/<name> and <entity>/layer=<layer>/objects/<key>.
func parseKey(key string) (o store.QuarantineObject, ok bool) {
	parts := strings.SplitN(key, "/", 4)
	if len(parts) < 4 || parts[0] == "" || parts[3] == "" || strings.HasSuffix(key, "/") {
		return o, false
	}
	layer, isLayer := strings.CutPrefix(parts[1], layerFolder)
	day, isDay := strings.CutPrefix(parts[2], dayFolder)
	switch {
	case !isLayer:
		return o, false
	case isDay:
		o = store.QuarantineObject{Entity: parts[0], Key: key, Layer: layer, Day: day}
		return o, strings.HasSuffix(key, ".parquet")
	case parts[2] == objectsFolder:
		return store.QuarantineObject{Entity: parts[0], Key: key, Layer: layer, Fault: "refused whole"}, true
	}
	return o, false
}

// WholeKey is the key in RAW of an object that was refused whole; ok is false for any other object.
func WholeKey(o store.QuarantineObject) (key string, ok bool) {
	rest, ok := strings.CutPrefix(o.Key, o.Entity+"/"+layerFolder+o.Layer+"/"+objectsFolder+"/")
	return o.Entity + "/" + rest, ok
}

func (c *Catalog) register(ctx context.Context, o store.QuarantineObject) error {
	if o.Fault != "" {
		return c.registerWhole(ctx, o)
	}
	reasons, err := c.scan(ctx, o)
	if fault, ok := errors.AsType[*Unreadable](err); ok {
		o.Fault = fault.Error()
		return c.Store.RegisterQuarantine(ctx, o, nil)
	}
	if errors.Is(err, ErrChanged) {
		return nil // the next time finds what it is by then
	}
	if err != nil {
		return err
	}
	return c.Store.RegisterQuarantine(ctx, o, reasons)
}

func (c *Catalog) registerWhole(ctx context.Context, o store.QuarantineObject) error {
	info, err := c.Objects.StatObject(ctx, c.Bucket, o.Key, minio.StatObjectOptions{})
	if minio.ToErrorResponse(err).Code == minio.NoSuchKey {
		return nil
	}
	if err != nil {
		return fmt.Errorf("looking at %s: %w", c.url(o.Key), err)
	}
	if why := info.UserMetadata[quarantine.MetaFault]; why != "" {
		o.Fault = quarantine.DecodeFault(why)
	}
	o.Day = o.ModifiedAt.Format(time.DateOnly)
	return c.Store.RegisterQuarantine(ctx, o, nil)
}

// outline is what of a row says where it belongs; its bytes stay in the store.
type outline struct {
	Layer     string `parquet:"layer,dict"`
	Reasons   string `parquet:"reasons"`
	Source    string `parquet:"source"`
	RefusedAt int64  `parquet:"refused_at,timestamp(microsecond)"`
	Topic     string `parquet:"_topic,dict"`
	Partition int32  `parquet:"_partition"`
	Offset    int64  `parquet:"_offset"`
}

func (c *Catalog) scan(ctx context.Context, o store.QuarantineObject) (map[string]store.Places, error) {
	f, err := c.open(ctx, o)
	if err != nil {
		return nil, err
	}
	defer f.close()
	reasons, labels := map[string]store.Places{}, map[string]string{}
	err = eachBatch(f, scanBatch, func(first int64, rows []outline) error {
		for i, found := range rows {
			row := quarantine.Row{
				Layer: found.Layer, Reasons: found.Reasons, Source: found.Source, RefusedAt: found.RefusedAt,
				Topic: found.Topic, Partition: found.Partition, Offset: found.Offset,
			}
			// what a row was first refused for: a repair that fails does not move it to where another filter finds it
			label := labelOf(labels, reasons, row.Reasons)
			if reasons[label] == nil {
				reasons[label] = store.Places{}
			}
			reasons[label].Add(row.Place(o.Key, first+int64(i)))
		}
		return nil
	})
	return reasons, err
}

// labelOf sums reasons up, and remembers it: many rows have the same.
func labelOf(known map[string]string, labels map[string]store.Places, reasons string) string {
	label, ok := known[reasons]
	if !ok {
		label = quarantine.Label(reasons)
		if len(known) < scanBatch {
			known[reasons] = label
		}
	}
	if labels[label] == nil && len(labels) >= maxLabels {
		return store.OtherReasons
	}
	return label
}
