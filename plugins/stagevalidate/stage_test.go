package stagevalidate

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/redpanda-data/benthos/v4/public/service"

	"github.com/shop-connect/shop-connect/internal/contract"
	"github.com/shop-connect/shop-connect/internal/store"
)

const day = "2026-01-02"

func upTo(first, last int64) []int64 {
	var all []int64
	for offset := first; offset <= last; offset++ {
		all = append(all, offset)
	}
	return all
}

func (l *lake) wantOffsets(want []int64) {
	l.Helper()
	if got := l.offsets(); !slices.Equal(got, want) {
		l.Fatalf("STAGE holds offsets %v, want %v", got, want)
	}
}

func TestAnObjectWithoutFaultsIsCopiedByteForByte(t *testing.T) {
	l := newLake(t)
	l.knowGood()
	content := encode(t, "purchases", goodRows(100, 150)...)
	r := l.process(l.processor, l.put(rawKey(day, 100), content))[0]
	if want := (report{Key: rawKey(day, 100), RowsIn: 51, RowsOut: 51, StageKey: rawKey(day, 100)}); !reflect.DeepEqual(r, want) {
		t.Fatalf("got %+v", r)
	}
	if !bytes.Equal(l.get(l.stage, r.StageKey), content) {
		t.Fatal("STAGE holds other bytes")
	}
	if refused := l.keys(l.quarantine); len(refused) > 0 {
		t.Fatalf("quarantine holds %v", refused)
	}
}

func TestI4RefusedRowsAreSetAsideWithAllTheirReasons(t *testing.T) {
	l := newLake(t)
	rows := goodRows(10, 19)
	rows[3].json = `{"id":"p-13","product_id":"","customer_id":7,"seller_id":3,"quantity":0,"price_at_time":-1}`
	rows[7].json = `{"note":"nothing of a purchase"}`
	r := l.process(l.processor, l.put(rawKey(day, 5), encode(t, "purchases", rows...)))[0]
	if r.RowsIn != 10 || r.RowsOut != 8 || r.RowsRefused != 2 || r.StageKey != rawKey(day, 10) {
		t.Fatalf("got %+v", r)
	}
	l.wantOffsets([]int64{10, 11, 12, 14, 15, 16, 18, 19})
	for _, row := range l.stagedRows() {
		if *row.ID != fmt.Sprintf("p-%d", row.Offset) || *row.Price != 199900 || string(row.Value) != good(row.Offset).json {
			t.Fatalf("row %d became %+v", row.Offset, row)
		}
	}
	refused := l.refusedRows()
	if len(refused) != 2 {
		t.Fatalf("got %d refused rows", len(refused))
	}
	first := refused[0]
	if string(first.Value) != rows[3].json || first.Topic != "purchases" || first.Partition != 3 || first.Offset != 13 ||
		first.Entity != "purchases" || first.ContractVersion != 1 || first.Layer != "stage" || first.RefusedAt == 0 ||
		first.Source != "s3://"+l.raw+"/"+rawKey(day, 5)+"#3" {
		t.Fatalf("got %+v", first)
	}
	var reasons []contract.Reason
	if err := json.Unmarshal([]byte(first.Reasons), &reasons); err != nil {
		t.Fatal(err)
	}
	var fields []string
	for _, reason := range reasons {
		fields = append(fields, reason.Field+" "+reason.Rule)
	}
	want := []string{"product_id length", "quantity range", "price_at_time range", "purchased_at required"}
	if !slices.Equal(fields, want) {
		t.Fatalf("got %v, want %v", fields, want)
	}
}

func TestADeletionIsValidWithItsKeyAlone(t *testing.T) {
	l := newLake(t)
	rows := goodRows(0, 2)
	rows[1].json = `{"id":"p-9","deleted":true}`
	r := l.process(l.processor, l.put(rawKey(day, 0), encode(t, "purchases", rows...)))[0]
	if r.RowsOut != 3 {
		t.Fatalf("got %+v", r)
	}
	if row := l.stagedRows()[1]; !row.Deleted || *row.ID != "p-9" || row.Price != nil {
		t.Fatalf("got %+v", row)
	}
}

func TestI3AnObjectOverwrittenByALongerOneAddsOnlyItsNewRows(t *testing.T) {
	l := newLake(t)
	l.process(l.processor, l.put(rawKey(day, 100), encode(t, "purchases", goodRows(100, 150)...)))
	r := l.process(l.processor, l.put(rawKey(day, 100), encode(t, "purchases", goodRows(100, 250)...)))[0]
	if r.RowsIn != 151 || r.RowsSkipped != 51 || r.RowsOut != 100 || r.StageKey != rawKey(day, 151) {
		t.Fatalf("got %+v", r)
	}
	l.wantOffsets(upTo(100, 250))
}

func TestABatchThatSpreadsOverDaysLosesNoRowOfAnyDay(t *testing.T) {
	l := newLake(t)
	var monday, tuesday []rawRow
	for offset := range int64(40) {
		if offset%2 == 0 {
			monday = append(monday, good(offset))
		} else {
			tuesday = append(tuesday, good(offset))
		}
	}
	l.process(l.processor, l.put(rawKey("2026-01-06", 0), encode(t, "purchases", tuesday...)))
	l.process(l.processor, l.put(rawKey("2026-01-05", 0), encode(t, "purchases", monday...)))
	l.wantOffsets(upTo(0, 39))
}

func TestObjectsMayComeInAnyOrder(t *testing.T) {
	l := newLake(t)
	var messages []*service.Message
	for _, first := range []int64{200, 0, 300, 100} {
		messages = append(messages, l.put(rawKey(day, first), encode(t, "purchases", goodRows(first, first+99)...)))
	}
	// a redelivery with other bounds than any batch before
	messages = append(messages, l.put(rawKey(day, 50), encode(t, "purchases", goodRows(50, 449)...)))
	l.process(l.processor, messages...)
	l.wantOffsets(upTo(0, 449))
}

func TestAnOffsetThatStandsTwiceInAnObjectCountsOnce(t *testing.T) {
	for name, rows := range map[string][]rawRow{
		"beside itself": {good(1), good(2), good(2), good(3)},
		"further down":  {good(1), good(2), good(3), good(2)},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLake(t)
			r := l.process(l.processor, l.put(rawKey(day, 1), encode(t, "purchases", rows...)))[0]
			if r.RowsIn != 4 || r.RowsOut != 3 || r.RowsSkipped != 1 {
				t.Fatalf("got %+v", r)
			}
			l.wantOffsets(upTo(1, 3))
		})
	}
}

func TestI8RunningTwiceChangesNothing(t *testing.T) {
	l := newLake(t)
	rows := goodRows(0, 30)
	rows[5].json = `{"id":"x"}`
	messages := []*service.Message{
		l.put(rawKey(day, 0), encode(t, "purchases", rows...)),
		l.put(rawKey(day, 40), []byte("not parquet at all")),
	}
	l.process(l.processor, messages...)
	stage, quarantine := l.keys(l.stage), l.keys(l.quarantine)
	for _, r := range l.process(l.newProcessor(), messages...) {
		if !r.Unchanged || r.RowsIn != 0 {
			t.Fatalf("got %+v", r)
		}
	}
	if !slices.Equal(stage, l.keys(l.stage)) || !slices.Equal(quarantine, l.keys(l.quarantine)) {
		t.Fatal("the second run wrote something")
	}
}

func TestI3TwoWorkersAtOnceChangeNothing(t *testing.T) {
	l := newLake(t)
	var messages []*service.Message
	for first := int64(0); first < 300; first += 30 {
		// each overlaps the next
		messages = append(messages, l.put(rawKey(day, first), encode(t, "purchases", goodRows(first, first+49)...)))
	}
	var wg sync.WaitGroup
	for range 3 {
		p := l.newProcessor()
		wg.Go(func() {
			if _, err := p.ProcessBatch(t.Context(), service.MessageBatch(messages).Copy()); err != nil {
				t.Error(err)
			}
		})
		slices.Reverse(messages)
	}
	wg.Wait()
	l.wantOffsets(upTo(0, 319))
}

func TestI3ACrashBetweenWriteAndCommitLeavesNoRowTwice(t *testing.T) {
	l := newLake(t)
	ctx := t.Context()
	// a worker wrote rows 110 to 150 to STAGE and died before it could say so
	content := encode(t, "purchases", goodRows(110, 150)...)
	late := l.put(rawKey(day, 110), content)
	crashed, err := l.ledger.LockStage(ctx, store.Slice{Entity: "purchases", Topic: "purchases", Partition: 3, Day: "purchase_date=" + day})
	if err != nil {
		t.Fatal(err)
	}
	target := store.Target{Bucket: l.stage, Key: rawKey(day, 110)}
	if _, err := crashed.Intend(ctx, rawKey(day, 110), []store.Target{target}); err != nil {
		t.Fatal(err)
	}
	if err := l.open().copy(ctx, object{bucket: l.raw, key: rawKey(day, 110)}, target, nil); err != nil {
		t.Fatal(err)
	}
	crashed.Release()
	// before it is tried again, a redelivery with an earlier first offset is staged
	l.process(l.processor, l.put(rawKey(day, 90), encode(t, "purchases", goodRows(90, 200)...)))
	if r := l.process(l.processor, late)[0]; r.RowsSkipped != 41 || r.StageKey != "" {
		t.Fatalf("got %+v", r)
	}
	l.wantOffsets(upTo(90, 200))
}

func (l *lake) open() *processor {
	l.Helper()
	if err := l.processor.open(l.Context()); err != nil {
		l.Fatal(err)
	}
	return l.processor
}

func TestAnObjectOverwrittenSinceItWasListedIsReadAsItIs(t *testing.T) {
	l := newLake(t)
	stale := l.put(rawKey(day, 0), encode(t, "purchases", goodRows(0, 9)...))
	l.put(rawKey(day, 0), encode(t, "purchases", goodRows(0, 19)...))
	if r := l.process(l.processor, stale)[0]; r.RowsOut != 20 {
		t.Fatalf("got %+v", r)
	}
	l.wantOffsets(upTo(0, 19))
}

func TestAnObjectThatIsGoneIsNoError(t *testing.T) {
	l := newLake(t)
	msg := l.put(rawKey(day, 0), encode(t, "purchases", goodRows(0, 9)...))
	msg.MetaSetMut(metaKey, rawKey(day, 7))
	if r := l.process(l.processor, msg)[0]; !r.Unchanged {
		t.Fatalf("got %+v", r)
	}
}

func TestRowsThatNeverWereInKafkaKeepTheirObjectsKey(t *testing.T) {
	l := newLake(t)
	key := "purchases/purchase_date=" + day + "/upload-1.parquet"
	all := encode(t, "", good(0), good(0), good(0))
	for _, content := range [][]byte{all, encode(t, "", good(0)), all} {
		r := l.process(l.processor, l.put(key, content))[0]
		if r.RowsOut != r.RowsIn || r.StageKey != key || r.Unchanged {
			t.Fatalf("got %+v", r)
		}
		if !bytes.Equal(l.get(l.stage, key), content) {
			t.Fatal("STAGE holds other bytes")
		}
	}
}

func TestTroubleWithTheStoreIsAnErrorOfTheMessage(t *testing.T) {
	l := newLake(t)
	l.yaml = strings.Replace(l.yaml, "stage_bucket: "+l.stage, "stage_bucket: no-such-bucket", 1)
	msg := l.put(rawKey(day, 0), encode(t, "purchases", goodRows(0, 9)...))
	batches, err := l.newProcessor().ProcessBatch(t.Context(), service.MessageBatch{msg}.Copy())
	if err != nil {
		t.Fatal(err)
	}
	if err := batches[0][0].GetError(); err == nil || !strings.Contains(err.Error(), "no-such-bucket") {
		t.Fatalf("got %v", err)
	}
	if len(l.keys(l.quarantine)) > 0 {
		t.Fatal("the object was quarantined for a fault that is not its own")
	}
	// and the same object is staged once the trouble is over
	if r := l.process(l.processor, msg)[0]; r.RowsOut != 10 {
		t.Fatalf("got %+v", r)
	}
}

func TestACancelledContextIsNoFaultOfTheObject(t *testing.T) {
	l := newLake(t)
	msg := l.put(rawKey(day, 0), encode(t, "purchases", goodRows(0, 9)...))
	p := l.open()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := p.stage(ctx, object{bucket: l.raw, key: rawKey(day, 0), etag: "e", size: 10}, "")
	if !errors.Is(err, context.Canceled) {
		t.Fatalf("got %v", err)
	}
	if r := l.process(p, msg)[0]; r.RowsOut != 10 {
		t.Fatalf("got %+v", r)
	}
}

func TestTheRunsCountsAreEnteredWithTheObject(t *testing.T) {
	l := newLake(t)
	const run = "01900000-0000-7000-8000-00000000000a"
	if err := l.ledger.CreateRun(t.Context(), run, "copy", nil); err != nil {
		t.Fatal(err)
	}
	rows := goodRows(0, 9)
	rows[4].json = `{}`
	messages := []*service.Message{
		l.put(rawKey(day, 0), encode(t, "purchases", rows...)), l.put(rawKey(day, 20), nil),
	}
	for range 2 { // the second time as a redelivery of the same run
		for _, msg := range messages {
			msg.MetaSetMut(store.MetaRunID, run)
		}
		l.process(l.processor, messages...)
	}
	entry, err := l.ledger.Run(t.Context(), run)
	if err != nil {
		t.Fatal(err)
	}
	c := entry.Counts
	if c.Bytes == 0 {
		t.Error("no bytes are counted")
	}
	c.Bytes = 0
	if want := (store.Counts{RowsIn: 10, RowsOut: 9, RowsRefused: 1, Objects: 2, ObjectsRefused: 1}); c != want {
		t.Fatalf("got %+v, want %+v", c, want)
	}
}
