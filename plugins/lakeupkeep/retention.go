package lakeupkeep

import (
	"context"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/redpanda-data/benthos/v4/public/service"

	"github.com/shop-connect/shop-connect/internal/progress"
	"github.com/shop-connect/shop-connect/internal/store"
)

// page is how many objects are removed at a time, the most that a store takes in one request.
const page = 1000

type retainer struct {
	retentionConfig
	now func() time.Time
}

var _ service.Processor = (*retainer)(nil)

// removed is what went of a layer, or would go.
type removed struct {
	Objects int64 `json:"objects"`
	Bytes   int64 `json:"bytes"`
	// Kept are old objects that stay: they wait for STAGE, or hold open rows.
	Kept int64 `json:"kept"`
}

// retentionReport is what a message becomes.
type retentionReport struct {
	DryRun     bool             `json:"dry_run"`
	Raw        removed          `json:"raw"`
	Stage      removed          `json:"stage"`
	Quarantine removed          `json:"quarantine"`
	Ledgers    map[string]int64 `json:"ledgers"`
}

func (r *retentionReport) String() string {
	verb := "removed"
	if r.DryRun {
		verb = "would remove"
	}
	rows := int64(0)
	for _, n := range r.Ledgers {
		rows += n
	}
	var text strings.Builder
	text.WriteString(verb)
	for _, layer := range []struct {
		name string
		removed
	}{{"RAW", r.Raw}, {"STAGE", r.Stage}, {"quarantine", r.Quarantine}} {
		fmt.Fprintf(&text, " %s objects of %s (%s bytes, %d old ones kept),", progress.Thousands(layer.Objects), layer.name, progress.Thousands(layer.Bytes), layer.Kept)
	}
	fmt.Fprintf(&text, " %s rows of ledgers", progress.Thousands(rows))
	return text.String()
}

// Process removes what is too old.
func (p *retainer) Process(ctx context.Context, msg *service.Message) (service.MessageBatch, error) {
	if err := p.open(ctx); err != nil {
		return nil, err
	}
	run, _ := msg.MetaGet(store.MetaRunID)
	w := &retention{retainer: p, run: run, report: retentionReport{DryRun: p.dryRun, Ledgers: map[string]int64{}}}
	for _, entity := range p.entities() {
		for _, layer := range []func(context.Context, string) error{w.retainRaw, w.retainStage, w.retainQuarantine} {
			if err := layer(ctx, entity); err != nil {
				return nil, err
			}
			if err := p.tell(ctx, run, w.report.String()); err != nil {
				return nil, err
			}
		}
	}
	if err := w.end(ctx); err != nil {
		return nil, err
	}
	body, err := json.Marshal(w.report)
	if err != nil {
		return nil, fmt.Errorf("reporting what was removed: %w", err)
	}
	msg.SetBytes(body)
	return service.MessageBatch{msg}, nil
}

// retention is the work on one message.
type retention struct {
	*retainer
	run    string
	report retentionReport
}

func (w *retention) horizon(keep days) store.Horizon {
	return store.Horizon{Time: w.now().UTC().AddDate(0, 0, -int(keep))}
}

func (w *retention) end(ctx context.Context) error {
	if w.keepLedgers > 0 {
		pruned, err := w.store.PruneLedgers(ctx, w.horizon(w.keepLedgers).Time, w.dryRun)
		if err != nil {
			return err
		}
		w.report.Ledgers = pruned
	}
	if w.run == "" {
		return nil
	}
	counts := store.Counts{}
	gone := w.report.Raw.Objects + w.report.Stage.Objects + w.report.Quarantine.Objects
	if w.dryRun || gone == 0 {
		counts.ObjectsUnchanged = max(gone, 1) // a run is to know that its message was looked at
	}
	if err := w.store.AddToRun(ctx, w.run, counts); err != nil {
		return err
	}
	return w.tell(ctx, w.run, w.report.String())
}

// count enters what is gone.
func (w *retention) count(ctx context.Context, layer *removed, objects, bytes int64) error {
	layer.Objects += objects
	layer.Bytes += bytes
	if w.run == "" || w.dryRun {
		return nil
	}
	return w.store.AddToRun(ctx, w.run, store.Counts{Objects: objects, Bytes: bytes})
}

// retainRaw goes by the ledger: what it does not have is not in STAGE.
func (w *retention) retainRaw(ctx context.Context, entity string) error {
	if w.keepRaw == 0 {
		return nil
	}
	h, behind := w.horizon(w.keepRaw), ""
	kept, err := w.store.ExpiredPending(ctx, w.raw, entity, h)
	if err != nil {
		return err
	}
	w.report.Raw.Kept += kept
	for {
		expired, err := w.store.ExpiredRaw(ctx, w.raw, entity, h, behind, page)
		if err != nil || len(expired) == 0 {
			return err
		}
		if err := w.expire(ctx, expired); err != nil {
			return err
		}
		behind = expired[len(expired)-1].Key
	}
}

// expire removes a page of RAW. Keys that are next to each other are found by one listing.
func (w *retention) expire(ctx context.Context, expired []store.RawObject) error {
	there, err := w.present(ctx, expired)
	if err != nil {
		return err
	}
	var settled []store.RawObject
	sizes := map[string]int64{}
	for _, o := range expired {
		// I4: one that was overwritten is not what is in STAGE, though the ledger has not heard of it
		if etag, found := there[o.Key]; found && etag != o.ETag {
			w.report.Raw.Kept++
			continue
		} else if found {
			sizes[o.Key] = o.Size
		}
		settled = append(settled, o)
	}
	if w.dryRun {
		for _, size := range sizes {
			w.report.Raw.Objects++
			w.report.Raw.Bytes += size
		}
		return nil
	}
	gone, err := w.store.ExpireRaw(ctx, settled, w.run, func(ctx context.Context, keys []string) (c store.Counts, err error) {
		var present []string
		for _, key := range keys {
			if size, found := sizes[key]; found {
				present = append(present, key)
				c.Objects, c.Bytes = c.Objects+1, c.Bytes+size
			}
		}
		return c, w.remove(ctx, w.raw, present)
	})
	w.report.Raw.Objects += gone.Objects
	w.report.Raw.Bytes += gone.Bytes
	return err
}

// present returns the ETags of those objects that are in the bucket, by listing the parts of folders that
// they are in.
func (w *retention) present(ctx context.Context, objects []store.RawObject) (map[string]string, error) {
	folders := map[string][]string{}
	for _, o := range objects {
		folder := o.Key[:strings.LastIndexByte(o.Key, '/')+1]
		folders[folder] = append(folders[folder], o.Key)
	}
	there := map[string]string{}
	for folder, keys := range folders {
		slices.Sort(keys) // as the store does, whatever the collation of the database
		first, last := keys[0], keys[len(keys)-1]
		options := minio.ListObjectsOptions{Prefix: folder, StartAfter: first[:len(first)-1], Recursive: true}
		err := w.list(ctx, w.raw, options, func(info minio.ObjectInfo) error {
			if info.Key > last {
				return errEnough
			}
			if _, wanted := slices.BinarySearch(keys, info.Key); wanted {
				there[info.Key] = info.ETag
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	return there, nil
}

// dayFolder finds the business day that is in a key.
var dayFolder = regexp.MustCompile(`=(\d{4}-\d{2}-\d{2})/`)

// retainStage goes by the bucket: whatever is of an old day goes, whoever wrote it.
func (w *retention) retainStage(ctx context.Context, entity string) error {
	if w.keepStage == 0 {
		return nil
	}
	h := w.horizon(w.keepStage)
	var old []minio.ObjectInfo
	flush := func() error {
		err := w.clearStage(ctx, entity, old)
		old = old[:0]
		return err
	}
	err := w.list(ctx, w.stage, minio.ListObjectsOptions{Prefix: entity + "/", Recursive: true}, func(info minio.ObjectInfo) error {
		expired := info.LastModified.Before(h.Time)
		if day := dayFolder.FindStringSubmatch(info.Key); day != nil {
			expired = day[1] < h.Day()
		}
		if !expired || hidden(info.Key) {
			return nil
		}
		if old = append(old, info); len(old) < page {
			return nil
		}
		return flush()
	})
	if err != nil {
		return err
	}
	return flush()
}

func (w *retention) clearStage(ctx context.Context, entity string, old []minio.ObjectInfo) error {
	var keys []string
	var bytes int64
	for _, info := range old {
		keys, bytes = append(keys, info.Key), bytes+info.Size
	}
	if !w.dryRun && len(keys) > 0 {
		if err := w.remove(ctx, w.stage, keys); err != nil {
			return err
		}
		if err := w.store.ForgetStageKeys(ctx, entity, keys); err != nil {
			return err
		}
	}
	return w.count(ctx, &w.report.Stage, int64(len(keys)), bytes)
}
