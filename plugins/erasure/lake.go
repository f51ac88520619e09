package erasure

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"path"
	"strings"

	"github.com/shop-connect/shop-connect/internal/quarantine"
	"github.com/shop-connect/shop-connect/internal/quarantine/catalog"
	"github.com/shop-connect/shop-connect/internal/quarantine/replay"
	"github.com/shop-connect/shop-connect/internal/store"
	"github.com/shop-connect/shop-connect/plugins/lakeupkeep"
)

// maxPasses bounds how often the lake is looked over; each pass but the first reads what has changed.
const maxPasses = 10

// eraseFromLake looks over RAW, STAGE and quarantine until a pass finds nothing and learns nothing.
func (e *erasure) eraseFromLake(ctx context.Context) error {
	// who replays refused rows reads them, and sends them on repaired
	lock, err := e.lockReplays(ctx)
	if err != nil {
		return err
	}
	defer lock.Release()
	for range maxPasses {
		before := e.report.counts().Objects
		// whoever had read an object before it was rewritten, and waited for its lock, is through behind this
		for slice := range e.slices {
			l, err := e.store.LockStage(ctx, slice)
			if err != nil {
				return err
			}
			l.Release()
		}
		if err := e.pass(ctx); err != nil {
			return err
		}
		learnt := e.person.learnt
		if learnt {
			clear(e.clean) // rows of nobody may be the person's
		}
		if err := e.keepClues(ctx); err != nil {
			return err
		}
		if !learnt && e.report.counts().Objects == before {
			return nil
		}
	}
	return errors.New("objects of the person keep coming: stop who writes them, and start the erasure again")
}

func (e *erasure) lockReplays(ctx context.Context) (lock *store.Lock, err error) {
	err = e.await(ctx, func(ctx context.Context) (string, error) {
		lock, err = e.store.LockRun(ctx, replay.RunName, false)
		if errors.Is(err, store.ErrBusy) {
			return "a replay of refused rows is at work; it may be cancelled", nil
		}
		return "", err
	})
	return lock, err
}

func (e *erasure) pass(ctx context.Context) error {
	for _, layer := range []struct {
		name, bucket string
		layer        store.Layer
	}{{layerRaw, e.cfg.raw, store.LayerRaw}, {layerStage, e.cfg.stage, store.LayerStage}} {
		for _, entity := range e.referring() {
			err := lakeupkeep.FinishMerges(ctx, e.cfg.objects, e.objects, e.store, layer.layer, layer.bucket, entity)
			if err != nil {
				return err
			}
			err = e.eachObject(ctx, layer.bucket, entity+"/", func(o object) error {
				return e.fresh(ctx, o, func(o object) error { return e.lakeObject(ctx, layer.name, layer.layer, entity, o) })
			})
			if err != nil {
				return err
			}
		}
	}
	return e.eachObject(ctx, e.cfg.quarantine, "", func(o object) error {
		return e.fresh(ctx, o, func(o object) error { return e.refusedObject(ctx, o) })
	})
}

// lakeObject erases from an object of RAW or STAGE, under the lock by which it is staged and merged.
func (e *erasure) lakeObject(ctx context.Context, name string, layer store.Layer, entity string, o object) error {
	at, err := e.open(ctx, o)
	if err != nil {
		return err
	}
	t, err := openTable(at, o.size)
	if err != nil {
		lock, err := e.store.LockStage(ctx, store.Slice{Entity: entity, Key: o.key})
		if err != nil {
			return err
		}
		defer lock.Release()
		return e.plainObject(ctx, name, o, func(etag string, size int64) error {
			return lock.Rewritten(ctx, store.Object{Bucket: o.bucket, Entity: entity, Key: o.key, ETag: o.etag}, etag, size)
		})
	}
	edit := e.person.lakeEditor(entity)
	n, err := t.count(func(number int) (bool, error) {
		refers, err := t.mayRefer(number, e.person.id)
		return !refers, err
	}, edit)
	if err != nil {
		return e.damagedObject(name, o, err)
	}
	d := e.report.Layers[name]
	d.Looked++
	if n == 0 {
		e.clean[o.url()] = o.etag
		return nil
	}
	slice := sliceOf(t, entity, o.key)
	lock, err := e.lockSlice(ctx, layer, slice, o.bucket)
	if err != nil {
		return err
	}
	defer lock.Release()
	content, err := e.read(ctx, o)
	if err != nil {
		return err
	}
	if t, err = openTable(bytes.NewReader(content), o.size); err != nil {
		return fmt.Errorf("reading %s again: %w", o.url(), err)
	}
	if content, err = t.edited(e.cfg.layouts[entity], edit); err != nil {
		return fmt.Errorf("rewriting %s: %w", o.url(), err)
	}
	etag, err := e.replace(ctx, o, content)
	if err != nil {
		return err
	}
	if layer == store.LayerRaw {
		if err := lock.Rewritten(ctx, store.Object{Bucket: o.bucket, Entity: entity, Key: o.key, ETag: o.etag}, etag, int64(len(content))); err != nil {
			return err
		}
	}
	e.slices[slice] = true
	e.rewritten(d, o, etag, n, len(content))
	return nil
}

func (e *erasure) rewritten(d *done, o object, etag string, rows int64, size int) {
	e.clean[o.url()] = etag
	d.Rows += rows
	d.Objects++
	d.Bytes += int64(size)
}

// lockSlice takes the lock of a slice of which no merge is half done: the sources of one are removed in the
// states that it has noted, and a source that is rewritten would stay beside what it was merged into (I3).
func (e *erasure) lockSlice(ctx context.Context, layer store.Layer, slice store.Slice, bucket string) (*store.StageLock, error) {
	lock, err := e.store.LockStage(ctx, slice)
	if err != nil {
		return nil, err
	}
	open, err := lock.MergeOpen(ctx, layer, bucket)
	if err == nil && !open {
		return lock, nil
	}
	lock.Release()
	if err != nil {
		return nil, err
	}
	if err := lakeupkeep.FinishMerges(ctx, e.cfg.objects, e.objects, e.store, layer, bucket, slice.Entity); err != nil {
		return nil, err
	}
	return nil, errMoved // the merge may have removed the object
}

// plainObject erases from an object that nobody could take for rows: lines that hold a clue are blanked out.
func (e *erasure) plainObject(ctx context.Context, name string, o object, note func(etag string, size int64) error) error {
	content, err := e.read(ctx, o)
	if err != nil {
		return err
	}
	d := e.report.Layers[name]
	d.Looked++
	blanked, lines := e.person.blank(content)
	if lines == 0 {
		if bytes.HasPrefix(content, []byte("PAR1")) {
			d.Unreadable++
		}
		e.clean[o.url()] = o.etag
		return nil
	}
	etag, err := e.replace(ctx, o, blanked)
	if err != nil {
		return err
	}
	e.rewritten(d, o, etag, lines, len(blanked))
	return note(etag, int64(len(blanked)))
}

// blank writes x over each line that holds a clue, the length of which stays.
func (p *person) blank(content []byte) (blanked []byte, lines int64) {
	for line := range bytes.Lines(content) {
		if !p.hasClue(line) {
			blanked = append(blanked, line...)
			continue
		}
		lines++
		for _, c := range line {
			if c != '\n' && c != '\r' {
				c = 'x'
			}
			blanked = append(blanked, c)
		}
	}
	return blanked, lines
}

// damagedObject is one that opens and cannot be decoded. Nobody reads it; it is counted for somebody to look at.
func (e *erasure) damagedObject(name string, o object, err error) error {
	if !errors.Is(err, errUnlike) {
		return err
	}
	d := e.report.Layers[name]
	d.Looked++
	d.Unreadable++
	e.clean[o.url()] = o.etag
	return nil
}

// wholeFolder is where objects are that were refused as a whole.
const wholeFolder = "/objects/"

// refusedObject erases from an object of the quarantine. Rows that were the person's are decided: there is
// nothing left to bring back.
func (e *erasure) refusedObject(ctx context.Context, o object) error {
	entity, _, _ := strings.Cut(o.key, "/")
	at, err := e.open(ctx, o)
	if err != nil {
		return err
	}
	t, err := openTable(at, o.size)
	if err != nil {
		return e.plainObject(ctx, layerQuarantine, o, func(string, int64) error { return nil })
	}
	places := store.Places{}
	edit := e.person.refusedEditor(entity, func(row *quarantine.Row, number int64) { places.Add(row.Place(o.key, number)) })
	if strings.Contains(o.key, wholeFolder) || path.Ext(o.key) != ".parquet" {
		edit = e.person.lakeEditor(entity)
	}
	n, err := t.count(func(int) (bool, error) { return false, nil }, edit)
	if err != nil {
		return e.damagedObject(layerQuarantine, o, err)
	}
	d := e.report.Layers[layerQuarantine]
	d.Looked++
	if n == 0 {
		e.clean[o.url()] = o.etag
		return nil
	}
	content, err := e.read(ctx, o)
	if err != nil {
		return err
	}
	if t, err = openTable(bytes.NewReader(content), o.size); err != nil {
		return fmt.Errorf("reading %s again: %w", o.url(), err)
	}
	if content, err = t.edited(nil, edit); err != nil {
		return fmt.Errorf("rewriting %s: %w", o.url(), err)
	}
	etag, err := e.replace(ctx, o, content)
	if err != nil {
		return err
	}
	e.rewritten(d, o, etag, n, len(content))
	return e.discard(ctx, entity, places)
}

// discard decides refused rows of customers, which have nothing left to bring back. Rows of purchases lost what
// their contract does not know, and wait on.
func (e *erasure) discard(ctx context.Context, entity string, places store.Places) error {
	if entity != entityCustomers || len(places) == 0 || e.run == "" {
		return nil
	}
	c := &catalog.Catalog{Store: e.store, Objects: e.objects, Bucket: e.cfg.quarantine}
	if err := c.Refresh(ctx, entity); err != nil {
		return err
	}
	decided, err := e.store.Decided(ctx, entity, places)
	if err != nil {
		return err
	}
	for space, numbers := range decided {
		if places[space] != nil {
			places[space].AndNot(numbers)
		}
	}
	return e.store.DecideRows(ctx, e.run, entity, store.Discarded, places, store.Counts{})
}
