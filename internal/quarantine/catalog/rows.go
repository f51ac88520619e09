package catalog

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"

	"github.com/minio/minio-go/v7"
	"github.com/parquet-go/parquet-go"

	"github.com/shop-connect/shop-connect/internal/parquetfile"
	"github.com/shop-connect/shop-connect/internal/quarantine"
	"github.com/shop-connect/shop-connect/internal/store"
)

// Filter says which rows are meant; empty fields mean all.
type Filter struct {
	store.QuarantineFilter
	// Source is what the source of a row begins with; of an object refused whole, its key.
	Source string
}

// meansRow reports whether a row of an object that the filter means is meant too.
func (f Filter) meansRow(row *quarantine.Row) bool {
	return strings.HasPrefix(row.Source, f.Source) &&
		(f.Reason == "" || strings.Contains(strings.ToLower(quarantine.Label(row.Reasons)), strings.ToLower(f.Reason)))
}

// Item is a row in its place.
type Item struct {
	quarantine.Row
	Object string
	Index  int64
	Space  string
	Number uint64
}

// StableID is the id of a row that came without one (I3).
func (i *Item) StableID() string { return i.Row.StableID(i.Object, i.Index) }

// Rows reads the rows of an object that a filter means, some at a time: memory does not grow with the object.
// The items are good until do returns.
func (c *Catalog) Rows(ctx context.Context, o store.QuarantineObject, filter Filter, batch int, do func(items []Item) error) error {
	f, err := c.open(ctx, o)
	if err != nil {
		return err
	}
	defer f.close()
	return c.rows(f, o, filter, batch, do)
}

func (c *Catalog) rows(f *file, o store.QuarantineObject, filter Filter, batch int, do func(items []Item) error) error {
	items := make([]Item, 0, batch)
	err := eachBatch(f, batch, func(first int64, rows []quarantine.Row) error {
		items = items[:0]
		for i := range rows {
			// the folder says whose row it is, whatever a foreign file says
			rows[i].Entity, rows[i].Layer = o.Entity, o.Layer
			if !filter.meansRow(&rows[i]) {
				continue
			}
			item := Item{Row: rows[i], Object: o.Key, Index: first + int64(i)}
			item.Space, item.Number = item.Place(o.Key, item.Index)
			items = append(items, item)
		}
		if len(items) == 0 {
			return nil
		}
		return do(items)
	})
	if err != nil {
		if _, unreadable := errors.AsType[*Unreadable](err); unreadable {
			return fmt.Errorf("%s %w", c.url(o.Key), err)
		}
	}
	return err
}

// Undecided drops the rows that have a fate.
func (c *Catalog) Undecided(ctx context.Context, entity string, items []Item) ([]Item, error) {
	places := store.Places{}
	for i := range items {
		places.Add(items[i].Space, items[i].Number)
	}
	decided, err := c.Store.Decided(ctx, entity, places)
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(items, func(i Item) bool { return decided.Has(i.Space, i.Number) }), nil
}

// errEnough ends reading.
var errEnough = errors.New("enough")

// Samples returns some rows that a filter means, of the newest days first, out of at most so many objects.
func (c *Catalog) Samples(ctx context.Context, filter Filter, rows, objects int) ([]Item, error) {
	list, err := c.Store.QuarantineObjects(ctx, filter.QuarantineFilter)
	if err != nil {
		return nil, err
	}
	slices.SortStableFunc(list, func(a, b store.QuarantineObject) int { return strings.Compare(b.Day, a.Day) })
	var samples []Item
	for _, o := range list {
		if len(samples) == rows || objects == 0 {
			break
		}
		if o.Whole() {
			continue
		}
		objects--
		reader := &glance{ctx: ctx, catalog: c, object: o}
		err := c.rows(&file{ReaderAt: reader, size: o.Bytes, close: func() {}}, o, filter, max(rows, 64), func(items []Item) (err error) {
			if filter.PendingOnly {
				if items, err = c.Undecided(ctx, o.Entity, items); err != nil {
					return err
				}
			}
			samples = append(samples, items[:min(len(items), rows-len(samples))]...)
			if len(samples) == rows {
				return errEnough
			}
			return nil
		})
		_, unreadable := errors.AsType[*Unreadable](err)
		switch {
		case errors.Is(err, errEnough) || errors.Is(reader.trouble, ErrChanged):
		case reader.trouble != nil:
			return nil, reader.trouble
		case err != nil && !unreadable: // the list of objects says what cannot be read
			return nil, err
		}
	}
	return samples, nil
}

// Annotate writes an object anew with the reasons why some of its rows, by index, could not be brought back
// by a run. Rows stay where they are, with their bytes and what they were first refused for.
func (c *Catalog) Annotate(ctx context.Context, o store.QuarantineObject, run string, reasons map[int64]string) error {
	f, err := c.open(ctx, o)
	if err != nil {
		return err
	}
	defer f.close()
	spool, err := NewSpool()
	if err != nil {
		return err
	}
	defer spool.Close()
	writer := parquet.NewGenericWriter[quarantine.Row](spool, parquetfile.Zstd.WriterOption())
	err = eachBatch(f, scanBatch, func(first int64, rows []quarantine.Row) error {
		for i := range rows {
			if why, refused := reasons[first+int64(i)]; refused {
				rows[i].ReplayRun, rows[i].ReplayReasons = run, why
			}
		}
		_, err := writer.Write(rows)
		return err
	})
	if err == nil {
		err = writer.Close()
	}
	if err != nil {
		return fmt.Errorf("writing the reasons of run %s into %s: %w", run, c.url(o.Key), err)
	}
	return c.replace(ctx, o, spool)
}

// replace puts an object in the place of the state that was read, and of no other.
func (c *Catalog) replace(ctx context.Context, o store.QuarantineObject, spool *Spool) error {
	there, err := c.Objects.StatObject(ctx, c.Bucket, o.Key, minio.StatObjectOptions{})
	if err != nil {
		return fmt.Errorf("looking at %s: %w", c.url(o.Key), err)
	}
	size, err := spool.Seek(0, io.SeekEnd)
	if err == nil {
		_, err = spool.Seek(0, io.SeekStart)
	}
	if err != nil {
		return fmt.Errorf("reading a temporary file: %w", err)
	}
	// the metadata tells the stream that writes the object how far it reaches
	options := minio.PutObjectOptions{ContentType: there.ContentType, UserMetadata: there.UserMetadata, DisableMultipart: true}
	options.SetMatchETag(o.ETag)
	info, err := c.Objects.PutObject(ctx, c.Bucket, o.Key, spool, size, options)
	if err != nil {
		if status := minio.ToErrorResponse(err).StatusCode; status == http.StatusPreconditionFailed || status == http.StatusConflict {
			err = ErrChanged
		}
		return fmt.Errorf("writing %s: %w", c.url(o.Key), err)
	}
	if there, err = c.Objects.StatObject(ctx, c.Bucket, o.Key, minio.StatObjectOptions{}); err != nil {
		return fmt.Errorf("looking at %s: %w", c.url(o.Key), err)
	}
	o.ETag, o.Bytes, o.ModifiedAt = info.ETag, size, there.LastModified.UTC()
	return c.register(ctx, o)
}
