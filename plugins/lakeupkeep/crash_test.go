package lakeupkeep

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"

	"github.com/shop-connect/shop-connect/internal/store"
)

// mortal is a transport that ends its process, a context, after some answers of the store.
type mortal struct {
	left atomic.Int64
	die  context.CancelFunc
}

var errDead = errors.New("the process is dead")

func (m *mortal) RoundTrip(request *http.Request) (*http.Response, error) {
	response, err := http.DefaultTransport.RoundTrip(request)
	if m.left.Add(-1) < 0 {
		m.die()
		if err == nil {
			response.Body.Close()
		}
		return nil, errDead
	}
	return response, err
}

// killed merges, and is killed when the store has done its n-th request; done is whether it came that far.
func (l *testLake) killed(layer store.Layer, fields string, n int64) (done bool) {
	l.Helper()
	p := l.compactor(layer, fields)
	ctx, die := context.WithCancel(l.Context())
	defer die()
	m := &mortal{die: die}
	m.left.Store(n)
	client, err := minio.New(strings.TrimPrefix(l.config.Endpoint, "http://"), &minio.Options{
		Creds: credentials.NewStaticV4(l.config.AccessKey, l.config.SecretKey, ""), Region: "us-east-1", Transport: m, MaxRetries: 1,
	})
	if err != nil {
		l.Fatal(err)
	}
	p.client = client
	_, err = process[compactReport](ctx, p)
	return err == nil
}

// However far the one came that was killed, no row is missing, and the next run leaves each there once.
func TestI3I4ACompactionKilledAnywhereLosesNoRowAndTheNextFinishesIt(t *testing.T) {
	l := newTestLake(t)
	for _, layer := range layers {
		doubled, merged := false, false
		for n := int64(0); ; n++ {
			if n > 60 {
				t.Fatalf("%s: it never ends", layer)
			}
			date := time.Date(2025, 1, int(n), 0, 0, 0, 0, time.UTC).Format(time.DateOnly)
			if layer == store.LayerStage {
				date = strings.Replace(date, "20", "19", 1)
			}
			prefix := "purchases/purchase_date=" + date + "/"
			for k := range int64(4) {
				l.sink(date, 3, rowsOf(k*5, k*5+4)...)
			}
			l.toStage()
			done := l.killed(layer, "day: "+date+"\n", n)
			after := l.offsets(l.bucket(layer), prefix)
			doubled = doubled || len(after) > 20
			if distinct := slices.Compact(slices.Clone(after)); !slices.Equal(distinct, upTo(0, 19)) {
				t.Fatalf("%s, killed after %d requests: %v", layer, n, after)
			}
			r := l.compact(layer, "day: "+date+"\n")
			merged = merged || r.Merged == 4
			l.wantOffsets(l.bucket(layer), prefix, upTo(0, 19))
			if open, err := l.ledger.OpenCompactions(t.Context(), layer, l.bucket(layer), "purchases"); err != nil || len(open) != 0 {
				t.Fatalf("killed after %d requests: %+v is open, %v", n, open, err)
			}
			if again := l.compact(layer, "day: "+date+"\n"); again.Merged != 0 || again.Left != 1 {
				t.Fatalf("killed after %d requests: %+v", n, again)
			}
			if out, waiting := l.toStage(), l.pending(); out != 0 || len(waiting) != 0 {
				t.Fatalf("killed after %d requests: %d rows came to STAGE, %d objects wait", n, out, len(waiting))
			}
			if done {
				break
			}
		}
		if !doubled || !merged {
			t.Errorf("%s: it was never killed between the merged object and its sources", layer)
		}
	}
	if run := l.run(); !run.Reconciles() || run.RowsOut != run.RowsIn {
		t.Errorf("the ledger has %+v", run)
	}
}

// A source that is overwritten while it is merged may hold more than what was read: it stays.
func TestI4ASourceOverwrittenBeforeItIsRemovedStays(t *testing.T) {
	l := newTestLake(t)
	for k := range int64(4) {
		l.sink(day, 3, rowsOf(k*10, k*10+9)...)
	}
	l.toStage()
	for n := int64(0); len(l.offsets(l.raw, "")) == 40; n++ {
		if l.killed(store.LayerRaw, "", n) {
			t.Fatal("it was never killed between the merged object and its sources")
		}
	}
	l.sink(day, 3, rowsOf(30, 49)...)
	l.compact(store.LayerRaw, "")
	if keys := l.keys(l.raw); len(keys) != 2 || !slices.Contains(keys, keyOf(day, 3, 30)) {
		t.Fatalf("RAW has %v", keys)
	}
	if out := l.toStage(); out != 10 {
		t.Errorf("%d rows are new", out)
	}
	l.wantOffsets(l.stage, "", upTo(0, 49))
}

// A sink that redelivers, runs of RAW to STAGE, and compactions of both layers that are killed anywhere,
// all at once. Whoever lists and reads STAGE meanwhile misses no row that was there before.
func TestI3I4CompactionsBesideEveryoneElse(t *testing.T) {
	const total = 600
	l := newTestLake(t)
	rows := rowsOf(0, total-1)
	var wg sync.WaitGroup
	done := make(chan struct{})
	working := func() bool {
		select {
		case <-done:
			return false
		default:
			return !t.Failed()
		}
	}
	wg.Go(func() {
		defer close(done)
		random := rand.New(rand.NewPCG(1, 1))
		for at := 0; at < total; {
			last := min(at+3+random.IntN(8), total)
			l.sink(day, 3, rows[at:last]...)
			if random.IntN(3) > 0 { // else it crashed before its offset was committed
				at = last
			}
		}
	})
	wg.Go(func() {
		for working() {
			l.toStage()
		}
	})
	for seed, layer := range []store.Layer{store.LayerRaw, store.LayerStage, store.LayerStage} {
		wg.Go(func() {
			random := rand.New(rand.NewPCG(2, uint64(seed)))
			for working() {
				l.killed(layer, "min_objects: 3\n", random.Int64N(60))
			}
		})
	}
	wg.Go(func() {
		there := map[int64]bool{}
		for working() {
			seen, complete := l.look()
			if !complete {
				continue // an object went between the listing and the reading: whoever reads begins again
			}
			for offset := range there {
				if !seen[offset] {
					t.Errorf("a reader of STAGE misses offset %d", offset)
					return
				}
			}
			maps.Copy(there, seen)
		}
	})
	wg.Wait()
	if t.Failed() {
		return
	}
	l.toStage()
	for _, layer := range layers {
		l.compact(layer, "min_objects: 2\n")
		l.wantOffsets(l.bucket(layer), "", upTo(0, total-1))
	}
	if out, waiting := l.toStage(), l.pending(); out != 0 || len(waiting) != 0 {
		t.Errorf("%d rows came to STAGE, %d objects wait", out, len(waiting))
	}
}

// look lists STAGE in small pages and reads what it lists.
func (l *testLake) look() (seen map[int64]bool, complete bool) {
	seen = map[int64]bool{}
	for info := range l.client.ListObjectsIter(l.Context(), l.stage, minio.ListObjectsOptions{Recursive: true, MaxKeys: 5}) {
		if info.Err != nil {
			l.Error(info.Err)
			return nil, false
		}
		content, err := l.get(l.stage, info.Key)
		if err != nil {
			if minio.ToErrorResponse(err).Code != minio.NoSuchKey {
				l.Error(fmt.Errorf("%s: %w", info.Key, err))
			}
			return nil, false
		}
		for _, offset := range offsetsIn(l, content) {
			seen[offset] = true
		}
	}
	return seen, true
}
