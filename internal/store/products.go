package store

import (
	"cmp"
	"context"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/shop-connect/shop-connect/internal/money"
)

// Product is a thing the shop sells, as its contract has it.
type Product struct {
	ID          string       `json:"id" doc:"The client's own id, else a UUIDv7." example:"0198c0de-0000-7000-8000-000000000001"`
	Name        string       `json:"name"`
	Description string       `json:"description"`
	Category    string       `json:"category"`
	Price       money.Amount `json:"price"`
	Stock       int64        `json:"stock" doc:"Pieces at hand."`
	Image       *string      `json:"image,omitempty" doc:"Where its picture is."`
	CreatedAt   time.Time    `json:"created_at"`
	UpdatedAt   time.Time    `json:"updated_at"`
}

const productColumns = `id, name, description, category, price, stock, image, created_at, updated_at`

func scanProduct(row pgx.CollectableRow) (p Product, err error) {
	err = row.Scan(&p.ID, &p.Name, &p.Description, &p.Category, &p.Price, &p.Stock, &p.Image, &p.CreatedAt, &p.UpdatedAt)
	p.CreatedAt, p.UpdatedAt = p.CreatedAt.UTC(), p.UpdatedAt.UTC() // I6
	return p, err
}

// CreateProduct enters a product, under its own id or a new one, or returns a Conflict.
func (s *Store) CreateProduct(ctx context.Context, p Product) (Product, error) {
	// ordered by time, so that neighbours in time are neighbours in every index
	p.ID = cmp.Or(p.ID, uuid.Must(uuid.NewV7()).String())
	err := s.change(ctx, "creating a product", func(tx pgx.Tx) (err error) {
		p, err = queryOne(ctx, tx, scanProduct, `
			INSERT INTO products (id, name, description, category, price, stock, image, created_at)
			VALUES ($1, $2, $3, $4, $5, $6, $7, coalesce($8, now())) RETURNING `+productColumns,
			p.ID, p.Name, p.Description, p.Category, p.Price, p.Stock, p.Image, given(p.CreatedAt))
		if err != nil {
			return err
		}
		return publish(ctx, tx, topicProducts, p.ID, p)
	})
	return p, err
}

// Product returns one product, or ErrNotFound.
func (s *Store) Product(ctx context.Context, id string) (Product, error) {
	if !storable(id) {
		return Product{}, fmt.Errorf("reading product: %w", ErrNotFound)
	}
	return readOne(ctx, s, "reading product", scanProduct, `SELECT `+productColumns+` FROM products WHERE id = $1`, id)
}

// Products returns a page of the products, of one category where it is not empty, and the cursor of the
// page behind it, empty where there is none.
func (s *Store) Products(ctx context.Context, category string, p Page) ([]Product, string, error) {
	if !storable(category) {
		return nil, "", nil
	}
	var l listing
	if category != "" {
		l.where("category = ?", category)
	}
	if p.Cursor != "" {
		at, id, err := parseTimeCursor(p.Cursor)
		if err != nil {
			return nil, "", fmt.Errorf("listing products: %w", err)
		}
		l.where("(created_at, id) < (?, ?)", at, id)
	}
	text, arguments := l.query(productColumns, "products", "created_at DESC, id DESC", p)
	return readPage(ctx, s, "listing products", p, scanProduct,
		func(p Product) string { return timeCursor(p.CreatedAt, p.ID) }, text, arguments)
}

// UpdateProduct changes a product while nobody else can, and returns it as it is then, or ErrNotFound.
// A change that changes nothing leaves no trace.
func (s *Store) UpdateProduct(ctx context.Context, id string, change func(*Product)) (p Product, err error) {
	if !storable(id) {
		return p, fmt.Errorf("changing product: %w", ErrNotFound)
	}
	err = s.change(ctx, "changing product", func(tx pgx.Tx) (err error) {
		p, err = queryOne(ctx, tx, scanProduct, `SELECT `+productColumns+` FROM products WHERE id = $1 FOR UPDATE`, id)
		if err != nil {
			return err
		}
		before := p
		change(&p)
		p.Image = kept(before.Image, p.Image)
		if p == before {
			return nil
		}
		p, err = queryOne(ctx, tx, scanProduct, `
			UPDATE products SET name = $2, description = $3, category = $4, price = $5, stock = $6, image = $7, updated_at = clock_timestamp()
			WHERE id = $1 RETURNING `+productColumns, id, p.Name, p.Description, p.Category, p.Price, p.Stock, p.Image)
		if err != nil {
			return err
		}
		return publish(ctx, tx, topicProducts, id, p)
	})
	return p, err
}

// DeleteProduct removes a product, or returns ErrNotFound. Its purchases stay.
func (s *Store) DeleteProduct(ctx context.Context, id string) error {
	if !storable(id) {
		return fmt.Errorf("deleting product: %w", ErrNotFound)
	}
	return s.change(ctx, "deleting product", func(tx pgx.Tx) error {
		var at time.Time
		err := tx.QueryRow(ctx, `DELETE FROM products WHERE id = $1 RETURNING clock_timestamp()`, id).Scan(&at)
		if err != nil {
			return err
		}
		return publishDeletion(ctx, tx, topicProducts, id, "id", id, at)
	})
}

// storable reports whether PostgreSQL can hold a text at all: what it cannot hold is not there.
func storable(text string) bool { return utf8.ValidString(text) && !strings.Contains(text, "\x00") }
