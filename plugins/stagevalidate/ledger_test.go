package stagevalidate

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
	"github.com/redpanda-data/benthos/v4/public/service"

	"github.com/shop-connect/shop-connect/internal/store"
)

// register does what the RAW sink does before it acknowledges the rows of objects.
func (l *lake) register(last int64, messages ...*service.Message) {
	l.Helper()
	for _, msg := range messages {
		key, _ := msg.MetaGet(metaKey)
		etag, _ := msg.MetaGet(metaETag)
		text, _ := msg.MetaGet(metaSize)
		size, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			l.Fatal(err)
		}
		entity, _, _ := strings.Cut(key, "/")
		o := store.RawObject{Object: store.Object{Key: key, ETag: etag}, Size: size, LastOffset: last}
		if err := l.ledger.RegisterRaw(l.Context(), l.raw, entity, []store.RawObject{o}); err != nil {
			l.Fatal(err)
		}
	}
}

// pending returns the messages by which the input raw_pending would name what waits.
func (l *lake) pending() service.MessageBatch {
	l.Helper()
	until, err := l.ledger.Now(l.Context())
	if err != nil {
		l.Fatal(err)
	}
	waiting, err := l.ledger.PendingRaw(l.Context(), store.RawScope{Bucket: l.raw, Entity: "purchases", Until: until}, store.RawObject{}, 1000)
	if err != nil {
		l.Fatal(err)
	}
	var batch service.MessageBatch
	for _, o := range waiting {
		msg := service.NewMessage(nil)
		msg.MetaSetMut(metaBucket, o.Bucket)
		msg.MetaSetMut(metaKey, o.Key)
		msg.MetaSetMut(metaETag, o.ETag)
		msg.MetaSetMut(metaSize, o.Size)
		batch = append(batch, msg)
	}
	return batch
}

func (l *lake) wantPending(n int) {
	l.Helper()
	if waiting := l.pending(); len(waiting) != n {
		l.Fatalf("%d objects are pending, want %d", len(waiting), n)
	}
}

func TestWhatIsStagedOrSetAsideIsNoLongerPending(t *testing.T) {
	l := newLake(t)
	bad := goodRows(20, 29)
	bad[3].json = `{}`
	messages := []*service.Message{
		l.put(rawKey(day, 0), encode(t, "purchases", goodRows(0, 9)...)),
		l.put(rawKey(day, 20), encode(t, "purchases", bad...)),
		l.put(rawKey(day, 40), []byte("not parquet at all")),
	}
	l.register(0, messages...)
	l.wantPending(3)
	l.process(l.processor, messages...)
	l.wantPending(0)
}

func TestAnObjectThatGrowsIsPendingUntilItIsStagedAsItIs(t *testing.T) {
	l := newLake(t)
	short := l.put(rawKey(day, 0), encode(t, "purchases", goodRows(0, 9)...))
	l.register(9, short)
	l.process(l.processor, short)
	long := l.put(rawKey(day, 0), encode(t, "purchases", goodRows(0, 19)...))
	l.register(19, long)
	l.wantPending(1)
	l.process(l.processor, short) // named by a run that began before
	l.wantPending(1)
	l.process(l.processor, l.pending()...)
	l.wantPending(0)
	l.wantOffsets(upTo(0, 19))
}

func TestAnObjectOverwrittenBeforeItsWriterSaysSoIsStagedOnce(t *testing.T) {
	l := newLake(t)
	l.register(9, l.put(rawKey(day, 0), encode(t, "purchases", goodRows(0, 9)...)))
	long := l.put(rawKey(day, 0), encode(t, "purchases", goodRows(0, 19)...))
	l.process(l.processor, l.pending()...)
	l.wantPending(0)
	l.register(19, long)
	l.wantPending(0)
	l.wantOffsets(upTo(0, 19))
}

func TestAnObjectThatVanishedIsForgottenAndComesBackAsNew(t *testing.T) {
	l := newLake(t)
	msg := l.put(rawKey(day, 0), encode(t, "purchases", goodRows(0, 9)...))
	l.register(9, msg)
	if err := l.client.RemoveObject(t.Context(), l.raw, rawKey(day, 0), minio.RemoveObjectOptions{}); err != nil {
		t.Fatal(err)
	}
	if r := l.process(l.processor, msg)[0]; !r.Unchanged {
		t.Fatalf("got %+v", r)
	}
	l.wantPending(0)
	again := l.put(rawKey(day, 0), encode(t, "purchases", goodRows(0, 9)...))
	l.register(9, again)
	l.wantPending(1)
	l.process(l.processor, again)
	l.wantOffsets(upTo(0, 9))
}

func TestWhatAnotherRunStagedMeanwhileIsSettledWithoutBeingOpened(t *testing.T) {
	l := newLake(t)
	msg := l.put(rawKey(day, 0), encode(t, "purchases", goodRows(0, 9)...))
	l.process(l.processor, msg)
	l.register(9, msg) // the sink says so late
	if err := l.client.RemoveObject(t.Context(), l.raw, rawKey(day, 0), minio.RemoveObjectOptions{}); err != nil {
		t.Fatal(err)
	}
	if r := l.process(l.processor, msg)[0]; !r.Unchanged {
		t.Fatalf("got %+v", r)
	}
	l.wantPending(0)
}

func TestEachObjectIsHeldAgainstItsOwnEntitysContract(t *testing.T) {
	l := newLake(t)
	folder := filepath.Dir(contractPath)
	l.yaml = strings.Replace(l.yaml, "contract: "+contractPath, "contract: "+folder, 1)
	p := l.newProcessor()
	sellers := filepath.Join(folder, "sellers.yaml")
	reports := l.process(p,
		l.put(rawKey(day, 0), encode(t, "purchases", goodRows(0, 4)...)),
		l.put("sellers/sellers-3-0.parquet", encodeAs(t, sellers, "sellers", rawRow{0, `{"id":3,"name":"Ann"}`}, rawRow{1, `{"id":4}`})),
		l.put("sellers/sellers-3-9.parquet", encode(t, "purchases", goodRows(0, 4)...)))
	if r := reports[0]; r.RowsOut != 5 || r.StageKey != rawKey(day, 0) {
		t.Errorf("a purchase: %+v", r)
	}
	if r := reports[1]; r.RowsOut != 1 || r.RowsRefused != 1 || r.StageKey != "sellers/sellers-3-0.parquet" {
		t.Errorf("a seller: %+v", r)
	}
	if r := reports[2]; !strings.Contains(r.Fault, `contract "sellers"`) {
		t.Errorf("purchases among sellers: %+v", r)
	}
	stranger := l.put("strangers/a.parquet", []byte("x"))
	batches, err := p.ProcessBatch(t.Context(), service.MessageBatch{stranger}.Copy())
	if err != nil {
		t.Fatal(err)
	}
	if err := batches[0][0].GetError(); err == nil || !strings.Contains(err.Error(), "sellers") || !strings.Contains(err.Error(), "strangers") {
		t.Errorf("got %v", err)
	}
}

// A worker set a row aside and died before it could say so. Then the row comes again in an object with
// other bounds, and the object that the worker had is gone.
func TestI4ARefusedRowIsInQuarantineOnceAfterACrashAndARedelivery(t *testing.T) {
	l := newLake(t)
	rows := goodRows(0, 29)
	rows[15].json = `{"id":"bad"}`
	l.put(rawKey(day, 10), encode(t, "purchases", rows[10:20]...))
	slice := store.Slice{Entity: "purchases", Topic: "purchases", Partition: 3, Day: "purchase_date=" + day}
	crashed, err := l.ledger.LockStage(t.Context(), slice)
	if err != nil {
		t.Fatal(err)
	}
	left := []store.Target{
		{Bucket: l.stage, Key: rawKey(day, 10)},
		{Bucket: l.quarantine, Key: "purchases/layer=stage/date=2026-01-03/purchases-3-10.parquet"},
	}
	if _, err := crashed.Intend(t.Context(), rawKey(day, 10), left); err != nil {
		t.Fatal(err)
	}
	for _, target := range left {
		if err := l.open().copy(t.Context(), object{bucket: l.raw, key: rawKey(day, 10)}, target, nil); err != nil {
			t.Fatal(err)
		}
	}
	crashed.Release()
	if err := l.client.RemoveObject(t.Context(), l.raw, rawKey(day, 10), minio.RemoveObjectOptions{}); err != nil {
		t.Fatal(err)
	}

	r := l.process(l.processor, l.put(rawKey(day, 5), encode(t, "purchases", rows[5:]...)))[0]
	if r.RowsOut != 24 || r.RowsRefused != 1 {
		t.Fatalf("got %+v", r)
	}
	if refused := l.refusedRows(); len(refused) != 1 || refused[0].Offset != 15 {
		t.Fatalf("quarantine holds %+v", refused)
	}
	l.wantOffsets(slices.DeleteFunc(upTo(5, 29), func(offset int64) bool { return offset == 15 }))
}

// A sink whose batches are redelivered with other bounds and which dies before and after it registers
// them, and workers that die at any point: each row is in STAGE or in quarantine, once.
func TestI3WhoeverDiesWhereverEachRowIsThereOnce(t *testing.T) {
	const total, workers = 600, 3
	l := newLake(t)
	rows := goodRows(0, total-1)
	var good, bad []int64
	for i := range rows {
		if i%50 == 7 {
			rows[i].json = fmt.Sprintf(`{"id":"bad-%d"}`, i)
			bad = append(bad, int64(i))
		} else {
			good = append(good, int64(i))
		}
	}
	var wg sync.WaitGroup
	done := make(chan struct{})
	wg.Go(func() {
		defer close(done)
		l.sink(rand.New(rand.NewPCG(1, 1)), rows)
	})
	for worker := range workers {
		w := l.newWorker(uint64(worker))
		wg.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
				}
				l.dieSometime(w)
			}
		})
	}
	wg.Wait()
	if t.Failed() {
		return
	}
	l.process(l.processor, l.pending()...)
	l.wantPending(0)
	l.wantOffsets(good)
	var refused []int64
	for _, row := range l.refusedRows() {
		refused = append(refused, row.Offset)
	}
	if slices.Sort(refused); !slices.Equal(refused, bad) {
		t.Errorf("quarantine holds offsets %v, want %v", refused, bad)
	}
}

// sink writes rows to RAW and registers them, until all of them are acknowledged.
func (l *lake) sink(random *rand.Rand, rows []rawRow) {
	reach := map[string]int{}
	for acknowledged := 0; acknowledged < len(rows); {
		first := acknowledged
		if random.IntN(3) == 0 {
			first -= random.IntN(min(first, 40) + 1) // a consumer that has not heard of the last commit
		}
		end := min(acknowledged+1+random.IntN(40), len(rows))
		key := rawKey(day, int64(first))
		// the object that reaches further stays, and was registered or will be by this redelivery
		end = max(end, reach[key])
		reach[key] = end
		msg := l.put(key, encode(l, "purchases", rows[first:end]...))
		fate := random.IntN(10)
		if fate < 3 {
			continue
		}
		l.register(int64(end-1), msg)
		if fate >= 5 {
			acknowledged = end
		}
	}
}

// mortal is a connection to the store that ends its worker's life: after something was written as a rule,
// which is when a crash does harm.
type mortal struct {
	http.RoundTripper
	random *rand.Rand
	die    context.CancelFunc
}

func (m *mortal) RoundTrip(request *http.Request) (*http.Response, error) {
	answer, err := m.RoundTripper.RoundTrip(request)
	if limit := map[string]int{http.MethodPut: 4, http.MethodDelete: 3}[request.Method]; m.random.IntN(10) < limit {
		m.die()
	}
	return answer, err
}

// worker is a processor that dies now and then.
type worker struct {
	*processor
	*mortal
}

func (l *lake) newWorker(seed uint64) *worker {
	l.Helper()
	w := &worker{l.newProcessor(), &mortal{RoundTripper: http.DefaultTransport, random: rand.New(rand.NewPCG(2, seed))}}
	config := w.cfg.objects
	client, err := minio.New(strings.TrimPrefix(config.Endpoint, "http://"), &minio.Options{
		Creds: credentials.NewStaticV4(config.AccessKey, config.SecretKey, ""), Region: config.Region, Transport: w.mortal,
	})
	if err != nil {
		l.Fatal(err)
	}
	w.client = client
	return w
}

// dieSometime stages what is pending, or begins to.
func (l *lake) dieSometime(w *worker) {
	batch := l.pending()
	w.random.Shuffle(len(batch), func(i, j int) { batch[i], batch[j] = batch[j], batch[i] })
	ctx, die := context.WithCancel(l.Context())
	defer die()
	w.die = die
	for _, msg := range batch {
		_, _ = w.ProcessBatch(ctx, service.MessageBatch{msg}) // what it meets does not matter, what it leaves does
	}
}
