package lakeupkeep

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/minio/minio-go/v7"
	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/encoding/thrift"
	"github.com/parquet-go/parquet-go/format"
	"github.com/redpanda-data/benthos/v4/public/service"

	"github.com/shop-connect/shop-connect/internal/parquetfile"
	"github.com/shop-connect/shop-connect/internal/store"
)

const day = "2026-01-02"

var layers = []store.Layer{store.LayerRaw, store.LayerStage}

// everything is the figures of a table that any change of a row or of the schema would change.
const everything = `count() AS n, uniqExact(_topic, _partition, _offset) AS places, toString(sum(price_at_time)) AS revenue, sum(quantity) AS items,
	toString(groupBitXor(cityHash64(id, product_id, customer_id, seller_id, quantity, price_at_time, purchased_at, deleted, _topic, _partition, _offset, _timestamp, _value))) AS hash,
	toTypeName(any(price_at_time)) AS price, toTypeName(any(purchased_at)) AS at`

func TestAThousandSmallObjectsBecomeFewOfTheSameRows(t *testing.T) {
	l := newTestLake(t)
	const objects, each = 1000, 3
	for n := range int64(objects) {
		l.sink(day, int32(n%2), rowsOf(n/2*each, n/2*each+each-1)...)
	}
	if out := l.toStage(); out != objects*each {
		t.Fatalf("%d rows are in STAGE", out)
	}
	for i, layer := range layers {
		before := l.clickhouse(l.bucket(layer), everything)
		r := l.compact(layer, "")
		if r.Merged != objects || r.Into != 2 || r.Rows != objects*each || r.Repeated != 0 || r.Left != 0 || len(r.Damaged) != 0 {
			t.Errorf("%s: %+v", layer, r)
		}
		if keys := l.keys(l.bucket(layer)); len(keys) != 2 {
			t.Errorf("%s has %d objects", layer, len(keys))
		}
		if after := l.clickhouse(l.bucket(layer), everything); after != before {
			t.Errorf("%s was\n%s, is\n%s", layer, before, after)
		}
		l.wantOffsets(l.bucket(layer), "purchases/purchase_date="+day+"/purchases-1-", upTo(0, objects/2*each-1))
		run := l.run()
		if n := int64(i + 1); run.Objects != n*objects || run.RowsIn != n*objects*each || run.RowsOut != run.RowsIn || run.Bytes == 0 || !run.Reconciles() {
			t.Errorf("after %s the ledger has %+v", layer, run)
		}
		if again := l.compact(layer, ""); again.Merged != 0 || again.Left != 2 {
			t.Errorf("%s again: %+v", layer, again)
		}
	}
	if out, waiting := l.toStage(), l.pending(); out != 0 || len(waiting) != 0 {
		t.Errorf("%d more rows came to STAGE, %d objects wait", out, len(waiting))
	}
}

func TestMergedObjectsAreMergedAgainInTheOrderOfTheirOffsets(t *testing.T) {
	l := newTestLake(t)
	for round := range int64(3) {
		for n := range int64(4) {
			first := round*40 + n*10
			l.sink(day, 3, rowsOf(first, first+9)...)
		}
		l.toStage()
		for _, layer := range layers {
			if r := l.compact(layer, "min_objects: 2\n"); r.Into != 1 {
				t.Fatalf("round %d, %s: %+v", round, layer, r)
			}
			l.wantOffsets(l.bucket(layer), "", upTo(0, round*40+39))
		}
	}
	file := l.open(l.stage, l.keys(l.stage)[0])
	for key, want := range map[string]string{
		parquetfile.MetaEntity: "purchases", parquetfile.MetaVersion: "1", parquetfile.MetaFirstOffset: "0", parquetfile.MetaLastOffset: "119",
	} {
		if got, _ := file.Lookup(key); got != want {
			t.Errorf("footer: %s is %q, want %q", key, got, want)
		}
	}
}

func (l *testLake) open(bucket, key string) *parquet.File {
	l.Helper()
	content, err := l.get(bucket, key)
	if err != nil {
		l.Fatal(err)
	}
	file, err := parquet.OpenFile(bytes.NewReader(content), int64(len(content)))
	if err != nil {
		l.Fatal(err)
	}
	return file
}

func TestLargeRowGroupsAreCopiedAndSmallOnesBecomeLarge(t *testing.T) {
	l := newTestLake(t)
	next := int64(0)
	for _, n := range []int64{100, 100, properRows, properRows + 5, 100, 100} {
		l.sink(day, 0, rowsOf(next, next+n-1)...)
		next += n
	}
	large := l.open(l.raw, keyOf(day, 0, 200)).Metadata().RowGroups[0]
	l.toStage()
	if r := l.compact(store.LayerRaw, ""); r.Into != 1 {
		t.Fatalf("%+v", r)
	}
	groups := l.open(l.raw, l.keys(l.raw)[0]).Metadata().RowGroups
	var sizes []int64
	for _, g := range groups {
		sizes = append(sizes, g.NumRows)
	}
	if want := []int64{200, properRows, properRows + 5, 200}; !slices.Equal(sizes, want) {
		t.Errorf("row groups have %v rows, want %v", sizes, want)
	}
	if groups[1].TotalCompressedSize != large.TotalCompressedSize {
		t.Errorf("a copied row group has %d bytes, had %d", groups[1].TotalCompressedSize, large.TotalCompressedSize)
	}
	l.wantOffsets(l.raw, "", upTo(0, next-1))
}

func TestWhatIsNotSettledIsLeftAndNotMergedAcross(t *testing.T) {
	l := newTestLake(t)
	for n := range int64(4) {
		l.sink(day, 3, rowsOf(n*10, n*10+9)...)
	}
	for n := range int64(4) {
		l.sink(day, 3, rowsOf(50+n*10, 50+n*10+9)...)
	}
	l.toStage()
	waiting := l.sink(day, 3, rowsOf(40, 49)...)
	stranger := "purchases/purchase_date=" + day + "/export_2026-01-02_full.parquet"
	l.put(l.raw, stranger, l.encode(3, rowsOf(500, 501)...))
	orphan := keyOf(day, 3, 900)
	l.put(l.stage, orphan, l.encode(3, rowsOf(900, 901)...)) // a crashed attempt's, in no ledger

	if r := l.compact(store.LayerRaw, "settled_for: 1h\n"); r.Merged != 0 || r.Left != 9 {
		t.Errorf("young objects: %+v", r)
	}
	if r := l.compact(store.LayerRaw, "min_objects: 5\n"); r.Merged != 0 || r.Left != 9 {
		t.Errorf("too few on either side of what waits: %+v", r)
	}
	if r := l.compact(store.LayerRaw, ""); r.Merged != 8 || r.Into != 2 || r.Left != 1 {
		t.Errorf("%+v", r)
	}
	if keys := l.keys(l.raw); len(keys) != 4 || !slices.Contains(keys, waiting) || !slices.Contains(keys, stranger) {
		t.Errorf("RAW has %v", keys)
	}
	if r := l.compact(store.LayerStage, ""); r.Merged != 8 || r.Into != 1 || r.Left != 1 || !slices.Contains(l.keys(l.stage), orphan) {
		t.Errorf("STAGE: %+v", r)
	}
	if out := l.toStage(); out != 10 {
		t.Errorf("%d rows of what waited came to STAGE", out)
	}
	if err := l.client.RemoveObject(t.Context(), l.stage, orphan, minio.RemoveObjectOptions{}); err != nil {
		t.Fatal(err)
	}
	l.wantOffsets(l.stage, "", upTo(0, 89))
}

func TestADamagedObjectIsLeftAloneAndReported(t *testing.T) {
	l := newTestLake(t)
	for n := range int64(9) {
		l.sink(day, 3, rowsOf(n*10, n*10+9)...)
	}
	l.toStage()
	broken := keyOf(day, 3, 40)
	content, err := l.get(l.stage, broken)
	if err != nil {
		t.Fatal(err)
	}
	for name, damaged := range map[string][]byte{
		"its end is missing": content[:len(content)-20],
		"nothing is left":    nil,
		"a page is a bomb":   armed(t, content),
		"a page is garbage":  append(append(slices.Clone(content[:4]), bytes.Repeat([]byte{0xee}, 200)...), content[204:]...),
	} {
		l.put(l.stage, broken, damaged)
		// too few on either side of it
		if r := l.compact(store.LayerStage, "min_objects: 5\n"); r.Merged != 0 || r.Left != 8 || len(r.Damaged) != 1 || r.Damaged[0].Key != broken || (strings.Contains(name, "bomb") && !strings.Contains(r.Damaged[0].Reason, "could become")) {
			t.Errorf("%s: %+v", name, r)
		}
	}
	r := l.compact(store.LayerStage, "")
	if r.Merged != 8 || r.Into != 2 || len(r.Damaged) != 1 || r.Damaged[0].Key != broken || r.Damaged[0].Reason == "" {
		t.Fatalf("%+v", r)
	}
	if run := l.run(); run.ObjectsRefused == 0 || !strings.Contains(run.Progress, broken) {
		t.Errorf("the ledger has %+v", run)
	}
	l.put(l.stage, broken, content) // somebody brought it back
	l.wantOffsets(l.stage, "", upTo(0, 89))
}

// armed replaces the rows' bytes, which RAW to STAGE copies unread, by a page that becomes 10 GB.
func armed(t *testing.T, content []byte) []byte {
	t.Helper()
	file, err := parquet.OpenFile(bytes.NewReader(content), int64(len(content)))
	if err != nil {
		t.Fatal(err)
	}
	frame := []byte{0x28, 0xb5, 0x2f, 0xfd, 0x00, 0x58} // a window of 2 MiB, no size
	const block = 128 << 10
	for n := 10 << 30; n > 0; n -= block {
		header := uint32(block)<<3 | 1<<1 // one byte, repeated
		if n == block {
			header |= 1
		}
		frame = append(frame, byte(header), byte(header>>8), byte(header>>16), 'x')
	}
	group := file.Metadata().RowGroups[0]
	group.Columns = slices.Clone(group.Columns)
	chunk := &group.Columns[len(group.Columns)-1]
	page, err := thrift.Marshal(new(thrift.CompactProtocol), &format.PageHeader{
		Type: format.DataPage, UncompressedPageSize: 1 << 20, CompressedPageSize: int32(len(frame)),
	})
	if err != nil {
		t.Fatal(err)
	}
	page = append(page, frame...)
	chunk.MetaData.DataPageOffset, chunk.MetaData.DictionaryPageOffset = int64(len(content)), 0
	chunk.MetaData.TotalCompressedSize = int64(len(page))
	var out bytes.Buffer
	splice, err := parquetfile.NewSplice(&out, file.Metadata())
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(splice.Add(bytes.NewReader(append(slices.Clone(content), page...)), group), splice.Close()); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func TestObjectsOfAnOlderContractGetTheColumnsThatTheyLack(t *testing.T) {
	l := newTestLake(t)
	for n := range int64(4) {
		l.sink(day, 3, rowsOf(n*10, n*10+9)...)
	}
	l.toStage()
	text, err := os.ReadFile(filepath.Join(contracts, "purchases.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	l.contracts = t.TempDir()
	newer := strings.Replace(string(text), "version: 1\n", "version: 2\n", 1) + "  - name: coupon_code\n    type: string\n    doc: What made it cheaper.\n"
	if err := os.WriteFile(filepath.Join(l.contracts, "purchases.yaml"), []byte(newer), 0o600); err != nil {
		t.Fatal(err)
	}
	for n := range int64(4) {
		rows := rowsOf(40+n*10, 40+n*10+9)
		for i := range rows {
			rows[i].json = strings.Replace(rows[i].json, "{", `{"coupon_code":"C",`, 1)
		}
		l.sink(day, 3, rows...)
	}
	l.toStage()
	for _, layer := range layers {
		if r := l.compact(layer, ""); r.Merged != 8 || r.Into != 1 {
			t.Fatalf("%s: %+v", layer, r)
		}
		if got, want := l.clickhouse(l.bucket(layer), "toInt32(count()) AS n, toInt32(count(coupon_code)) AS c, toInt32(minIf(_offset, coupon_code = 'C')) AS first"), `{"n":80,"c":40,"first":40}`; got != want {
			t.Errorf("%s: %s, want %s", layer, got, want)
		}
		l.wantOffsets(l.bucket(layer), "", upTo(0, 79))
	}
	// whoever still has the older contract would lose the column
	l.contracts = contracts
	_, err = process[compactReport](t.Context(), l.compactor(store.LayerStage, "min_objects: 2\n"))
	if err == nil || !strings.Contains(err.Error(), `field "coupon_code": is gone`) && !strings.Contains(err.Error(), "version: is 1") {
		t.Errorf("merging by the older contract: %v", err)
	}
}

// A sink that crashed before its offsets were committed writes what was merged meanwhile again.
func TestI3WhatIsRedeliveredAfterItWasMergedCountsOnce(t *testing.T) {
	l := newTestLake(t)
	for n := range int64(4) {
		l.sink(day, 3, rowsOf(n*10, n*10+9)...)
	}
	l.toStage()
	l.compact(store.LayerRaw, "")
	for n := range int64(4) {
		l.sink(day, 3, rowsOf(n*10, n*10+14)...) // with other bounds: five rows further
	}
	if waiting := l.pending(); len(waiting) != 4 {
		t.Fatalf("%d objects wait", len(waiting))
	}
	if r := l.compact(store.LayerRaw, ""); r.Merged != 0 {
		t.Fatalf("merged what waits: %+v", r)
	}
	if out := l.toStage(); out != 5 {
		t.Errorf("%d rows are new", out)
	}
	l.wantOffsets(l.stage, "", upTo(0, 44))
	if r := l.compact(store.LayerRaw, ""); r.Merged != 5 || r.Into != 1 || r.Rows != 45 || r.Repeated != 55 {
		t.Errorf("%+v", r)
	}
	l.wantOffsets(l.raw, "", upTo(0, 44))
	if run := l.run(); !run.Reconciles() || run.RowsSkipped != 55 {
		t.Errorf("the ledger has %+v", run)
	}
}

func TestFieldsThatAreWrongAreRefusedAllAtOnce(t *testing.T) {
	yaml := `{endpoint: "http://127.0.0.1:1", access_key: a, secret_key: b, postgres_dsn: "postgres://a:b@127.0.0.1:1/c", contract: ` + contracts +
		`, layer: raw, bucket: "", entity: strangers, day: 2026-13-01, target_bytes: 10, min_objects: 1, settled_for: -1s}`
	conf, err := CompactSpec().ParseYAML(yaml, nil)
	if err != nil {
		t.Fatal(err)
	}
	_, err = newCompactor(conf, service.MockResources())
	for _, field := range []string{"bucket", "entity", "day", "target_bytes", "min_objects", "settled_for"} {
		if err == nil || !strings.Contains(err.Error(), fmt.Sprintf("field %q", field)) {
			t.Errorf("%s is not named: %v", field, err)
		}
	}
}
