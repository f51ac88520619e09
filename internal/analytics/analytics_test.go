package analytics_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"

	"github.com/shop-connect/shop-connect/internal/analytics"
	"github.com/shop-connect/shop-connect/internal/env"
	"github.com/shop-connect/shop-connect/internal/provision"
	"github.com/shop-connect/shop-connect/internal/store"
	"github.com/shop-connect/shop-connect/internal/testservers"
)

func TestMain(m *testing.M) { testservers.Main(m) }

var start = time.Date(2026, 1, 1, 23, 50, 0, 123_456_000, time.UTC)

// shop returns a reader of empty tables, and what fills them.
func shop(t *testing.T) (*analytics.Reader, *sql.DB) {
	t.Helper()
	vars := testservers.Env(t)
	if err := provision.All(t.Context(), vars); err != nil {
		t.Fatal(err)
	}
	options, err := clickhouse.ParseDSN(vars[env.ClickHouseDSN])
	if err != nil {
		t.Fatal(err)
	}
	db := clickhouse.OpenDB(options)
	t.Cleanup(func() { db.Close() })
	for _, table := range []string{"purchases", "purchase_day_index"} {
		execute(t, db, "TRUNCATE TABLE "+table)
	}
	r, err := analytics.Open(vars[env.ClickHouseDSN])
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	return r, db
}

func execute(t *testing.T, db *sql.DB, statement string, arguments ...any) {
	t.Helper()
	if _, err := db.ExecContext(t.Context(), statement, arguments...); err != nil {
		t.Fatalf("%s: %v", statement, err)
	}
}

// insert writes purchases as the sink does: a row, and where to find it.
func insert(t *testing.T, db *sql.DB, version int, deleted bool, purchases ...store.Purchase) {
	t.Helper()
	var rows, days []string
	for _, p := range purchases {
		day := p.PurchasedAt.Format(time.DateOnly)
		rows = append(rows, fmt.Sprintf("('%s', '%s', %d, %d, %d, %s, fromUnixTimestamp64Micro(%d), '%s', %d, %t)",
			quoted(p.ID), quoted(p.ProductID), p.CustomerID, p.SellerID, p.Quantity, p.Price, p.PurchasedAt.UnixMicro(), day, version, deleted))
		days = append(days, fmt.Sprintf("('%s', '%s', %d)", quoted(p.ID), day, version))
	}
	execute(t, db, `INSERT INTO purchases (id, product_id, customer_id, seller_id, quantity, price_at_time, purchased_at, purchase_date, version, is_deleted) VALUES `+strings.Join(rows, ", "))
	execute(t, db, `INSERT INTO purchase_day_index (id, day, version) VALUES `+strings.Join(days, ", "))
}

func quoted(s string) string { return strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(s) }

func purchase(id string, at time.Time) store.Purchase {
	return store.Purchase{ID: id, ProductID: "p", CustomerID: 1, SellerID: 2, Quantity: 3, Price: 199_901, PurchasedAt: at}
}

func TestI5I6APurchaseIsReadExactly(t *testing.T) {
	r, db := shop(t)
	want := purchase("a", start)
	odd := purchase(`it's \ 100% ? "odd"`, start)
	insert(t, db, 2, false, want, odd)
	for _, p := range []store.Purchase{want, odd} {
		if got, err := r.Purchase(t.Context(), p.ID); err != nil || got != p {
			t.Errorf("got %+v, %v, want %+v", got, err, p)
		}
	}
	if _, err := r.Purchase(t.Context(), "a' OR '1'='1"); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("unknown: %v", err)
	}
}

func TestI3ADeletedOrCorrectedPurchaseCountsAsItIsNow(t *testing.T) {
	r, db := shop(t)
	gone, moved := purchase("gone", start), purchase("moved", start)
	insert(t, db, 2, false, gone, moved)
	insert(t, db, 4, true, gone, moved)
	moved.PurchasedAt = start.AddDate(0, 1, 0)
	insert(t, db, 4, false, moved)
	if _, err := r.Purchase(t.Context(), "gone"); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("deleted: %v", err)
	}
	if got, err := r.Purchase(t.Context(), "moved"); err != nil || got != moved {
		t.Errorf("got %+v, %v", got, err)
	}
	if all := pages(t, r, analytics.Wanted{}, store.Page{Limit: 10}); !slices.Equal(all, []string{"moved"}) {
		t.Errorf("listed are %v", all)
	}
}

// pages walks a list to its end and returns the ids.
func pages(t *testing.T, r *analytics.Reader, wanted analytics.Wanted, page store.Page) (ids []string) {
	t.Helper()
	for {
		found, next, err := r.Purchases(t.Context(), wanted, page)
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range found {
			ids = append(ids, p.ID)
		}
		if next == "" {
			return ids
		}
		if len(found) != page.Limit {
			t.Fatalf("a page that is not the last has %d rows, not %d", len(found), page.Limit)
		}
		page.Cursor, page.Skip = next, 0
	}
}

func TestPagesHoldEveryPurchaseOnceNewestFirst(t *testing.T) {
	r, db := shop(t)
	var all []store.Purchase
	var want, ofOne []string
	at := start
	for i := range 200 {
		p := purchase(fmt.Sprintf("id-%03d", i), at)
		if i%10 == 0 {
			p.CustomerID, p.ProductID = 7, "rare"
			ofOne = append(ofOne, p.ID)
		}
		all, want = append(all, p), append(want, p.ID)
		switch {
		case i%3 == 0: // two at the same moment
		case i%50 == 49:
			at = at.AddDate(0, 7, 0)
		default:
			at = at.Add(5 * time.Minute)
		}
	}
	slices.Reverse(want)
	slices.Reverse(ofOne)
	insert(t, db, 2, false, all...)
	for _, limit := range []int{1, 7, 50, 200, 201} {
		if got := pages(t, r, analytics.Wanted{}, store.Page{Limit: limit}); !slices.Equal(got, want) {
			t.Fatalf("limit %d: got %v", limit, got)
		}
	}
	for _, wanted := range []analytics.Wanted{{CustomerID: 7}, {ProductID: "rare"}, {CustomerID: 7, ProductID: "rare"}} {
		if got := pages(t, r, wanted, store.Page{Limit: 3}); !slices.Equal(got, ofOne) {
			t.Fatalf("%+v: got %v", wanted, got)
		}
	}
	if got := pages(t, r, analytics.Wanted{}, store.Page{Limit: 20, Skip: 130}); !slices.Equal(got, want[130:]) {
		t.Fatalf("skipping: got %v", got)
	}
	if got := pages(t, r, analytics.Wanted{CustomerID: 99}, store.Page{Limit: 20}); len(got) > 0 {
		t.Fatalf("nobody bought %v", got)
	}
	if got := pages(t, r, analytics.Wanted{}, store.Page{Limit: 20, Skip: 500}); len(got) > 0 {
		t.Fatalf("behind the end is %v", got)
	}
}

func TestAForgedCursorIsRefused(t *testing.T) {
	r, _ := shop(t)
	for _, cursor := range []string{"x", "bm90IGpzb24", "eyJkIjo5OTk5OTk5OTl9", "eyJkIjotOTk5OTk5OTl9"} {
		if _, _, err := r.Purchases(t.Context(), analytics.Wanted{}, store.Page{Limit: 1, Cursor: cursor}); !errors.Is(err, store.ErrCursor) {
			t.Errorf("%s: %v", cursor, err)
		}
	}
}

func TestAServerThatIsAwayIsAnErrorInBoundedTime(t *testing.T) {
	r, err := analytics.Open("http://shop:hunter2@127.0.0.1:1/analytics")
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	if _, err := r.Purchase(ctx, "a"); err == nil || errors.Is(err, store.ErrNotFound) || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("got %v", err)
	}
}
