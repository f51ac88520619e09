package main

import (
	"context"
	"fmt"
	"path"
	"path/filepath"
	"strings"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/minio/minio-go/v7"

	"github.com/shop-connect/shop-connect/internal/env"
	"github.com/shop-connect/shop-connect/internal/runs"
	"github.com/shop-connect/shop-connect/internal/store"
)

const (
	rawBucket, stageBucket = "shop-raw-data", "shop-stage-data"
	quarantineBucket       = "shop-quarantine"
	stagePrefix            = "stage"
)

// stageSet is one spread of bad rows over RAW objects, which the shipped batch stream takes into STAGE.
type stageSet struct {
	name string
	// bad says which rows break the contract.
	bad     func(row int64) bool
	rows    int64
	refused int64
	// run is what the ledger says of the flow's run.
	run store.Run
	// digest is over every value of the kept rows.
	digest uint64
}

// stageSteps takes RAW objects into STAGE, against the ClickHouse engine filtering the same objects with
// the same rules: 2 % of the rows bad and spread evenly, as many within every tenth row group, none.
func stageSteps() []step {
	const groupRows = rawGroupRows
	var steps []step
	for _, set := range []*stageSet{
		{name: stagePrefix + "_even", bad: func(row int64) bool { return row*2654435761>>7%50 == 0 }},
		{name: stagePrefix + "_groups", bad: func(row int64) bool { return row/groupRows%10 == 3 && row%5 == 0 }},
		{name: stagePrefix + "_clean", bad: func(int64) bool { return false }},
	} {
		steps = append(steps, step{
			name: set.name, bareName: "ClickHouse engine", alone: true,
			prepare: set.generate, run: set.stage, bare: set.filter, check: set.check,
		})
	}
	return steps
}

// stage runs streams/copy_raw_to_stage.yaml over the set's objects, as users do.
func (s *stageSet) stage(ctx context.Context, b *bench) (measurement, error) {
	ledger, err := store.Open(ctx, b.up.Env[env.PostgresDSN])
	if err != nil {
		return measurement{}, err
	}
	defer ledger.Close()
	client := &runs.Client{
		StreamsURL: "http://" + b.up.Env[env.StreamsAddress], User: b.up.Env[env.StreamsUser],
		Password: b.up.Env[env.StreamsPassword], Store: ledger,
		Dir: filepath.Join(filepath.Dir(filepath.Clean(b.source)), "streams"),
	}
	started, err := client.Start(ctx, runs.Request{
		Name: "copy_raw_to_stage", Params: map[string]string{"entity": "purchases", "folder": s.name + "/", "full": "true"},
	})
	if err != nil {
		return measurement{}, err
	}
	if s.run, err = client.Follow(ctx, started.ID, nil); err != nil {
		return measurement{}, err
	}
	if s.run.Status != store.Succeeded || s.run.FinishedAt == nil {
		return measurement{}, fmt.Errorf("run %s %s: %s", s.run.ID, s.run.Status, s.run.Error)
	}
	b.notef("%s: shop-connect itself peaked at %d MB", s.name, peakOf(b.up.PID())>>20)
	return measurement{rows: s.run.RowsIn, took: s.run.FinishedAt.Sub(s.run.StartedAt)}, nil
}

func (s *stageSet) check(ctx context.Context, b *bench) error {
	conn, err := openClickHouse(b)
	if err != nil {
		return err
	}
	defer conn.Close()
	want := [2]int64{s.rows - s.refused, s.refused}
	if got := [2]int64{s.run.RowsOut, s.run.RowsRefused}; got != want {
		return fmt.Errorf("the run kept and refused %d rows, should be %d", got, want)
	}
	// another reader counts what is in the objects
	day := "date=" + time.Now().UTC().Format(time.DateOnly)
	refused := path.Join("purchases", "layer=stage", day, s.name+"-*")
	s.digest, err = countObjects(ctx, b, conn, path.Join("purchases", s.name, "*"), refused, want)
	return err
}

// countObjects holds the numbers of kept and refused rows against those wanted, and returns the digest of
// the kept ones.
func countObjects(ctx context.Context, b *bench, conn clickhouse.Conn, kept, refused string, want [2]int64) (uint64, error) {
	var got [2]int64
	var digests [2]uint64
	for i, from := range []string{s3Function(b, stageBucket, kept), s3Function(b, quarantineBucket, refused)} {
		if want[i] == 0 {
			continue
		}
		var n uint64
		if err := conn.QueryRow(ctx, "SELECT count(), toUInt64(ifNull(sum(cityHash64(*)), 0)) FROM "+from).Scan(&n, &digests[i]); err != nil {
			return 0, fmt.Errorf("counting rows: %w", err)
		}
		got[i] = int64(n)
	}
	if got != want {
		return 0, fmt.Errorf("objects hold %d kept and refused rows, should be %d", got, want)
	}
	return digests[0], nil
}

// s3Function is the engine's table function over objects.
func s3Function(b *bench, bucket, key string) string {
	return fmt.Sprintf("s3('%s/%s/%s', '%s', '%s', 'Parquet')", b.up.Env[env.S3Endpoint], bucket, key,
		b.up.Env[env.S3AccessKey], b.up.Env[env.S3SecretKey])
}

// contractRules are the rules of pipelines/contracts/purchases.yaml, and what the types can hold, as SQL
// that is true of a row that breaks one. They hold for deletions as far as stage_validate checks those.
var contractRules = []struct{ reason, broken string }{
	{"id required", "id IS NULL"},
	{"id type", "NOT isValidUTF8(id)"},
	{"id length", "lengthUTF8(id) NOT BETWEEN 1 AND 200"},
	{"product_id required", "NOT deleted AND product_id IS NULL"},
	{"product_id type", "NOT deleted AND NOT isValidUTF8(product_id)"},
	{"product_id length", "NOT deleted AND lengthUTF8(product_id) NOT BETWEEN 1 AND 200"},
	{"customer_id required", "NOT deleted AND customer_id IS NULL"},
	{"customer_id range", "NOT deleted AND customer_id < 1"},
	{"seller_id required", "NOT deleted AND seller_id IS NULL"},
	{"seller_id range", "NOT deleted AND seller_id < 1"},
	{"quantity required", "NOT deleted AND quantity IS NULL"},
	{"quantity range", "NOT deleted AND quantity NOT BETWEEN 1 AND 1000000000"},
	{"price_at_time required", "NOT deleted AND price_at_time IS NULL"},
	{"price_at_time range", "NOT deleted AND price_at_time <= 0"},
	{"purchased_at required", "NOT deleted AND purchased_at IS NULL"},
	{"purchased_at range", "NOT deleted AND (purchased_at < toDateTime64('2000-01-01', 6, 'UTC') OR purchased_at > _timestamp + INTERVAL 24 HOUR)"},
}

// engineSettings are those it was fastest with: our codec at its fastest level, nothing in the files that
// ours have not, and the reader that decodes row groups side by side.
var engineSettings = clickhouse.Settings{
	"output_format_parquet_compression_method":  "zstd",
	"output_format_compression_level":           1,
	"output_format_parquet_write_bloom_filter":  0,
	"output_format_parquet_write_page_index":    0,
	"input_format_parquet_use_native_reader_v3": 0,
	"s3_truncate_on_insert":                     1,
	"max_execution_time":                        0,
}

// filter has the engine write the rows that keep the contract into one new object and those that do not,
// with their reasons, into another.
func (s *stageSet) filter(ctx context.Context, b *bench) (measurement, error) {
	conn, err := openClickHouse(b)
	if err != nil {
		return measurement{}, err
	}
	defer conn.Close()
	ctx = clickhouse.Context(ctx, clickhouse.WithSettings(engineSettings))
	var broken, reasons []string
	for _, rule := range contractRules {
		broken = append(broken, "ifNull("+rule.broken+", 0)")
		reasons = append(reasons, "if(ifNull("+rule.broken+", 0), '"+rule.reason+"', '')")
	}
	bad := "(" + strings.Join(broken, " OR ") + ")"
	from := s3Function(b, rawBucket, path.Join("purchases", s.name, "*"))
	kept, refused := path.Join("engine", s.name, "kept.parquet"), path.Join("engine", s.name, "refused.parquet")
	pids := family(b.up.PID())
	resetPeaks(pids)
	before := usageOf(pids)
	result, err := bare(s.rows, func() error {
		for _, query := range []string{
			"INSERT INTO FUNCTION " + s3Function(b, stageBucket, kept) + " SELECT * FROM " + from + " WHERE NOT " + bad,
			"INSERT INTO FUNCTION " + s3Function(b, quarantineBucket, refused) + " SELECT arrayFilter(r -> r != '', [" +
				strings.Join(reasons, ", ") + "]) AS reasons, _topic, _partition, _offset, _value FROM " + from + " WHERE " + bad,
		} {
			if err := conn.Exec(ctx, query); err != nil {
				return fmt.Errorf("filtering: %w", err)
			}
		}
		return nil
	})
	if err != nil {
		return result, err
	}
	result.cpu += usageOf(pids).cpu - before.cpu
	b.notef("%s: the engine took %.1f s, shop-connect %.1f s", s.name, result.took.Seconds(), s.run.FinishedAt.Sub(s.run.StartedAt).Seconds())
	digest, err := countObjects(ctx, b, conn, kept, refused, [2]int64{s.rows - s.refused, s.refused})
	switch {
	case err != nil:
		return result, err
	case digest != s.digest:
		return result, fmt.Errorf("the kept rows of %s are not those of the engine", s.name)
	}
	return result, s.drop(ctx, b)
}

// drop removes the set's objects, so that one set does not fill the disk for the next.
func (s *stageSet) drop(ctx context.Context, b *bench) error {
	client, err := openStore(b)
	if err != nil {
		return err
	}
	for bucket, prefixes := range map[string][]string{
		rawBucket: {"purchases/" + s.name + "/"}, stageBucket: {"purchases/" + s.name + "/", "engine/"}, quarantineBucket: {"engine/"},
	} {
		for _, prefix := range prefixes {
			for object := range client.ListObjects(ctx, bucket, minio.ListObjectsOptions{Prefix: prefix, Recursive: true}) {
				if object.Err != nil {
					return fmt.Errorf("listing objects: %w", object.Err)
				}
				if err := client.RemoveObject(ctx, bucket, object.Key, minio.RemoveObjectOptions{}); err != nil {
					return fmt.Errorf("removing objects: %w", err)
				}
			}
		}
	}
	return nil
}
