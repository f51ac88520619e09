package outbox

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/redpanda-data/benthos/v4/public/service"

	"github.com/shop-connect/shop-connect/internal/store"
	"github.com/shop-connect/shop-connect/internal/testservers"
)

func TestMain(m *testing.M) { testservers.Main(m) }

const patience = 20 * time.Second

// shop is a database with an outbox.
func shop(t *testing.T) (*store.Store, string) {
	t.Helper()
	dsn := testservers.Postgres(t)
	st, err := store.Open(t.Context(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(st.Close)
	return st, dsn
}

func connected(t *testing.T, dsn string) *input {
	t.Helper()
	return connectedWith(t, dsn, "handover_wait: 1ms")
}

func connectedWith(t *testing.T, dsn, fields string) *input {
	t.Helper()
	conf, err := Spec().ParseYAML("postgres_dsn: "+dsn+"\n"+fields, nil)
	if err != nil {
		t.Fatal(err)
	}
	in, err := newInput(conf, service.MockResources())
	if err != nil {
		t.Fatal(err)
	}
	if err := in.Connect(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = in.Close(context.Background()) })
	return in
}

func begin(t *testing.T, st *store.Store) pgx.Tx {
	t.Helper()
	tx, err := st.Pool().Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = tx.Rollback(context.Background()) })
	return tx
}

func enqueue(t *testing.T, tx pgx.Tx, keys ...string) {
	t.Helper()
	for _, key := range keys {
		if err := store.Enqueue(t.Context(), tx, "purchases", key, []byte("about "+key)); err != nil {
			t.Fatal(err)
		}
	}
}

func commit(t *testing.T, tx pgx.Tx) {
	t.Helper()
	if err := tx.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func committed(t *testing.T, st *store.Store, keys ...string) {
	t.Helper()
	tx := begin(t, st)
	enqueue(t, tx, keys...)
	commit(t, tx)
}

// next returns the next batch, reading again where the connection was lost.
func next(t *testing.T, in *input) (service.MessageBatch, service.AckFunc) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for {
		batch, ack, err := in.ReadBatch(ctx)
		if errors.Is(err, service.ErrNotConnected) {
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		return batch, ack
	}
}

// read returns the keys of the next batch.
func read(t *testing.T, in *input) (keys []string, ack service.AckFunc) {
	t.Helper()
	batch, ack := next(t, in)
	for _, msg := range batch {
		key, _ := msg.MetaGet(MetaKey)
		keys = append(keys, key)
	}
	return keys, ack
}

// readBatch returns the payloads of the next batch.
func readBatch(t *testing.T, in *input) (payloads [][]byte, ack service.AckFunc) {
	t.Helper()
	batch, ack := next(t, in)
	for _, msg := range batch {
		payload, err := msg.AsBytes()
		if err != nil {
			t.Fatal(err)
		}
		payloads = append(payloads, payload)
	}
	return payloads, ack
}

// terminate ends the connection of whoever holds the outbox.
func terminate(t *testing.T, st *store.Store) {
	t.Helper()
	const lockOutbox = 0x6f7574
	if _, err := st.Pool().Exec(t.Context(), `
		SELECT pg_terminate_backend(pid) FROM pg_locks
		WHERE locktype = 'advisory' AND classid = $1 AND database = (SELECT oid FROM pg_database WHERE datname = current_database())`, lockOutbox); err != nil {
		t.Fatal(err)
	}
}

func answer(t *testing.T, ack service.AckFunc, err error) {
	t.Helper()
	if err := ack(t.Context(), err); err != nil {
		t.Fatal(err)
	}
}

func wantKeys(t *testing.T, got []string, want ...string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Fatalf("got %v, want %v", got, want)
	}
}

func left(t *testing.T, st *store.Store) (n int) {
	t.Helper()
	if err := st.Pool().QueryRow(t.Context(), `SELECT count(*) FROM outbox`).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

func TestI2AnEventLeavesTheOutboxOnceItIsAcknowledged(t *testing.T) {
	st, dsn := shop(t)
	committed(t, st, "a", "b")
	in := connected(t, dsn)
	keys, ack := read(t, in)
	wantKeys(t, keys, "a", "b")
	if n := left(t, st); n != 2 {
		t.Fatalf("%d events are in the outbox before the answer", n)
	}
	answer(t, ack, nil)
	if n := left(t, st); n != 0 {
		t.Fatalf("%d events are in the outbox after it", n)
	}
}

func TestATransactionThatCommitsLateLosesNothingAndHoldsUpNobody(t *testing.T) {
	st, dsn := shop(t)
	in := connected(t, dsn)
	slow, rolledBack := begin(t, st), begin(t, st)
	enqueue(t, slow, "slow")
	enqueue(t, rolledBack, "never")
	committed(t, st, "fast")
	keys, ack := read(t, in)
	wantKeys(t, keys, "fast")
	answer(t, ack, nil)
	commit(t, slow)
	if err := rolledBack.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	keys, ack = read(t, in)
	wantKeys(t, keys, "slow")
	answer(t, ack, nil)
}

// A transaction may have its id, and so its place among transactions, long before it comes to a row.
func TestEventsOfOneKeyComeInTheOrderOfTheirCommits(t *testing.T) {
	st, dsn := shop(t)
	if _, err := st.Pool().Exec(t.Context(), `INSERT INTO sellers (id, name, email, phone, address) SELECT n, '0', '', '', '' FROM generate_series(1, 3) AS n`); err != nil {
		t.Fatal(err)
	}
	const writers, changes = 6, 40
	var wg sync.WaitGroup
	failures := make([]error, writers)
	for w := range writers {
		wg.Go(func() {
			for n := range changes {
				failures[w] = errors.Join(failures[w], pgx.BeginFunc(t.Context(), st.Pool(), func(tx pgx.Tx) error {
					if n%2 == 0 { // older than its place in the queue for the row
						if _, err := tx.Exec(t.Context(), `SELECT pg_current_xact_id(), pg_sleep(0.001 * $1)`, w); err != nil {
							return err
						}
					}
					id := (w+n)%3 + 1
					var version string
					err := tx.QueryRow(t.Context(), `UPDATE sellers SET name = (name::int + 1)::text WHERE id = $1 RETURNING name`, id).Scan(&version)
					if err != nil {
						return err
					}
					return store.Enqueue(t.Context(), tx, "sellers", fmt.Sprintf("%d/%s", id, version), []byte("{}"))
				}))
			}
		})
	}
	in := connected(t, dsn)
	last := map[string]int{}
	for seen := 0; seen < writers*changes; {
		keys, ack := read(t, in)
		for _, key := range keys {
			id, text, _ := strings.Cut(key, "/")
			version, err := strconv.Atoi(text)
			if err != nil || version != last[id]+1 {
				t.Fatalf("seller %s: version %d came after %d (%v)", id, version, last[id], err)
			}
			last[id] = version
		}
		seen += len(keys)
		answer(t, ack, nil)
	}
	wg.Wait()
	if err := errors.Join(failures...); err != nil {
		t.Fatal(err)
	}
}

func TestARejectedBatchComesAgainInOrder(t *testing.T) {
	st, dsn := shop(t)
	committed(t, st, "a", "b", "c")
	in := connected(t, dsn)
	keys, ack := read(t, in)
	wantKeys(t, keys, "a", "b", "c")
	answer(t, ack, errors.New("Kafka is away"))
	for _, want := range []string{"a", "b", "c"} {
		keys, ack := read(t, in)
		wantKeys(t, keys, want)
		answer(t, ack, nil)
	}
	committed(t, st, "d", "e")
	keys, ack = read(t, in)
	wantKeys(t, keys, "d", "e")
	answer(t, ack, nil)
}

func TestI1EventsComeAgainWhenTheConnectionEndsBeforeTheAnswer(t *testing.T) {
	st, dsn := shop(t)
	committed(t, st, "a", "b")
	in := connected(t, dsn)
	keys, ack := read(t, in)
	wantKeys(t, keys, "a", "b")
	terminate(t, st)
	if err := ack(t.Context(), nil); err == nil {
		t.Fatal("events are taken out by who has lost the lock")
	}
	keys, ack = read(t, in)
	wantKeys(t, keys, "a", "b")
	answer(t, ack, nil)
}

func TestAnEventThatKafkaWillNotHaveHoldsUpNobody(t *testing.T) {
	st, dsn := shop(t)
	committed(t, st, "bad", "worse", "good", "fine")
	in := connected(t, dsn)
	var taken []string
	for len(taken) < 2 {
		keys, ack := read(t, in)
		var err error
		if slices.Contains(keys, "bad") || slices.Contains(keys, "worse") {
			err = errors.New("message too large")
		} else {
			taken = append(taken, keys...)
		}
		answer(t, ack, err)
	}
	committed(t, st, "last")
	for len(taken) < 3 {
		keys, ack := read(t, in)
		if slices.Equal(keys, []string{"bad"}) || slices.Equal(keys, []string{"worse"}) {
			answer(t, ack, errors.New("message too large"))
			continue
		}
		taken = append(taken, keys...)
		answer(t, ack, nil)
	}
	wantKeys(t, taken, "good", "fine", "last")
	var aside int
	if err := st.Pool().QueryRow(t.Context(), `SELECT count(*) FROM outbox WHERE refused = 'message too large'`).Scan(&aside); err != nil || aside != 2 {
		t.Fatalf("%d events are kept with the reason, %v", aside, err)
	}
}

func TestNothingIsSetAsideWhileKafkaIsAway(t *testing.T) {
	st, dsn := shop(t)
	committed(t, st, "a", "b", "c")
	in := connected(t, dsn)
	for range 9 {
		_, ack := read(t, in)
		answer(t, ack, errors.New("Kafka is away"))
		in.relay.hurry()
	}
	taken := map[string]bool{}
	for len(taken) < 3 {
		keys, ack := read(t, in)
		for _, key := range keys {
			taken[key] = true
		}
		answer(t, ack, nil)
	}
	if n := left(t, st); n != 0 {
		t.Fatalf("%d events are left", n)
	}
}

func TestOneStreamReadsAndAnotherTakesOver(t *testing.T) {
	st, dsn := shop(t)
	first, second := connected(t, dsn), connected(t, dsn)
	committed(t, st, "a")
	_, ack := read(t, first)
	ctx, cancel := context.WithTimeout(t.Context(), 2*turnInterval)
	defer cancel()
	if batch, _, err := second.ReadBatch(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("the second read %v, %v", batch, err)
	}
	answer(t, ack, nil)
	committed(t, st, "b")
	if err := first.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	keys, ack := read(t, second)
	wantKeys(t, keys, "b")
	answer(t, ack, nil)
}

// What a relay sent before it was killed may come to Kafka after that. Whoever is next must not be faster.
func TestWhoeverTakesOverAmidABatchWaitsForWhatIsUnderWay(t *testing.T) {
	const wait = 400 * time.Millisecond
	for _, tc := range []struct {
		name  string
		end   func(first *input, st *store.Store, ack service.AckFunc)
		waits bool
	}{
		{"killed amid a batch", func(first *input, _ *store.Store, _ service.AckFunc) { _ = first.Close(t.Context()) }, true},
		{"cut off from PostgreSQL amid a batch", func(_ *input, st *store.Store, _ service.AckFunc) { terminate(t, st) }, true},
		{"Kafka did not answer in time", func(first *input, _ *store.Store, ack service.AckFunc) {
			answer(t, ack, errors.New("timeout"))
			_ = first.Close(t.Context())
		}, true},
		{"ended when all was answered", func(first *input, st *store.Store, ack service.AckFunc) {
			answer(t, ack, nil)
			committed(t, st, "newer")
			_ = first.Close(t.Context())
		}, false},
	} {
		st, dsn := shop(t)
		committed(t, st, "older")
		first := connectedWith(t, dsn, "handover_wait: 400ms")
		_, ack := read(t, first)
		second := connectedWith(t, dsn, "handover_wait: 400ms")
		ended := time.Now()
		tc.end(first, st, ack)
		read(t, second)
		// without waiting it is its turn in far less: it asks at once
		if took := time.Since(ended); (took >= wait) != tc.waits {
			t.Errorf("%s: the next one publishes after %v", tc.name, took)
		}
	}
}

func TestWhoeverTakesOverAnEmptyOutboxPublishesAtOnce(t *testing.T) {
	st, dsn := shop(t)
	first := connected(t, dsn)
	committed(t, st, "a")
	_, ack := read(t, first)
	answer(t, ack, nil)
	terminate(t, st)
	second := connectedWith(t, dsn, "handover_wait: 1h")
	taken := make(chan []string)
	go func() {
		keys, _ := read(t, second)
		taken <- keys
	}()
	for holder := first.relay.name; holder == first.relay.name; { // its turn comes while nothing is there
		if err := st.Pool().QueryRow(t.Context(), `SELECT holder FROM outbox_turn`).Scan(&holder); err != nil {
			t.Fatal(err)
		}
	}
	committed(t, st, "b")
	wantKeys(t, <-taken, "b")
}

func TestCloseIsSafeTwiceAndBeforeConnect(t *testing.T) {
	conf, err := Spec().ParseYAML("postgres_dsn: postgres://user:password@127.0.0.1:1/shop", nil)
	if err != nil {
		t.Fatal(err)
	}
	in, err := newInput(conf, service.MockResources())
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(in.Close(t.Context()), in.Close(t.Context())); err != nil {
		t.Fatal(err)
	}
}

func TestFaultsOfTheConfigAreReportedTogether(t *testing.T) {
	conf, err := Spec().ParseYAML("postgres_dsn: ''\nbatch_size: 0\nattempts: 0\npoll_interval: 0s\nhandover_wait: 0s", nil)
	if err != nil {
		t.Fatal(err)
	}
	_, err = newInput(conf, service.MockResources())
	for _, field := range []string{fieldPostgres, fieldBatchSize, fieldAttempts, fieldPollInterval, fieldHandoverWait} {
		if err == nil || !strings.Contains(err.Error(), field) {
			t.Errorf("field %s is not named: %v", field, err)
		}
	}
}
