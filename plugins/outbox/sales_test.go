package outbox

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/shop-connect/shop-connect/internal/store"
)

// ledger is what a reader of the topics believes, who takes the later event of a purchase for the truth.
type ledger map[string]int64

func (l ledger) apply(t *testing.T, payload []byte) {
	t.Helper()
	var event struct {
		ID       string `json:"id"`
		Quantity int64  `json:"quantity"`
		Deleted  bool   `json:"deleted"`
	}
	if err := json.Unmarshal(payload, &event); err != nil {
		t.Fatal(err)
	}
	if event.Deleted {
		delete(l, event.ID)
		return
	}
	l[event.ID] = event.Quantity
}

// Buyers buy, buy again under the same id and delete, while the relay is rejected, cut off from the
// database and replaced. Nothing that was committed may be missing behind it, and nothing else be there.
func TestI1I3WhatIsSoldAndWhatIsPublishedAgreeWhateverFails(t *testing.T) {
	for seed := range uint64(3) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) { sellAmidFailures(t, seed) })
	}
}

func sellAmidFailures(t *testing.T, seed uint64) {
	const products, pieces, buyers, steps = 2, 60, 6, 50
	st, dsn := shop(t)
	for p := range products {
		_, err := st.Pool().Exec(t.Context(), `INSERT INTO products (id, name, category, price, stock) VALUES ($1, '', '', 1, $2)`, fmt.Sprint(p), pieces)
		if err != nil {
			t.Fatal(err)
		}
	}
	var wg sync.WaitGroup
	for b := range buyers {
		wg.Go(func() { buy(t, st, rand.New(rand.NewPCG(seed, uint64(b))), products, steps) })
	}
	bought := make(chan struct{})
	go func() {
		wg.Wait()
		close(bought)
	}()

	published := ledger{}
	in := connected(t, dsn)
	random := rand.New(rand.NewPCG(seed, 1<<32))
	for done := false; !done || left(t, st) > 0; {
		select {
		case <-bought:
			done = true
		default:
		}
		if left(t, st) == 0 {
			continue
		}
		in.relay.hurry()
		batch, ack := readBatch(t, in)
		switch random.IntN(6) {
		case 0: // Kafka has some of it, and says no
			for _, payload := range batch[:random.IntN(len(batch))] {
				published.apply(t, payload)
			}
			answer(t, ack, errors.New("Kafka is away"))
			continue
		case 1: // the process ends after Kafka has all of it
			_ = in.Close(t.Context())
			in = connected(t, dsn)
		case 2: // the database lets go of the relay
			terminate(t, st)
			_ = ack(t.Context(), nil)
		default:
			answer(t, ack, nil)
		}
		for _, payload := range batch {
			published.apply(t, payload)
		}
	}
	agree(t, st, published, products*pieces)
}

// buy does what clients do, those included that repeat themselves.
func buy(t *testing.T, st *store.Store, random *rand.Rand, products, steps int) {
	for range steps {
		id := fmt.Sprint("purchase ", random.IntN(40))
		if random.IntN(3) == 0 {
			if err := st.DeletePurchase(t.Context(), id); err != nil && !errors.Is(err, store.ErrNotFound) {
				t.Error(err)
			}
			continue
		}
		sale := store.Sale{IDGiven: true, TimeGiven: true, Purchase: store.Purchase{
			ID: id, ProductID: fmt.Sprint(random.IntN(products)), CustomerID: 1, SellerID: 1, Quantity: 1 + random.Int64N(5),
			PurchasedAt: time.Unix(0, 0).UTC(),
		}}
		_, err := st.Sell(t.Context(), sale)
		if err != nil && !errors.Is(err, store.ErrNoStock) && !errors.Is(err, store.ErrOtherPurchase) {
			t.Error(err)
		}
	}
}

// hurry forgets the pause after a rejection, for which tests have no time.
func (r *relay) hurry() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.pause = 0
}

func agree(t *testing.T, st *store.Store, published ledger, pieces int64) {
	t.Helper()
	var stock int64
	if err := st.Pool().QueryRow(t.Context(), `SELECT sum(stock)::bigint FROM products`).Scan(&stock); err != nil {
		t.Fatal(err)
	}
	rows, err := st.Pool().Query(t.Context(), `SELECT id, quantity FROM purchases`)
	if err != nil {
		t.Fatal(err)
	}
	committed := ledger{}
	var id string
	var quantity int64
	if _, err := pgx.ForEachRow(rows, []any{&id, &quantity}, func() error {
		committed[id] = quantity
		stock += quantity
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if stock != pieces {
		t.Errorf("stock and sales are %d pieces together, not %d", stock, pieces)
	}
	if fmt.Sprint(published) != fmt.Sprint(committed) {
		t.Errorf("published is\n%v, committed is\n%v", published, committed)
	}
	if len(committed) == 0 {
		t.Error("nothing is sold, so nothing is tested")
	}
}
