package store

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// Seller is who sells, as the contract has it.
type Seller struct {
	ID        int64     `json:"id"`
	Name      string    `json:"name"`
	Email     string    `json:"email"`
	Phone     string    `json:"phone"`
	Address   string    `json:"address"`
	CreatedAt time.Time `json:"created_at"`
	UpdatedAt time.Time `json:"updated_at"`
}

const sellerColumns = `id, name, email, phone, address, created_at, updated_at`

func scanSeller(row pgx.CollectableRow) (e Seller, err error) {
	err = row.Scan(&e.ID, &e.Name, &e.Email, &e.Phone, &e.Address, &e.CreatedAt, &e.UpdatedAt)
	e.CreatedAt, e.UpdatedAt = e.CreatedAt.UTC(), e.UpdatedAt.UTC() // I6
	return e, err
}

// CreateSeller enters a seller under a new id.
func (s *Store) CreateSeller(ctx context.Context, e Seller) (Seller, error) {
	err := s.change(ctx, "creating a seller", func(tx pgx.Tx) (err error) {
		e, err = queryOne(ctx, tx, scanSeller, `
			INSERT INTO sellers (name, email, phone, address, created_at)
			VALUES ($1, $2, $3, $4, coalesce($5, now())) RETURNING `+sellerColumns,
			e.Name, e.Email, e.Phone, e.Address, given(e.CreatedAt))
		if err != nil {
			return err
		}
		return publish(ctx, tx, topicSellers, numberKey(e.ID), e)
	})
	return e, err
}

// Seller returns one seller, or ErrNotFound.
func (s *Store) Seller(ctx context.Context, id int64) (Seller, error) {
	return readOne(ctx, s, "reading seller", scanSeller, `SELECT `+sellerColumns+` FROM sellers WHERE id = $1`, id)
}

// Sellers returns a page of the sellers, and the cursor of the page behind it, empty where there is none.
func (s *Store) Sellers(ctx context.Context, p Page) ([]Seller, string, error) {
	var l listing
	if p.Cursor != "" {
		id, err := parseNumberCursor(p.Cursor)
		if err != nil {
			return nil, "", fmt.Errorf("listing sellers: %w", err)
		}
		l.where("id < ?", id)
	}
	text, arguments := l.query(sellerColumns, "sellers", "id DESC", p)
	return readPage(ctx, s, "listing sellers", p, scanSeller, func(e Seller) string { return numberKey(e.ID) }, text, arguments)
}

// UpdateSeller changes a seller while nobody else can, and returns it as it is then, or ErrNotFound.
// A change that changes nothing leaves no trace.
func (s *Store) UpdateSeller(ctx context.Context, id int64, change func(*Seller)) (e Seller, err error) {
	err = s.change(ctx, "changing seller", func(tx pgx.Tx) (err error) {
		e, err = queryOne(ctx, tx, scanSeller, `SELECT `+sellerColumns+` FROM sellers WHERE id = $1 FOR UPDATE`, id)
		if err != nil {
			return err
		}
		before := e
		if change(&e); e == before {
			return nil
		}
		e, err = queryOne(ctx, tx, scanSeller, `
			UPDATE sellers SET name = $2, email = $3, phone = $4, address = $5, updated_at = clock_timestamp()
			WHERE id = $1 RETURNING `+sellerColumns, id, e.Name, e.Email, e.Phone, e.Address)
		if err != nil {
			return err
		}
		return publish(ctx, tx, topicSellers, numberKey(id), e)
	})
	return e, err
}

// DeleteSeller removes a seller, or returns ErrNotFound. The seller's purchases stay.
func (s *Store) DeleteSeller(ctx context.Context, id int64) error {
	return s.change(ctx, "deleting seller", func(tx pgx.Tx) error {
		var at time.Time
		if err := tx.QueryRow(ctx, `DELETE FROM sellers WHERE id = $1 RETURNING clock_timestamp()`, id).Scan(&at); err != nil {
			return err
		}
		return publishDeletion(ctx, tx, topicSellers, numberKey(id), "id", id, at)
	})
}
