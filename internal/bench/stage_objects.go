package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"time"

	"github.com/minio/minio-go/v7"

	"github.com/shop-connect/shop-connect/internal/columns"
	"github.com/shop-connect/shop-connect/internal/contract"
	"github.com/shop-connect/shop-connect/internal/load"
	"github.com/shop-connect/shop-connect/internal/parquetfile"
)

const (
	// rawGroupRows is how many rows the RAW sink puts into a row group at most.
	rawGroupRows = parquetfile.RowGroupRows
	// objectRows makes objects of about 64 MB.
	objectRows = 9 * rawGroupRows
)

// generate puts the set's objects into RAW, written as its sink writes them.
func (s *stageSet) generate(ctx context.Context, b *bench) error {
	rules, err := contract.Load(filepath.Join(b.pipelines, "contracts", "purchases.yaml"))
	if err != nil {
		return err
	}
	layout, err := parquetfile.NewLayout(rules)
	if err != nil {
		return err
	}
	client, err := openStore(b)
	if err != nil {
		return err
	}
	config := load.DefaultGenerator(b.generator.Rows, time.Now().UTC())
	config.Bad, config.Duplicates, config.Late = 0, 0, 0
	generator, err := load.NewGenerator(config)
	if err != nil {
		return err
	}
	decoder, batch := columns.NewDecoder(rules, columns.Typed, time.UTC), columns.NewBatch(rules, objectRows)
	writer := layout.NewWriter(parquetfile.Zstd)
	var json []byte
	known := newShopKeys()
	var ends []int
	var numbers []int32
	var object bytes.Buffer
	value := func(row int32) []byte {
		start := 0
		if row > 0 {
			start = ends[row-1]
		}
		return json[start:ends[row]]
	}
	var size int64
	for objects := int32(0); s.rows < config.Rows; objects++ {
		// objects of one partition and day wait for each other; RAW has them of all partitions
		partition := objects % partitions
		batch.Reset()
		json, ends, numbers = json[:0], ends[:0], numbers[:0]
		first := s.rows
		for ; len(numbers) < objectRows; s.rows++ {
			start := len(json)
			json, _, err = generator.Append(json)
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				return err
			}
			if s.bad(s.rows) {
				s.refused++
				json = spoil(json, start)
			}
			at := columns.Position{Topic: s.name, Partition: partition, Offset: s.rows, Timestamp: time.Now().UnixMicro()}
			if reasons, err := decoder.Append(batch, json[start:], at, len(numbers)); err != nil || len(reasons) > 0 {
				return fmt.Errorf("decoding generated row %s: %v %w", json[start:], reasons, err)
			}
			ends, numbers = append(ends, len(json)), append(numbers, int32(len(numbers)))
		}
		known.add(batch)
		object.Reset()
		if err := writer.WriteFile(&object, batch, numbers, value); err != nil {
			return err
		}
		size = max(size, int64(object.Len()))
		key := fmt.Sprintf("purchases/%s/%s-%d-%d.parquet", s.name, s.name, partition, first)
		if _, err := client.PutObject(ctx, rawBucket, key, &object, int64(object.Len()), minio.PutObjectOptions{}); err != nil {
			return fmt.Errorf("putting object: %w", err)
		}
	}
	if err := known.enter(ctx, b); err != nil {
		return err
	}
	b.notef("%s: %d rows in objects of %.1f MB, %d of them bad", s.name, s.rows, float64(size)/1e6, s.refused)
	return nil
}

// spoil turns the quantity of the last row negative, which its type allows and its contract does not.
func spoil(json []byte, start int) []byte {
	field := []byte(`"quantity":`)
	at := start + bytes.Index(json[start:], field) + len(field)
	json = append(json, 0)
	copy(json[at+1:], json[at:])
	json[at] = '-'
	return json
}
