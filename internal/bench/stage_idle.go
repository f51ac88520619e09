package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"time"

	"github.com/minio/minio-go/v7"
	"golang.org/x/sync/errgroup"

	"github.com/shop-connect/shop-connect/internal/env"
	"github.com/shop-connect/shop-connect/internal/store"
)

const (
	idleFolder = "purchases/stage_idle/"
	// idleKnown objects are in STAGE already as far as the ledger knows; idleReal of them are in the bucket.
	idleKnown, idleReal = 100_000, 10_000
	idleRuns            = 5
	idlePuts            = 16
)

// stageIdleStep starts the shipped batch stream where there is nothing to do, from outside, as a scheduler
// does; against what merely listing the objects takes, which is what a run without a ledger begins with.
func stageIdleStep() step {
	return step{
		name: "stage_idle", bareName: "listing the objects", alone: true, prepare: prepareIdle, run: runIdle,
		bare: listIdle, check: checkIdle,
	}
}

func prepareIdle(ctx context.Context, b *bench) error {
	client, err := openStore(b)
	if err != nil {
		return err
	}
	puts, writing := errgroup.WithContext(ctx)
	puts.SetLimit(idlePuts)
	content := []byte("known objects are not opened")
	for i := range idleReal {
		puts.Go(func() error {
			key := fmt.Sprintf("%sday=%03d/purchases-0-%d.parquet", idleFolder, i%300, i)
			_, err := client.PutObject(writing, rawBucket, key, bytes.NewReader(content), int64(len(content)), minio.PutObjectOptions{})
			return err
		})
	}
	if err := puts.Wait(); err != nil {
		return fmt.Errorf("putting objects: %w", err)
	}
	ledger, err := store.Open(ctx, b.up.Env[env.PostgresDSN])
	if err != nil {
		return err
	}
	defer ledger.Close()
	etag := ""
	listing, stop := context.WithCancel(ctx)
	defer stop()
	if object, found := <-client.ListObjects(listing, rawBucket, minio.ListObjectsOptions{Prefix: idleFolder, Recursive: true, MaxKeys: 1}); found {
		if object.Err != nil {
			return fmt.Errorf("listing objects: %w", object.Err)
		}
		etag = object.ETag
	}
	_, err = ledger.Pool().Exec(ctx, `
		WITH known AS (
			SELECT $1 || 'day=' || lpad((i % 300)::text, 3, '0') || '/purchases-0-' || i || '.parquet' AS key FROM generate_series(0, $2 - 1) i
		), staged AS (
			INSERT INTO stage_objects (entity, key, etag, rows_in, rows_out, rows_refused, rows_skipped)
			SELECT 'purchases', key, $3, 0, 0, 0, 0 FROM known
		)
		INSERT INTO raw_objects (bucket, entity, key, etag, size, pending) SELECT $4, 'purchases', key, $3, $5, false FROM known`,
		idleFolder, idleKnown, etag, rawBucket, len(content))
	if err != nil {
		return fmt.Errorf("entering known objects: %w", err)
	}
	_, err = b.runBatch(ctx) // the first run looks over the whole bucket, once
	return err
}

// runBatch is `shop-connect run-batch copy_raw_to_stage`, timed from outside.
func (b *bench) runBatch(ctx context.Context) (time.Duration, error) {
	streams := filepath.Join(filepath.Dir(filepath.Clean(b.source)), "streams")
	command := exec.CommandContext(ctx, b.binary, "run-batch", "--streams", streams, "copy_raw_to_stage")
	command.Env = os.Environ()
	for name, value := range b.up.Env {
		command.Env = append(command.Env, name+"="+value)
	}
	started := time.Now()
	output, err := command.CombinedOutput()
	took := time.Since(started)
	if err != nil {
		return 0, fmt.Errorf("running a batch: %w: %s", err, output)
	}
	return took, nil
}

func runIdle(ctx context.Context, b *bench) (measurement, error) {
	var times []time.Duration
	for range idleRuns {
		took, err := b.runBatch(ctx)
		if err != nil {
			return measurement{}, err
		}
		times = append(times, took)
	}
	slices.Sort(times)
	median := times[len(times)/2]
	b.notef("stage_idle: a run with nothing to do over %d known objects, %d of them in the bucket, took %.2f s from outside (of %d runs, the slowest %.2f s)",
		idleKnown, idleReal, median.Seconds(), idleRuns, times[len(times)-1].Seconds())
	return measurement{rows: idleKnown, took: median}, nil
}

func checkIdle(ctx context.Context, b *bench) error {
	ledger, err := store.Open(ctx, b.up.Env[env.PostgresDSN])
	if err != nil {
		return err
	}
	defer ledger.Close()
	done, err := ledger.Runs(ctx, store.RunFilter{Name: "copy_raw_to_stage"}, idleRuns)
	if err != nil {
		return err
	}
	var longest time.Duration
	for _, run := range done {
		if run.FinishedAt != nil {
			longest = max(longest, run.FinishedAt.Sub(run.StartedAt))
		}
		if run.Status != store.Succeeded || run.Objects+run.ObjectsUnchanged > 0 {
			return fmt.Errorf("run %s %s: it looked at %d objects, should be none", run.ID, run.Status, run.Objects+run.ObjectsUnchanged)
		}
	}
	b.notef("stage_idle: by the ledger none of these runs took more than %.2f s; the rest is the command's own start", longest.Seconds())
	return nil
}

func listIdle(ctx context.Context, b *bench) (measurement, error) {
	client, err := openStore(b)
	if err != nil {
		return measurement{}, err
	}
	return bare(idleReal, func() error {
		for object := range client.ListObjects(ctx, rawBucket, minio.ListObjectsOptions{Prefix: idleFolder, Recursive: true}) {
			if object.Err != nil {
				return fmt.Errorf("listing objects: %w", object.Err)
			}
		}
		return nil
	})
}
