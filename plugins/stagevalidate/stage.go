package stagevalidate

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"path"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/minio/minio-go/v7"

	"github.com/shop-connect/shop-connect/internal/quarantine"
	"github.com/shop-connect/shop-connect/internal/store"
)

const (
	parquetType = "application/vnd.apache.parquet"
	// singlePutBytes are worth sending again as a whole where a connection breaks.
	singlePutBytes = 256 << 20
	// copyBytes is what S3 copies in one request.
	copyBytes = 5 << 30
	// changeAttempts bounds how often an object is begun again because it was overwritten meanwhile.
	changeAttempts = 3
)

// large lets as many large objects through at a time as there are processors to work on them: each takes
// memory for a row group. Small ones wait for the store most of the time, and many may do so at once.
var large = make(chan struct{}, runtime.GOMAXPROCS(0))

// stage takes one object into STAGE, as it is now: it may have been overwritten since it was listed.
func (p *processor) stage(ctx context.Context, o object, run string) (report, error) {
	o.listed = o.etag
	for attempt := 1; ; attempt++ {
		r, err := p.stageOnce(ctx, o, run)
		if errors.Is(err, errGone) {
			return p.gone(ctx, o, run)
		}
		if !errors.Is(err, errChanged) || attempt == changeAttempts {
			return r, err
		}
		now, there, err := p.look(ctx, o)
		if err != nil {
			return report{}, err
		}
		if !there {
			return p.gone(ctx, o, run)
		}
		o.seen = time.Now()
		o.etag, o.size = now.ETag, now.Size
	}
}

// look asks the store for the present state of an object.
func (p *processor) look(ctx context.Context, o object) (now minio.ObjectInfo, there bool, err error) {
	now, err = p.client.StatObject(ctx, o.bucket, o.key, minio.StatObjectOptions{})
	if err != nil && minio.ToErrorResponse(err).Code == minio.NoSuchKey {
		return now, false, nil
	}
	if err != nil {
		return now, false, fmt.Errorf("looking at s3://%s/%s: %w", o.bucket, o.key, p.cfg.objects.Explain(err, o.bucket))
	}
	return now, true, nil
}

// gone reports an object that retention, or somebody, took away before it was read.
func (p *processor) gone(ctx context.Context, o object, run string) (report, error) {
	err := p.store.ForgetRaw(ctx, o.name(), func(ctx context.Context) (bool, error) {
		_, there, err := p.look(ctx, o)
		return !there, err
	})
	if err != nil {
		return report{}, err
	}
	return report{Key: o.key, Unchanged: true}, p.count(ctx, run, store.Counts{ObjectsUnchanged: 1})
}

// known reports an object that was staged in this state by someone else meanwhile.
func (p *processor) known(ctx context.Context, o object, run string) (report, error) {
	if err := p.store.SettleRaw(ctx, o.name()); err != nil {
		return report{}, err
	}
	return report{Key: o.key, Unchanged: true}, p.count(ctx, run, store.Counts{ObjectsUnchanged: 1})
}

func (p *processor) count(ctx context.Context, run string, c store.Counts) error {
	if run == "" {
		return nil
	}
	return p.store.AddToRun(ctx, run, c)
}

func (p *processor) stageOnce(ctx context.Context, o object, run string) (report, error) {
	r, err := p.stageRows(ctx, o, run)
	if f, ok := errors.AsType[fault](err); ok {
		return p.refuseObject(ctx, o, run, f)
	}
	return r, err
}

// stageRows holds the rows of an object against the contract and writes the good and the refused ones.
func (p *processor) stageRows(ctx context.Context, o object, run string) (report, error) {
	leave, err := enter(ctx, o)
	if err != nil {
		return report{}, err
	}
	defer leave()
	src, err := newSource(ctx, p.client, o)
	if err != nil {
		return report{}, p.cfg.objects.Explain(err, o.bucket)
	}
	f, err := openFile(src, o.layout)
	if err != nil {
		return report{}, err
	}
	var own *spool
	if f.foreign {
		if f, own, err = f.converted(p.cfg.compression); err != nil {
			return report{}, err
		}
		defer own.close()
	}
	place, err := f.readPlace()
	if err != nil {
		return report{}, err
	}
	day := strings.TrimSuffix(path.Dir(o.rest()), ".")
	lock, err := p.store.LockStage(ctx, store.Slice{Entity: o.entity(), Topic: place.topic, Partition: place.partition, Day: day, Key: o.key})
	if err != nil {
		return report{}, err
	}
	defer lock.Release()
	// another worker may have had the lock, and the same object, before
	if known, err := lock.Known(ctx, o.name()); err != nil {
		return report{}, err
	} else if known {
		return p.known(ctx, o, run)
	}
	var staged []store.Range
	if place.topic != "" {
		if staged, err = lock.Ranges(ctx, place.offsets); err != nil {
			return report{}, err
		}
	}
	x := &examiner{file: f, place: place, compression: p.cfg.compression, now: p.now(), directory: p.directory}
	found, err := x.examine(staged)
	defer found.close()
	if err != nil {
		return report{}, err
	}
	leave() // what is left takes no memory: the store copies, or a file on disk is put
	return p.write(ctx, lock, o, run, p.plan(o, place, found, own))
}

// enter waits until there is memory for an object, and returns what says that it is free again.
func enter(ctx context.Context, o object) (leave func(), err error) {
	if o.size <= wholeBytes {
		return func() {}, nil
	}
	select {
	case large <- struct{}{}:
		return sync.OnceFunc(func() { <-large }), nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// plan is what is to be written for an object.
type plan struct {
	entry store.StagedObject
	// A target is written where its key is not empty.
	stage, quarantine store.Target
	writeStage        func(ctx context.Context) error
	writeQuarantine   func(ctx context.Context) error
	// replaced is an object that no longer has any row.
	replaced *store.Target
}

// plan names what is written. The names follow from the rows alone, so that whoever repeats an attempt
// that crashed writes over what it left.
//
// own is the object in STAGE's form where it came in another.
func (p *processor) plan(o object, from place, found examination, own *spool) plan {
	entity, rest := o.entity(), o.rest()
	name, flat := path.Base(rest), strings.ReplaceAll(rest, "/", "_")
	if from.topic != "" && found.fresh != nil {
		name = from.topic + "-" + strconv.Itoa(int(from.partition)) + "-" + strconv.FormatInt(found.fresh.First, 10) + ".parquet"
		flat = name
	}
	pl := plan{entry: store.StagedObject{Counts: found.counts, Warnings: found.warnings, Range: found.fresh}}
	pl.entry.Bytes = o.size
	pl.entry.Replaces = from.topic == ""
	target := store.Target{Bucket: p.cfg.bucket, Key: path.Join(entity, path.Dir(rest), name)}
	switch {
	case found.counts.RowsOut > 0:
		pl.stage = target
		pl.writeStage = func(ctx context.Context) error {
			switch {
			case found.partial != nil:
				return p.put(ctx, found.partial, target)
			case own != nil:
				return p.put(ctx, own, target)
			}
			return p.copy(ctx, o, target, nil)
		}
	case from.topic == "":
		pl.replaced = &target
	}
	if found.refused != nil {
		pl.quarantine = store.Target{Bucket: p.cfg.quarantine, Key: path.Join(
			entity, "layer="+quarantine.LayerStage, "date="+p.now().UTC().Format(time.DateOnly), flat)}
		pl.writeQuarantine = func(ctx context.Context) error { return p.put(ctx, found.refused.spool, pl.quarantine) }
	}
	return pl
}

// refuseObject sets an object aside as it is.
func (p *processor) refuseObject(ctx context.Context, o object, run string, why fault) (report, error) {
	lock, err := p.store.LockStage(ctx, store.Slice{Entity: o.entity(), Key: o.key})
	if err != nil {
		return report{}, err
	}
	defer lock.Release()
	if known, err := lock.Known(ctx, o.name()); err != nil {
		return report{}, err
	} else if known {
		return p.known(ctx, o, run)
	}
	pl := plan{entry: store.StagedObject{Fault: why.reason, Counts: store.Counts{ObjectsRefused: 1, Bytes: o.size}}}
	pl.quarantine = store.Target{Bucket: p.cfg.quarantine, Key: path.Join(
		o.entity(), "layer="+quarantine.LayerStage, "objects", o.rest())}
	pl.writeQuarantine = func(ctx context.Context) error {
		return p.copy(ctx, o, pl.quarantine, map[string]string{quarantine.MetaFault: quarantine.EncodeFault(why.reason)})
	}
	return p.write(ctx, lock, o, run, pl)
}

// write carries a plan out: a note of what is about to be written, the objects, the ledger. A crash
// before the ledger leaves a note, by which the next attempt finds what it must overwrite or remove.
func (p *processor) write(ctx context.Context, lock *store.StageLock, o object, run string, pl plan) (report, error) {
	var targets []store.Target
	for _, t := range []store.Target{pl.stage, pl.quarantine} {
		if t.Key != "" {
			targets = append(targets, t)
		}
	}
	orphans, err := lock.Intend(ctx, o.key, targets)
	if err != nil {
		return report{}, err
	}
	// I3: what a crash left may hold the rows that are written now, in STAGE or in quarantine
	if err := p.remove(ctx, orphans...); err != nil {
		return report{}, err
	}
	for _, write := range []func(context.Context) error{pl.writeStage, pl.writeQuarantine} {
		if write == nil {
			continue
		}
		if err := write(ctx); err != nil {
			return report{}, err
		}
	}
	if pl.replaced != nil {
		if err := p.remove(ctx, *pl.replaced); err != nil {
			return report{}, err
		}
	}
	pl.entry.Object = o.name()
	pl.entry.RunID, pl.entry.Objects = run, 1
	pl.entry.StageKey, pl.entry.QuarantineKey = pl.stage.Key, pl.quarantine.Key
	if err := lock.Commit(ctx, pl.entry); err != nil { // I3, I4
		return report{}, err
	}
	c := pl.entry.Counts
	return report{
		Key: o.key, RowsIn: c.RowsIn, RowsOut: c.RowsOut, RowsRefused: c.RowsRefused, RowsSkipped: c.RowsSkipped,
		StageKey: pl.stage.Key, QuarantineKey: pl.quarantine.Key, Fault: pl.entry.Fault, Warnings: pl.entry.Warnings,
	}, nil
}

func (p *processor) remove(ctx context.Context, targets ...store.Target) error {
	for _, target := range targets {
		err := p.client.RemoveObject(ctx, target.Bucket, target.Key, minio.RemoveObjectOptions{})
		if err != nil && minio.ToErrorResponse(err).Code != minio.NoSuchBucket {
			return fmt.Errorf("removing s3://%s/%s, whose rows are elsewhere now: %w", target.Bucket, target.Key, p.cfg.objects.Explain(err, target.Bucket))
		}
	}
	return nil
}

// copy lets the store copy an object, in the state that was read.
func (p *processor) copy(ctx context.Context, o object, to store.Target, metadata map[string]string) error {
	destination := minio.CopyDestOptions{Bucket: to.Bucket, Object: to.Key, ReplaceMetadata: metadata != nil, UserMetadata: metadata}
	source := minio.CopySrcOptions{Bucket: o.bucket, Object: o.key, MatchETag: o.etag}
	var err error
	if o.size <= copyBytes {
		_, err = p.client.CopyObject(ctx, destination, source)
	} else {
		_, err = p.client.ComposeObject(ctx, destination, source)
	}
	switch minio.ToErrorResponse(err).StatusCode {
	case http.StatusPreconditionFailed:
		return errChanged
	case http.StatusNotFound:
		if minio.ToErrorResponse(err).Code == minio.NoSuchKey {
			return errGone
		}
	}
	if err != nil {
		return fmt.Errorf("copying s3://%s/%s to s3://%s/%s: %w", o.bucket, o.key, to.Bucket, to.Key, p.cfg.objects.Explain(err, to.Bucket))
	}
	return nil
}

func (p *processor) put(ctx context.Context, from *spool, to store.Target) error {
	reader, err := from.reader()
	if err != nil {
		return err
	}
	// a checksum that processors know by themselves, instead of a signature over the bytes. In one request: a
	// store puts the parts of several together by copying them
	options := minio.PutObjectOptions{
		ContentType: parquetType, DisableContentSha256: true, DisableMultipart: from.size <= singlePutBytes,
	}
	if options.DisableMultipart {
		options.UserMetadata = map[string]string{"X-Amz-Checksum-Crc32c": from.checksum()}
	}
	if _, err := p.client.PutObject(ctx, to.Bucket, to.Key, reader, from.size, options); err != nil {
		return fmt.Errorf("writing s3://%s/%s: %w", to.Bucket, to.Key, p.cfg.objects.Explain(err, to.Bucket))
	}
	return nil
}
