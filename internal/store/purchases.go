package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/shop-connect/shop-connect/internal/money"
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
		err = pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) (err error) {
			sold, err = sell(ctx, tx, sale)
			return err
		})
	}
	if err != nil {
		return Purchase{}, fmt.Errorf("selling product %q: %w", sale.ProductID, err)
	}
	return sold, nil
}

func sell(ctx context.Context, tx pgx.Tx, sale Sale) (sold Purchase, err error) {
	if sale.IDGiven {
		sold, err = scanPurchase(tx.QueryRow(ctx, `SELECT `+purchaseColumns+` FROM purchases WHERE id = $1`, sale.ID))
		if !errors.Is(err, pgx.ErrNoRows) {
			return earlier(sale, sold, err)
		}
	}
	var price money.Amount
	err = tx.QueryRow(ctx, `SELECT price FROM products WHERE id = $1`, sale.ProductID).Scan(&price)
	if errors.Is(err, pgx.ErrNoRows) {
		return sold, ErrNoProduct
	}
	if err != nil {
		return sold, err
	}
	sold = sale.Purchase
	if !sale.PriceGiven {
		sold.Price = price
	}
	entered, err := tx.Exec(ctx, `INSERT INTO purchases (`+purchaseColumns+`) VALUES ($1, $2, $3, $4, $5, $6, $7)
		ON CONFLICT (id) DO NOTHING`,
		sold.ID, sold.ProductID, sold.CustomerID, sold.SellerID, sold.Quantity, sold.Price.String(), sold.PurchasedAt)
	if err != nil {
		return sold, err
	}
	if entered.RowsAffected() == 0 { // the same id was sold while this waited for it
		sold, err = scanPurchase(tx.QueryRow(ctx, `SELECT `+purchaseColumns+` FROM purchases WHERE id = $1`, sale.ID))
		return earlier(sale, sold, err)
	}
	if sale.IDGiven {
		if _, err := tx.Exec(ctx, `DELETE FROM purchase_deletions WHERE id = $1`, sold.ID); err != nil {
			return sold, err
		}
	}
	event, err := json.Marshal(sold)
	if err != nil {
		return sold, err
	}
	if err := Enqueue(ctx, tx, topicPurchases, sold.ID, event); err != nil {
		return sold, err
	}
	// last, because all who buy the product wait here for each other
	taken, err := tx.Exec(ctx, `UPDATE products SET stock = stock - $2 WHERE id = $1 AND stock >= $2`, sold.ProductID, sold.Quantity)
	if err != nil {
		return sold, err
	}
	if taken.RowsAffected() == 0 {
		return sold, ErrNoStock
	}
	return sold, nil
}

func earlier(sale Sale, sold Purchase, err error) (Purchase, error) {
	if err == nil && !sale.repeats(sold) {
		err = ErrOtherPurchase
	}
	return sold, err
}

// Purchase returns a purchase that was sold here; ErrDeleted if it was deleted lately, else ErrNotFound.
func (s *Store) Purchase(ctx context.Context, id string) (Purchase, error) {
	if !storable(id) {
		return Purchase{}, fmt.Errorf("reading purchase: %w", ErrNotFound)
	}
	p, err := scanPurchase(s.pool.QueryRow(ctx, `SELECT `+purchaseColumns+` FROM purchases WHERE id = $1`, id))
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
		return Purchase{}, fmt.Errorf("reading purchase %q: %w", id, err)
	}
	return p, nil
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
	entered, err := tx.Exec(ctx, `INSERT INTO purchase_deletions (id) VALUES ($1)
		ON CONFLICT (id) DO UPDATE SET deleted_at = now() WHERE purchase_deletions.deleted_at <= now() - $2::interval`, id, age)
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
