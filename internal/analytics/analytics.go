// Package analytics reads, for the API, what streams have written to ClickHouse: the purchases of all
// ways in, those sent in bulk as well as those sold one by one. They are there some seconds after they
// are in Kafka.
package analytics

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"

	"github.com/shop-connect/shop-connect/internal/money"
	"github.com/shop-connect/shop-connect/internal/store"
)

// Reader asks one database. It is safe for concurrent use.
type Reader struct {
	db *sql.DB
}

// Open makes a reader, without connecting.
func Open(dsn string) (*Reader, error) {
	options, err := clickhouse.ParseDSN(dsn)
	if err != nil {
		// the message would show the password
		return nil, errors.New("reading ClickHouse connection string: write http://user:password@host:8123/analytics")
	}
	return &Reader{db: clickhouse.OpenDB(options)}, nil
}

// Close closes the connections.
func (r *Reader) Close() error { return r.db.Close() }

// Ping makes a round trip.
func (r *Reader) Ping(ctx context.Context) error {
	if err := r.db.PingContext(ctx); err != nil {
		return fmt.Errorf("reaching ClickHouse: %w", err)
	}
	return nil
}

// Amounts and times travel as text and integers: they are exact in both (I5, I6).
const purchaseColumns = `id, product_id, customer_id, seller_id, quantity, toString(price_at_time),
	toUnixTimestamp64Micro(purchased_at), toInt32(purchase_date)`

// located is a purchase and the day that it lies under, in days since 1970.
type located struct {
	store.Purchase
	day int32
}

// scan reads the columns of a purchase, and those behind them into further places.
func (p *located) scan(row interface{ Scan(...any) error }, further ...any) error {
	var price string
	var at int64
	places := append([]any{&p.ID, &p.ProductID, &p.CustomerID, &p.SellerID, &p.Quantity, &price, &at, &p.day}, further...)
	if err := row.Scan(places...); err != nil {
		return err
	}
	amount, err := money.Parse([]byte(price))
	p.Price, p.PurchasedAt = money.Amount(amount), time.UnixMicro(at).UTC()
	return err
}

// places are where the index says that rows of an id lie: the slice is the one that the sink derives from the
// version of the event.
const places = `(SELECT day, toUInt32(bitShiftRight(version, 18)) FROM purchase_day_index WHERE id = ?)`

// Purchase returns a purchase, or store.ErrNotFound. The index says where to look for it.
func (r *Reader) Purchase(ctx context.Context, id string) (store.Purchase, error) {
	var p located
	err := p.scan(r.db.QueryRowContext(ctx, `
		SELECT `+purchaseColumns+` FROM purchases FINAL
		WHERE id = ? AND (purchase_date, slice) IN `+places+`
		ORDER BY version DESC LIMIT 1`, id, id))
	if errors.Is(err, sql.ErrNoRows) {
		err = store.ErrNotFound
	}
	if err != nil {
		return store.Purchase{}, fmt.Errorf("reading purchase %q from ClickHouse: %w", id, err)
	}
	return p.Purchase, nil
}
