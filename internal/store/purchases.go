package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/shop-connect/shop-connect/internal/money"
	"github.com/shop-connect/shop-connect/internal/record"
)

// topicPurchases is where events of purchases go, the same as those of the bulk endpoint.
const topicPurchases = "purchases"

// Purchase is one line of a sale. Its JSON is the event that the contract describes.
type Purchase struct {
	ID         string       `json:"id"`
	ProductID  string       `json:"product_id"`
	CustomerID int64        `json:"customer_id"`
	SellerID   int64        `json:"seller_id"`
	Quantity   int64        `json:"quantity"`
	Price      money.Amount `json:"price_at_time"`
	// PurchasedAt is in UTC, in whole microseconds (I6).
	PurchasedAt time.Time `json:"purchased_at"`
}

// Sale is a purchase that is to be made.
type Sale struct {
	Purchase
	// IDGiven, PriceGiven and TimeGiven say what the client chose. A price that is not given is the
	// product's.
	IDGiven, PriceGiven, TimeGiven bool
}

// Why a sale is not made.
var (
	ErrNoProduct     = errors.New("there is no such product")
	ErrNoStock       = errors.New("there is not enough stock")
	ErrOtherPurchase = errors.New("another purchase has this id")
)

// ErrDeleted is the ErrNotFound of a purchase that was deleted a moment ago, though others may show it.
var ErrDeleted = fmt.Errorf("%w any more", ErrNotFound)

// repeats reports whether a sale asks for what was sold already.
func (s *Sale) repeats(sold Purchase) bool {
	want := s.Purchase
	if !s.PriceGiven {
		want.Price = sold.Price
	}
	if !s.TimeGiven {
		want.PurchasedAt = sold.PurchasedAt
	}
	sameTime := want.PurchasedAt.Equal(sold.PurchasedAt)
	want.PurchasedAt = sold.PurchasedAt
	return sameTime && want == sold
}

const purchaseColumns = `id, product_id, customer_id, seller_id, quantity, price_at_time, purchased_at`

func scanPurchase(row pgx.Row) (p Purchase, err error) {
	err = row.Scan(&p.ID, &p.ProductID, &p.CustomerID, &p.SellerID, &p.Quantity, &p.Price, &p.PurchasedAt)
	p.PurchasedAt = p.PurchasedAt.UTC()
	return p, err
}

// Sell makes a purchase: its row, its event and the lower stock are committed together. A sale that
// repeats an earlier one returns that and sells nothing.
func (s *Store) Sell(ctx context.Context, sale Sale) (sold Purchase, err error) {
	// what made it wait, and is gone now that it looks, was deleted in between: try again
	for again := true; again; again = errors.Is(err, pgx.ErrNoRows) {
		sold, err = s.sell(ctx, sale)
	}
	if err != nil {
		return Purchase{}, fmt.Errorf("selling product %q: %w", sale.ProductID, err)
	}
	return sold, nil
}

// sell makes two round trips: one to see what there is, and one that changes everything or nothing.
func (s *Store) sell(ctx context.Context, sale Sale) (sold Purchase, err error) {
	var price money.Amount
	var stock int64
	var look pgx.Batch
	// the stock first: where it is gone because of this very sale, that one is found behind it
	look.Queue(`SELECT price, stock FROM products WHERE id = $1`, sale.ProductID)
	look.Queue(`SELECT `+purchaseColumns+` FROM purchases WHERE id = $1`, sale.ID)
	seen := s.pool.SendBatch(ctx, &look)
	missing := seen.QueryRow().Scan(&price, &stock)
	sold, err = scanPurchase(seen.QueryRow())
	if failure := seen.Close(); failure != nil {
		return sold, failure
	}
	switch {
	case !errors.Is(err, pgx.ErrNoRows):
		return earlier(sale, sold, err)
	case errors.Is(missing, pgx.ErrNoRows):
		return sold, ErrNoProduct
	case missing != nil:
		return sold, missing
	case stock < sale.Quantity:
		return sold, ErrNoStock
	}
	sold = sale.Purchase
	if !sale.PriceGiven {
		sold.Price = price
	}
	entered, err := s.enterSale(ctx, sold)
	if err == nil && !entered { // the same id was sold while this waited for it
		sold, err = scanPurchase(s.pool.QueryRow(ctx, `SELECT `+purchaseColumns+` FROM purchases WHERE id = $1`, sale.ID))
		return earlier(sale, sold, err)
	}
	return sold, err
}

// enterSale enters a purchase and its event and lowers the stock, in one statement and so in one
// transaction (I1); entered is false where the id is taken. The event gets its number once the purchase
// has its id, as Enqueue asks for. A product that goes at this moment was sold before.
func (s *Store) enterSale(ctx context.Context, sold Purchase) (entered bool, err error) {
	event, err := json.Marshal(sold)
	if err != nil {
		return false, err
	}
	err = s.pool.QueryRow(ctx, `
		WITH entered AS (
			INSERT INTO purchases (`+purchaseColumns+`) VALUES ($1, $2, $3, $4, $5, $6, $7)
			ON CONFLICT (id) DO NOTHING RETURNING id, product_id, quantity
		), told AS (
			INSERT INTO outbox (topic, key, payload, headers) SELECT $8, id, $9, $10 FROM entered
		), no_longer_deleted AS (
			DELETE FROM purchase_deletions WHERE id = (SELECT id FROM entered)
		), taken AS (
			UPDATE products SET stock = stock - (SELECT quantity FROM entered) WHERE id = (SELECT product_id FROM entered)
		)
		SELECT count(*) = 1 FROM entered`,
		sold.ID, sold.ProductID, sold.CustomerID, sold.SellerID, sold.Quantity, sold.Price.String(), sold.PurchasedAt,
		topicPurchases, event, record.WithTrace(ctx, nil)).Scan(&entered)
	var refused *pgconn.PgError
	if errors.As(err, &refused) && refused.ConstraintName == stockIsThere {
		err = ErrNoStock // others were faster
	}
	return entered, err
}

// stockIsThere is the check that no stock falls below zero.
const stockIsThere = "products_stock_check"

func earlier(sale Sale, sold Purchase, err error) (Purchase, error) {
	if err == nil && !sale.repeats(sold) {
		err = ErrOtherPurchase
	}
	return sold, err
}

// Purchase returns a purchase that was sold here, and when it was entered; ErrDeleted if it was deleted
// lately, else ErrNotFound.
func (s *Store) Purchase(ctx context.Context, id string) (p Purchase, entered time.Time, err error) {
	if !storable(id) {
		return Purchase{}, entered, fmt.Errorf("reading purchase: %w", ErrNotFound)
	}
	err = s.pool.QueryRow(ctx, `SELECT `+purchaseColumns+`, created_at FROM purchases WHERE id = $1`, id).Scan(
		&p.ID, &p.ProductID, &p.CustomerID, &p.SellerID, &p.Quantity, &p.Price, &p.PurchasedAt, &entered)
	p.PurchasedAt = p.PurchasedAt.UTC()
	if errors.Is(err, pgx.ErrNoRows) {
		var deleted bool
		err = s.pool.QueryRow(ctx, `SELECT EXISTS (SELECT FROM purchase_deletions WHERE id = $1 AND deleted_at > now() - $2::interval)`,
			id, deletionShows).Scan(&deleted)
		if err == nil {
			err = ErrNotFound
		}
		if deleted {
			err = ErrDeleted
		}
	}
	if err != nil {
		return Purchase{}, entered, fmt.Errorf("reading purchase %q: %w", id, err)
	}
	return p, entered, nil
}

// deletionShows is how long a deletion is known here: until then it is in ClickHouse too, and what was
// sold under the id again since then counts.
const deletionShows = 10 * time.Minute

// deletion is the event that a purchase is gone.
type deletion struct {
	ID          string    `json:"id"`
	Deleted     bool      `json:"deleted"`
	PurchasedAt time.Time `json:"purchased_at"`
}

// DeletePurchase deletes a purchase that was sold here and gives the stock back, or returns ErrNotFound.
func (s *Store) DeletePurchase(ctx context.Context, id string) error {
	if !storable(id) {
		return fmt.Errorf("deleting purchase: %w", ErrNotFound)
	}
	err := pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		sold, err := scanPurchase(tx.QueryRow(ctx, `DELETE FROM purchases WHERE id = $1 RETURNING `+purchaseColumns, id))
		if errors.Is(err, pgx.ErrNoRows) {
			return ErrNotFound
		}
		if err != nil {
			return err
		}
		if err := enterDeletion(ctx, tx, id, sold.PurchasedAt, 0); err != nil {
			return err
		}
		// a product that is gone has no stock to give it back to
		_, err = tx.Exec(ctx, `UPDATE products SET stock = stock + $2 WHERE id = $1`, sold.ProductID, sold.Quantity)
		return err
	})
	if err != nil {
		return fmt.Errorf("deleting purchase %q: %w", id, err)
	}
	return nil
}

// DeletePurchaseSentInBulk publishes the deletion of a purchase that never took stock here. It returns
// ErrNotFound where that was done a moment ago.
func (s *Store) DeletePurchaseSentInBulk(ctx context.Context, id string, purchasedAt time.Time) error {
	err := pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		return enterDeletion(ctx, tx, id, purchasedAt, deletionShows)
	})
	if err != nil {
		return fmt.Errorf("deleting purchase %q: %w", id, err)
	}
	return nil
}

// enterDeletion notes and publishes a deletion, unless one is known that is younger than an age.
func enterDeletion(ctx context.Context, tx pgx.Tx, id string, purchasedAt time.Time, age time.Duration) error {
	// each takes some with it that nobody asks for any more
	entered, err := tx.Exec(ctx, `WITH old AS (DELETE FROM purchase_deletions WHERE id IN (
			SELECT id FROM purchase_deletions WHERE deleted_at < now() - $3::interval AND id <> $1
			ORDER BY deleted_at LIMIT 10 FOR UPDATE SKIP LOCKED))
		INSERT INTO purchase_deletions (id) VALUES ($1)
		ON CONFLICT (id) DO UPDATE SET deleted_at = now() WHERE purchase_deletions.deleted_at <= now() - $2::interval`, id, age, deletionShows)
	if err != nil {
		return err
	}
	if entered.RowsAffected() == 0 {
		return ErrNotFound
	}
	event, err := json.Marshal(deletion{ID: id, Deleted: true, PurchasedAt: purchasedAt})
	if err != nil {
		return err
	}
	return Enqueue(ctx, tx, topicPurchases, id, event)
}
