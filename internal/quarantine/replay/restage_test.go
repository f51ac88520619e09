package replay_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/parquet-go/parquet-go"
	"github.com/redpanda-data/benthos/v4/public/service"

	"github.com/shop-connect/shop-connect/internal/columns"
	"github.com/shop-connect/shop-connect/internal/contract"
	"github.com/shop-connect/shop-connect/internal/parquetfile"
	"github.com/shop-connect/shop-connect/internal/store"
	"github.com/shop-connect/shop-connect/internal/testservers"
	_ "github.com/shop-connect/shop-connect/plugins/s3parquet"
	_ "github.com/shop-connect/shop-connect/plugins/stagevalidate"
)

// noteContract is a contract of the desk's entity; columns of a RAW object that it does not have are a reason
// to refuse the object whole.
func (d *desk) noteContract(version int, more string) (folder string, c *contract.Contract) {
	d.Helper()
	folder = d.TempDir()
	path := filepath.Join(folder, d.entity+".yaml")
	text := fmt.Sprintf("entity: %s\nversion: %d\nkey: id\nevent_time: at\nfields:\n  - {name: id, type: string, required: true}\n"+
		"  - {name: at, type: timestamp, required: true}\n%s", d.entity, version, more)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		d.Fatal(err)
	}
	c, err := contract.Load(path)
	if err != nil {
		d.Fatal(err)
	}
	return folder, c
}

// rawObject is what the RAW stream writes of some rows under a contract.
func rawObject(t *testing.T, c *contract.Contract, rows ...string) []byte {
	t.Helper()
	layout, err := parquetfile.NewLayout(c)
	if err != nil {
		t.Fatal(err)
	}
	decoder, batch := columns.NewDecoder(c, columns.Typed, time.UTC), columns.NewBatch(c, len(rows))
	var numbers []int32
	for i, row := range rows {
		position := columns.Position{Topic: c.Entity, Offset: int64(i), Timestamp: time.Now().UnixMicro()}
		if reasons, err := decoder.Append(batch, []byte(row), position, i); err != nil || reasons != nil {
			t.Fatal(reasons, err)
		}
		numbers = append(numbers, int32(i))
	}
	var out bytes.Buffer
	value := func(row int32) []byte { return []byte(rows[batch.Source[row]]) }
	if err := layout.NewWriter(parquetfile.Zstd).WriteFile(&out, batch, numbers, value); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// stage does what copy_raw_to_stage does, to its end.
func (d *desk) stage(contracts, bucket string) {
	d.Helper()
	config, _ := testservers.ObjectStore(d)
	shared := fmt.Sprintf("  contract: %q\n  endpoint: %q\n  region: %q\n  access_key: %q\n  secret_key: %q\n  postgres_dsn: %q\n",
		contracts, config.Endpoint, config.Region, config.AccessKey, config.SecretKey, d.dsn)
	b := service.NewStreamBuilder()
	for _, err := range []error{
		b.SetLoggerYAML("level: none"),
		b.AddInputYAML("raw_pending:\n" + shared + "  full: true\n  auto_replay_nacks: false\n  bucket: " + d.RawBucket),
		b.AddProcessorYAML("stage_validate:\n" + shared + "  stage_bucket: " + bucket + "\n  quarantine_bucket: " + d.Catalog.Bucket),
		b.AddOutputYAML("reject_errored: {drop: {}}"),
	} {
		if err != nil {
			d.Fatal(err)
		}
	}
	stream, err := b.Build()
	if err != nil {
		d.Fatal(err)
	}
	if err := stream.Run(d.Context()); err != nil {
		d.Fatal(err)
	}
}

func (d *desk) stagedIDs(bucket string) (ids []string) {
	d.Helper()
	for info := range d.Catalog.Objects.ListObjectsIter(d.Context(), bucket, minio.ListObjectsOptions{Recursive: true}) {
		object, err := d.Catalog.Objects.GetObject(d.Context(), bucket, info.Key, minio.GetObjectOptions{})
		if err != nil {
			d.Fatal(err)
		}
		rows, err := parquet.Read[struct {
			ID *string `parquet:"id,optional"`
		}](object, info.Size)
		if err != nil {
			d.Fatal(err)
		}
		for _, row := range rows {
			ids = append(ids, *row.ID)
		}
	}
	return ids
}

func TestI4AnObjectRefusedWholeIsInStageAfterItsReplay(t *testing.T) {
	for name, lost := range map[string]bool{"RAW holds it still": false, "it was deleted from RAW": true} {
		t.Run(name, func(t *testing.T) {
			d := newDesk(t)
			_, objects := testservers.ObjectStore(t)
			bucket := testservers.Bucket(t, objects, "stage")
			before, _ := d.noteContract(1, "")
			after, rules := d.noteContract(2, "  - {name: note, type: string}\n")
			const day = "2026-01-02"
			key := d.entity + "/purchase_date=" + day + "/" + d.entity + "-0-0.parquet"
			content := rawObject(t, rules, `{"id":"a","at":"2026-01-02T03:04:05Z","note":"x"}`, `{"id":"b","at":"2026-01-02T03:04:05Z"}`)
			d.put(d.RawBucket, key, content, nil)
			info, err := d.Catalog.Objects.StatObject(t.Context(), d.RawBucket, key, minio.StatObjectOptions{})
			if err != nil {
				t.Fatal(err)
			}
			written := store.RawObject{Object: store.Object{Key: key, ETag: info.ETag}, Size: info.Size, Rows: 2, LastOffset: 1}
			if err := d.Store.RegisterRaw(t.Context(), d.RawBucket, d.entity, []store.RawObject{written}); err != nil {
				t.Fatal(err)
			}
			d.stage(before, bucket)
			d.stage(after, bucket) // what was refused is not looked at again by itself
			if ids := d.stagedIDs(bucket); len(ids) != 0 {
				t.Fatalf("STAGE has %q of a refused object", ids)
			}
			if lost {
				if err := d.Catalog.Objects.RemoveObject(t.Context(), d.RawBucket, key, minio.RemoveObjectOptions{}); err != nil {
					t.Fatal(err)
				}
			}
			r := d.request("")
			r.Objects = true
			if report := d.replay(r); report.Objects != 1 || len(report.Troubles) != 0 {
				t.Fatalf("report %+v", report)
			}
			d.stage(after, bucket)
			d.stage(after, bucket)
			if ids := d.stagedIDs(bucket); len(ids) != 2 {
				t.Errorf("STAGE has %q, want each of two rows once", ids)
			}
		})
	}
}
