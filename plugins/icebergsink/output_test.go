package icebergsink

import (
	"context"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/redpanda-data/benthos/v4/public/service"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/shop-connect/shop-connect/internal/quarantine"
)

func TestRedeliveredBatchCountsOnce(t *testing.T) {
	s := newShop(t)
	out := s.sink()
	write(t, out, 0, purchases(0, 50)...)
	snapshot := out.tbl.CurrentSnapshot().SnapshotID
	write(t, out, 0, purchases(0, 50)...)
	if got := out.tbl.CurrentSnapshot().SnapshotID; got != snapshot {
		t.Error("a batch that is in the table already was committed again")
	}
	// Half in, half new: only the new half is written, by a process that starts afresh.
	again := s.sink()
	write(t, again, 25, purchases(25, 75)...)
	if got := len(s.rows(again)); got != 75 {
		t.Errorf("%d rows, want 75", got)
	}
}

func TestKeySentTwiceCountsOnceAndTheLaterContentWins(t *testing.T) {
	s := newShop(t)
	out := s.sink()
	write(t, out, 0, purchase("a", "1", "2024-01-01"), purchase("b", "2", "2024-01-01"), purchase("a", "3.0001", "2024-01-01"))
	s.expect(out, map[string]string{"a": "3.0001 2024-01-01", "b": "2.00 2024-01-01"})
	write(t, out, 3, purchase("b", "4", "2024-01-01"))
	s.expect(out, map[string]string{"a": "3.0001 2024-01-01", "b": "4.00 2024-01-01"})
	// A process that has not seen the first ones knows them from the table.
	again := s.sink()
	write(t, again, 4, purchase("a", "5", "2024-01-01"), purchase("c", "6", "2024-01-01"))
	s.expect(again, map[string]string{"a": "5.00 2024-01-01", "b": "4.00 2024-01-01", "c": "6.00 2024-01-01"})
}

func TestRepeatWithTheSameContentChangesNothing(t *testing.T) {
	s := newShop(t)
	out := s.sink()
	write(t, out, 0, purchases(0, 10)...)
	snapshot := out.tbl.CurrentSnapshot().SnapshotID
	write(t, out, 10, purchases(0, 10)...)
	if out.tbl.CurrentSnapshot().SnapshotID != snapshot {
		t.Error("a repeat was committed")
	}
	write(t, out, 20, purchase("z", "1", "2024-01-01"))
	if got := s.rows(s.sink()); len(got) != 11 {
		t.Errorf("%d rows, want 11", len(got))
	}
	if taken := s.sink().offsets["purchases"][0]; len(taken.spans) != 1 || taken.end() != 21 {
		t.Errorf("taken in %v, want offsets 0 to 20: those of repeats belong to it", taken.spans)
	}
}

func TestCorrectionMovesThePurchaseToAnotherDay(t *testing.T) {
	for _, partitionBy := range []string{"[purchase_date]", "[]", "[month(purchased_at), 'bucket(4, id)']", "['truncate(3, product_id)', purchase_date]", "['bucket(4, id)']"} {
		t.Run(partitionBy, func(t *testing.T) {
			s := newShop(t)
			s.partitionBy = partitionBy
			out := s.sink()
			write(t, out, 0, purchase("a", "1", "2024-01-01"), purchase("b", "2", "2024-01-02"))
			write(t, out, 2, purchase("a", "1", "2024-02-07"))
			s.expect(out, map[string]string{"a": "1.00 2024-02-07", "b": "2.00 2024-01-02"})
			again := s.sink()
			write(t, again, 3, purchase("a", "9", "2023-12-31"), purchase("b", "2", "2024-02-07"))
			s.expect(again, map[string]string{"a": "9.00 2023-12-31", "b": "2.00 2024-02-07"})
		})
	}
}

func TestDeletionRemovesAndALaterEventBringsBack(t *testing.T) {
	s := newShop(t)
	out := s.sink()
	write(t, out, 0, purchase("a", "1", "2024-01-01"), purchase("b", "2", "2024-01-02"), deletion("never-there"))
	write(t, out, 3, deletion("a"), purchase("c", "3", "2024-01-03"), deletion("c"))
	s.expect(out, map[string]string{"b": "2.00 2024-01-02"})
	write(t, s.sink(), 6, deletion("b"))
	s.expect(out, map[string]string{})

	again := s.sink()
	write(t, again, 7, purchase("a", "1", "2024-01-01"))
	s.expect(again, map[string]string{"a": "1.00 2024-01-01"})
}

func TestDeletionBeforeItsPurchaseIsNotRepeatedAfterIt(t *testing.T) {
	s := newShop(t)
	out := s.sink()
	write(t, out, 0, deletion("a"))
	write(t, out, 1, purchase("a", "1", "2024-01-01"))
	write(t, s.sink(), 0, deletion("a"))
	s.expect(out, map[string]string{"a": "1.00 2024-01-01"})
}

func TestDecimalsAreExact(t *testing.T) {
	s := newShop(t)
	out := s.sink()
	prices := map[string]string{"0.0001": "0.0001", "99999999999999.9999": "99999999999999.9999", "0.1": "0.10", "\"2.5500\"": "2.55", "1e3": "1000.00", "33333333333333.3333": "33333333333333.3333"}
	want, rows := map[string]string{}, []string{}
	for price, exact := range prices {
		rows = append(rows, purchase("p"+strings.Trim(price, `"`), price, "2024-01-01"))
		want["p"+strings.Trim(price, `"`)] = exact + " 2024-01-01"
	}
	write(t, out, 0, rows...)
	s.expect(out, want)
}

func TestRefusedRowsReachTheirOutputOnceAndNeverStopTheGoodOnes(t *testing.T) {
	s := newShop(t)
	out := s.sink()
	bad := purchase("b", "-1", "2024-01-01")
	write(t, out, 0, purchase("a", "1", "2024-01-01"), bad, `nonsense`, purchase("c", "1", "2024-01-01"))
	write(t, out, 0, purchase("a", "1", "2024-01-01"), bad, `nonsense`, purchase("c", "1", "2024-01-01"))
	s.expect(out, map[string]string{"a": "1.00 2024-01-01", "c": "1.00 2024-01-01"})
	refused := s.refused()
	if len(refused) != 2 {
		t.Fatalf("%d rows set aside, want 2", len(refused))
	}
	if raw, _ := refused[0].AsBytes(); string(raw) != bad || !strings.Contains(reasons(refused[0]), `"price_at_time"`) {
		t.Errorf("set aside %q for %s", raw, reasons(refused[0]))
	}
	if by, _ := refused[1].MetaGet(quarantine.MetaBy); by != quarantine.LayerIceberg {
		t.Errorf("refused by %q", by)
	}
}

func TestRowsWithoutAPlaceInKafkaAreTakenByKey(t *testing.T) {
	s := newShop(t)
	out := s.sink()
	for range 2 {
		batch := batchAt("", 0, 0, purchase("a", "1", "2024-01-01"), `{"product_id":"x","customer_id":1,"seller_id":1,"quantity":1,"price_at_time":1,"purchased_at":"2024-01-01"}`)
		for _, msg := range batch {
			msg.MetaDelete("kafka_topic")
		}
		if err := out.WriteBatch(context.Background(), batch); err != nil {
			t.Fatal(err)
		}
	}
	s.expect(out, map[string]string{"a": "1.00 2024-01-01"})
	if refused := s.refused(); len(refused) != 2 || !strings.Contains(reasons(refused[0]), `"id"`) {
		t.Errorf("%d rows without an id set aside, want 2", len(refused))
	}
}

func TestTheBusinessDayIsTheShops(t *testing.T) {
	s := newShop(t)
	s.yaml = "timezone: Asia/Tokyo"
	out := s.sink()
	write(t, out, 0, strings.Replace(purchase("a", "1", "2024-01-01"), "T08", "T18", 1))
	s.expect(out, map[string]string{"a": "1.00 2024-01-02"})
}

func TestCloseIsSafeTwiceAndBeforeConnect(t *testing.T) {
	s := newShop(t)
	out, err := parse(s.config())
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := out.Close(context.Background()); err != nil {
			t.Error(err)
		}
	}
}

func TestAStreamIsAcknowledgedOnceItsRowsAreCommitted(t *testing.T) {
	s := newShop(t)
	s.sink()
	builder := service.NewStreamBuilder()
	push, err := builder.AddBatchProducerFunc()
	if err != nil {
		t.Fatal(err)
	}
	s.yaml = "batching: {count: 10, period: 50ms}"
	if err := builder.AddOutputYAML("iceberg_table:" + strings.ReplaceAll(s.config(), "\n", "\n  ")); err != nil {
		t.Fatal(err)
	}
	if err := builder.SetLoggerYAML("level: none"); err != nil {
		t.Fatal(err)
	}
	stream, err := builder.Build()
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- stream.Run(t.Context()) }()
	for from := 0; from < 25; from += 5 {
		if err := push(t.Context(), batchAt("purchases", 0, from, purchases(from, from+5)...)); err != nil {
			t.Fatal(err)
		}
		if got := len(s.rows(s.sink())); got < from+5 {
			t.Errorf("%d rows are in the table after offset %d was acknowledged", got, from+5)
		}
	}
	if err := stream.StopWithin(10 * time.Second); err != nil {
		t.Error(err)
	}
	<-ended
}

func TestARecordWhoseHeadersPretendAPlaceIsSetAside(t *testing.T) {
	s := newShop(t)
	out := s.sink()
	msg := service.NewMessage([]byte(purchase("a", "1", "2024-01-01")))
	msg.MetaSetMut("kafka_topic", "purchases")
	msg.MetaSetMut("kafka_partition", 0)
	msg.MetaSetMut("kafka_offset", "7")
	msg.MetaSetMut("__rpcn_kafka_headers", []kgo.RecordHeader{{Key: "kafka_offset", Value: []byte("7")}})
	if err := out.WriteBatch(t.Context(), service.MessageBatch{msg}); err != nil {
		t.Fatal(err)
	}
	if rows, refused := s.rows(out), s.refused(); len(rows) != 0 || len(refused) != 1 {
		t.Errorf("%d rows in the table, %d set aside", len(rows), len(refused))
	}
}

func TestCommitsLeaveNothingInMemoryButTheirKeys(t *testing.T) {
	s := newShop(t)
	out := s.sink()
	heap := func() uint64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	var before uint64
	for n := range 250 {
		if n == 50 {
			before = heap()
		}
		write(t, out, n, purchase("p-"+strconv.Itoa(n), "1", "2024-01-01"))
	}
	// the table's snapshots and the keys take less than 2 MB; the tables of all commits would take 40 MB
	if after := heap(); after > before+15<<20 {
		t.Errorf("the heap has grown from %d to %d MB in 200 commits", before>>20, after>>20)
	}
	runtime.KeepAlive(out)
}
