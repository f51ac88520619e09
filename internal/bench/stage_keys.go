package main

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/jackc/pgx/v5"

	"github.com/shop-connect/shop-connect/internal/columns"
	"github.com/shop-connect/shop-connect/internal/env"
)

// shopKeys are the products, customers and sellers of generated purchases. A shop knows them, and the
// contract has STAGE look for them.
type shopKeys struct {
	products           map[string]bool
	customers, sellers map[int64]bool
}

func newShopKeys() *shopKeys {
	return &shopKeys{products: map[string]bool{}, customers: map[int64]bool{}, sellers: map[int64]bool{}}
}

func (k *shopKeys) add(batch *columns.Batch) {
	product := &batch.Columns[batch.Contract.Index("product_id")].Text
	customer, seller := batch.Columns[batch.Contract.Index("customer_id")].Int, batch.Columns[batch.Contract.Index("seller_id")].Int
	for row := range batch.Len {
		if id := product.At(row); !k.products[string(id)] {
			k.products[string(id)] = true
		}
		k.customers[customer[row]], k.sellers[seller[row]] = true, true
	}
}

// enter makes them known.
func (k *shopKeys) enter(ctx context.Context, b *bench) error {
	conn, err := pgx.Connect(ctx, b.up.Env[env.PostgresDSN])
	if err != nil {
		return fmt.Errorf("opening PostgreSQL: %w", err)
	}
	defer conn.Close(ctx)
	for statement, keys := range map[string]any{
		`INSERT INTO products (id, name, category, price, stock) SELECT id, id, 'bench', 1, 0 FROM unnest($1::text[]) AS id ON CONFLICT DO NOTHING`:                          slices.Collect(maps.Keys(k.products)),
		`INSERT INTO customers (customer_id, first_name, last_name, email) SELECT id, 'A', 'B', id || '@example.org' FROM unnest($1::bigint[]) AS id ON CONFLICT DO NOTHING`: slices.Collect(maps.Keys(k.customers)),
		`INSERT INTO sellers (id, name, email, phone, address) SELECT id, 'A', id || '@example.org', '1', 'B' FROM unnest($1::bigint[]) AS id ON CONFLICT DO NOTHING`:        slices.Collect(maps.Keys(k.sellers)),
	} {
		if _, err := conn.Exec(ctx, statement, keys); err != nil {
			return fmt.Errorf("entering what purchases refer to: %w", err)
		}
	}
	return nil
}
