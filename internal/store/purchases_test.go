package store_test

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/shop-connect/shop-connect/internal/store"
)

// stocked is a shop that has so many pieces of product p, at 19.99.
func stocked(t *testing.T, pieces int64) *store.Store {
	t.Helper()
	s := open(t)
	if _, err := s.Pool().Exec(t.Context(), `INSERT INTO products (id, name, category, price, stock) VALUES ('p', 'Pen', 'office', 19.99, $1)`, pieces); err != nil {
		t.Fatal(err)
	}
	return s
}

var soldAt = time.Date(2026, 1, 2, 3, 4, 5, 678_901_000, time.UTC)

func sale(id string, quantity int64) store.Sale {
	return store.Sale{
		Purchase: store.Purchase{ID: id, ProductID: "p", CustomerID: 1, SellerID: 2, Quantity: quantity, PurchasedAt: soldAt},
		IDGiven:  true, TimeGiven: true,
	}
}

func sell(t *testing.T, s *store.Store, wanted store.Sale) store.Purchase {
	t.Helper()
	sold, err := s.Sell(t.Context(), wanted)
	if err != nil {
		t.Fatal(err)
	}
	return sold
}

func wantStock(t *testing.T, s *store.Store, want int64) {
	t.Helper()
	var stock int64
	if err := s.Pool().QueryRow(t.Context(), `SELECT stock FROM products WHERE id = 'p'`).Scan(&stock); err != nil || stock != want {
		t.Fatalf("the stock is %d, want %d (%v)", stock, want, err)
	}
}

// wantEvents reads the payloads of the outbox, in order.
func wantEvents(t *testing.T, s *store.Store, want ...string) {
	t.Helper()
	var got string
	if err := s.Pool().QueryRow(t.Context(), `SELECT coalesce(string_agg(topic || ' ' || key || ' ' || convert_from(payload, 'UTF8'), E'\n' ORDER BY seq), '') FROM outbox`).Scan(&got); err != nil {
		t.Fatal(err)
	}
	if got != strings.Join(want, "\n") {
		t.Fatalf("events are\n%s\nwant\n%s", got, strings.Join(want, "\n"))
	}
}

const soldEvent = `purchases a {"id":"a","product_id":"p","customer_id":1,"seller_id":2,"quantity":3,"price_at_time":19.99,"purchased_at":"2026-01-02T03:04:05.678901Z"}`

func TestTheLastTenPiecesAreSoldToTenOfAHundred(t *testing.T) {
	s := stocked(t, 10)
	var sold, refused atomic.Int64
	var wg sync.WaitGroup
	for i := range 100 {
		wg.Go(func() {
			switch _, err := s.Sell(t.Context(), sale(fmt.Sprint(i), 1)); {
			case err == nil:
				sold.Add(1)
			case errors.Is(err, store.ErrNoStock):
				refused.Add(1)
			default:
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if sold.Load() != 10 || refused.Load() != 90 {
		t.Fatalf("%d are sold, %d refused", sold.Load(), refused.Load())
	}
	wantStock(t, s, 0)
	var purchases, events int
	if err := s.Pool().QueryRow(t.Context(), `SELECT (SELECT count(*) FROM purchases), (SELECT count(*) FROM outbox)`).Scan(&purchases, &events); err != nil || purchases != 10 || events != 10 {
		t.Fatalf("%d purchases and %d events are committed, %v", purchases, events, err)
	}
}

func TestI1ASaleAndItsEventAreCommittedTogether(t *testing.T) {
	s := stocked(t, 5)
	sold := sell(t, s, sale("a", 3))
	if sold.Price.String() != "19.99" {
		t.Errorf("the price is %s, not the product's", sold.Price)
	}
	if kept, _, err := s.Purchase(t.Context(), "a"); err != nil || kept != sold {
		t.Errorf("kept is %+v, %v; sold was %+v", kept, err, sold)
	}
	if _, err := s.Sell(t.Context(), sale("b", 3)); !errors.Is(err, store.ErrNoStock) {
		t.Errorf("more than the stock: %v", err)
	}
	unknown := sale("c", 1)
	unknown.ProductID = "q"
	if _, err := s.Sell(t.Context(), unknown); !errors.Is(err, store.ErrNoProduct) {
		t.Errorf("unknown product: %v", err)
	}
	wantStock(t, s, 2)
	wantEvents(t, s, soldEvent)
}

func TestI3APurchaseSentAgainIsSoldOnce(t *testing.T) {
	s := stocked(t, 100)
	first := sell(t, s, sale("a", 3))
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			if again, err := s.Sell(t.Context(), sale("a", 3)); err != nil || again != first {
				t.Errorf("again: %+v, %v", again, err)
			}
			if _, err := s.Sell(t.Context(), sale("b", 7)); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	wantStock(t, s, 90)
	for what, change := range map[string]func(*store.Sale){
		"quantity": func(s *store.Sale) { s.Quantity++ },
		"price":    func(s *store.Sale) { s.Price, s.PriceGiven = 10_000, true },
		"time":     func(s *store.Sale) { s.PurchasedAt = soldAt.Add(time.Microsecond) },
		"customer": func(s *store.Sale) { s.CustomerID++ },
	} {
		other := sale("a", 3)
		change(&other)
		if _, err := s.Sell(t.Context(), other); !errors.Is(err, store.ErrOtherPurchase) {
			t.Errorf("another %s: %v", what, err)
		}
	}
	later := sale("a", 3)
	later.TimeGiven, later.PurchasedAt = false, time.Now()
	if again := sell(t, s, later); again != first {
		t.Errorf("without a time: %+v", again)
	}
	wantStock(t, s, 90)
}

func TestADeletedPurchaseGivesItsStockBackOnce(t *testing.T) {
	s := stocked(t, 5)
	sell(t, s, sale("a", 3))
	var deleted atomic.Int64
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			if err := s.DeletePurchase(t.Context(), "a"); err == nil {
				deleted.Add(1)
			} else if !errors.Is(err, store.ErrNotFound) {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if deleted.Load() != 1 {
		t.Errorf("it was deleted %d times", deleted.Load())
	}
	wantStock(t, s, 5)
	if _, _, err := s.Purchase(t.Context(), "a"); !errors.Is(err, store.ErrDeleted) {
		t.Errorf("reading it: %v", err)
	}
	if err := s.DeletePurchaseSentInBulk(t.Context(), "a", soldAt); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("deleting what ClickHouse still shows: %v", err)
	}
	const deletion = `purchases a {"id":"a","deleted":true,"purchased_at":"2026-01-02T03:04:05.678901Z"}`
	wantEvents(t, s, soldEvent, deletion)
	if again := sell(t, s, sale("a", 3)); again.ID != "a" {
		t.Errorf("sold again: %+v", again)
	}
	wantStock(t, s, 2)
	wantEvents(t, s, soldEvent, deletion, soldEvent)
}

func TestAPurchaseOfAProductThatIsGoneCanBeDeleted(t *testing.T) {
	s := stocked(t, 5)
	sell(t, s, sale("a", 3))
	if _, err := s.Pool().Exec(t.Context(), `DELETE FROM products`); err != nil {
		t.Fatal(err)
	}
	if err := s.DeletePurchase(t.Context(), "a"); err != nil {
		t.Fatal(err)
	}
}

func TestIdsThatPostgreSQLCannotHoldAreNotThere(t *testing.T) {
	s := open(t)
	for _, id := range []string{"a\x00b", "\xff"} {
		if _, _, err := s.Purchase(t.Context(), id); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("reading %q: %v", id, err)
		}
		if err := s.DeletePurchase(t.Context(), id); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("deleting %q: %v", id, err)
		}
	}
}
