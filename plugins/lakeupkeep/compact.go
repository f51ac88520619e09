package lakeupkeep

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/redpanda-data/benthos/v4/public/service"

	"github.com/shop-connect/shop-connect/internal/parquetfile"
	"github.com/shop-connect/shop-connect/internal/progress"
	"github.com/shop-connect/shop-connect/internal/store"
)

type compactor struct {
	compactConfig
	now func() time.Time
}

var _ service.Processor = (*compactor)(nil)

// damage is an object that was left alone, and why.
type damage struct {
	Key    string `json:"key"`
	Reason string `json:"reason"`
}

// compactReport is what a message becomes.
type compactReport struct {
	Layer store.Layer `json:"layer"`
	// Merged objects became Into objects, of as many Rows.
	Merged int64 `json:"merged"`
	Into   int64 `json:"into"`
	Rows   int64 `json:"rows"`
	// Repeated rows were in more than one of the objects.
	Repeated int64    `json:"repeated"`
	Bytes    int64    `json:"bytes"`
	Left     int64    `json:"left"`
	Damaged  []damage `json:"damaged,omitempty"`
}

func (r *compactReport) add(c *store.Compaction) {
	r.Merged += int64(len(c.Sources))
	r.Into++
	r.Rows += c.Rows
	r.Repeated += c.Repeated
	r.Bytes += c.Bytes
}

func (r *compactReport) String() string {
	text := fmt.Sprintf("%s objects of %s merged into %s", progress.Thousands(r.Merged), r.Layer, progress.Thousands(r.Into))
	if len(r.Damaged) > 0 {
		text += fmt.Sprintf("; %d damaged ones left alone, the first is %s: %s", len(r.Damaged), r.Damaged[0].Key, r.Damaged[0].Reason)
	}
	return text
}

// Process merges what there is to merge.
func (p *compactor) Process(ctx context.Context, msg *service.Message) (service.MessageBatch, error) {
	if err := p.open(ctx); err != nil {
		return nil, err
	}
	run, _ := msg.MetaGet(store.MetaRunID)
	w := &compaction{compactor: p, run: run, report: compactReport{Layer: p.layer}}
	for _, entity := range p.entities() {
		w.layout = p.layouts[entity]
		if err := w.finishOpen(ctx, entity); err != nil {
			return nil, err
		}
		if err := w.compactEntity(ctx, entity); err != nil {
			return nil, err
		}
	}
	if err := w.end(ctx); err != nil {
		return nil, err
	}
	body, err := json.Marshal(w.report)
	if err != nil {
		return nil, fmt.Errorf("reporting a compaction: %w", err)
	}
	msg.SetBytes(body)
	return service.MessageBatch{msg}, nil
}

// compaction is the work on one message.
type compaction struct {
	*compactor
	run    string
	layout *parquetfile.Layout // of the entity at hand
	report compactReport
}

// end enters what was not merged; what was is in the ledger already.
func (w *compaction) end(ctx context.Context) error {
	if w.run == "" {
		return nil
	}
	counts := store.Counts{ObjectsRefused: int64(len(w.report.Damaged)), ObjectsUnchanged: w.report.Left}
	if w.report.Merged == 0 && w.report.Left == 0 {
		counts.ObjectsUnchanged = 1 // the message itself: a run is to know that it was looked at
	}
	if err := w.store.AddToRun(ctx, w.run, counts); err != nil {
		return err
	}
	return w.tell(ctx, w.run, w.report.String())
}

// placed is how objects are named that hold rows of one partition: by the topic, the partition and the
// first offset, or, where they were merged, by the last offset, an id and the first offset.
var placed = regexp.MustCompile(`^([a-zA-Z0-9_-][a-zA-Z0-9._-]*)-(\d+)-(?:c\d{19}-[0-9a-f]{32}-)?(\d+)\.parquet$`)

// object is an object of a slice.
type object struct {
	key, etag string
	size      int64
	modified  time.Time
	first     int64
}

// place reads the slice and the first offset off a key; ok is false for what is named otherwise, such as
// exports, of which a later one replaces the whole.
func (w *compaction) place(entity, key string) (slice store.Slice, first int64, ok bool) {
	rest := strings.TrimPrefix(key, entity+"/")
	parts := placed.FindStringSubmatch(path.Base(rest))
	if parts == nil || hidden(rest) {
		return slice, 0, false
	}
	partition, err := strconv.ParseInt(parts[2], 10, 32)
	if err != nil {
		return slice, 0, false
	}
	first, err = strconv.ParseInt(parts[3], 10, 64)
	day := strings.TrimSuffix(path.Dir(rest), ".")
	return store.Slice{Entity: entity, Topic: parts[1], Partition: int32(partition), Day: day}, first, err == nil
}

// prefixOf is what keys of a slice begin with.
func prefixOf(s store.Slice) string {
	return path.Join(s.Entity, s.Day, s.Topic+"-"+strconv.Itoa(int(s.Partition))+"-")
}

// compactEntity goes through the folders of an entity, so that one folder's names are in memory and not all.
func (w *compaction) compactEntity(ctx context.Context, entity string) error {
	var folders []string
	small := map[store.Slice]int{}
	count := func(info minio.ObjectInfo) {
		if slice, _, ok := w.place(entity, info.Key); ok && w.isSmall(info.Size) {
			small[slice]++
		}
	}
	err := w.list(ctx, w.bucket, minio.ListObjectsOptions{Prefix: entity + "/"}, func(info minio.ObjectInfo) error {
		switch folder := strings.HasSuffix(info.Key, "/"); {
		case folder && (w.day == "" || strings.HasSuffix(info.Key, "="+w.day+"/")):
			folders = append(folders, info.Key)
		case !folder && w.day == "":
			count(info)
		}
		return nil
	})
	if err != nil {
		return err
	}
	for next := 0; ; next++ {
		for _, slice := range slices.SortedFunc(maps.Keys(small), bySlice) {
			if small[slice] < w.minObjects {
				w.report.Left += int64(small[slice])
				continue
			}
			if err := w.compactSlice(ctx, slice); err != nil {
				return err
			}
		}
		if next == len(folders) {
			return nil
		}
		clear(small)
		err := w.list(ctx, w.bucket, minio.ListObjectsOptions{Prefix: folders[next], Recursive: true}, func(info minio.ObjectInfo) error {
			count(info)
			return nil
		})
		if err != nil {
			return err
		}
	}
}

func (w *compaction) isSmall(size int64) bool { return size < w.target/2 }

// compactSlice merges what can be merged of one slice. Its lock keeps out whoever stages the slice, and
// other compactions.
func (w *compaction) compactSlice(ctx context.Context, slice store.Slice) error {
	lock, err := w.store.LockStage(ctx, slice)
	if err != nil {
		return err
	}
	defer lock.Release()
	objects, err := w.objectsOf(ctx, slice)
	if err != nil {
		return err
	}
	keys := make([]string, len(objects))
	for i, o := range objects {
		keys[i] = o.key
	}
	mergeable, err := w.store.Mergeable(ctx, w.layer, w.bucket, slice.Entity, keys)
	if err != nil {
		return err
	}
	var at *merge
	defer func() { at.discard() }()
	end := func() (err error) {
		if at != nil {
			err = w.finish(ctx, lock, at)
			at.discard()
			at = nil
		}
		return err
	}
	for _, o := range objects {
		known, ok := mergeable[o.key]
		if !ok || (known != "" && known != o.etag) || !w.isSmall(o.size) || w.now().Sub(o.modified) < w.settled {
			// I4: nothing is merged across an object that stays, so that a merged one, too, holds all rows of
			// its partition and day between its first and its last
			w.report.Left++
			if err := end(); err != nil {
				return err
			}
			continue
		}
		if at != nil && at.taken+o.size > w.target {
			if err := end(); err != nil {
				return err
			}
		}
		if err := w.add(ctx, &at, slice, o, end); err != nil {
			return err
		}
	}
	return end()
}

// add takes an object into the merge at hand, or begins another with it.
func (w *compaction) add(ctx context.Context, at **merge, slice store.Slice, o object, end func() error) error {
	content, err := w.read(ctx, o)
	if errors.Is(err, errMoved) {
		w.report.Left++
		return end()
	}
	if err != nil {
		return err
	}
	for {
		if *at == nil {
			if *at, err = newMerge(w.layout, slice); err != nil {
				return err
			}
		}
		switch err := (*at).add(o, content); {
		case errors.Is(err, errBackwards) && len((*at).sources) > 0:
			if err := end(); err != nil {
				return err
			}
		case errors.Is(err, errElsewhere):
			w.report.Left++
			return end()
		case isFault(err):
			w.report.Damaged = append(w.report.Damaged, damage{o.key, err.Error()})
			return end()
		default:
			return err
		}
	}
}

// objectsOf lists a slice in the order of first offsets.
func (w *compaction) objectsOf(ctx context.Context, slice store.Slice) ([]object, error) {
	var objects []object
	err := w.list(ctx, w.bucket, minio.ListObjectsOptions{Prefix: prefixOf(slice), Recursive: true}, func(info minio.ObjectInfo) error {
		if at, first, ok := w.place(slice.Entity, info.Key); ok && at == slice {
			objects = append(objects, object{info.Key, info.ETag, info.Size, info.LastModified, first})
		}
		return nil
	})
	slices.SortFunc(objects, func(a, b object) int { return cmp.Or(cmp.Compare(a.first, b.first), cmp.Compare(a.key, b.key)) })
	return objects, err
}

func bySlice(a, b store.Slice) int {
	return cmp.Or(cmp.Compare(a.Day, b.Day), cmp.Compare(a.Topic, b.Topic), cmp.Compare(a.Partition, b.Partition))
}
