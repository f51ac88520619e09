package store

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// Enqueue enters an event into the outbox, in the transaction that makes the change: either both are
// committed, or neither (I1). The transaction must have locked the row of what it changes before, by
// writing it or by FOR UPDATE: then the events of one key are numbered in the order of their commits.
func Enqueue(ctx context.Context, tx pgx.Tx, topic, key string, payload []byte) error {
	_, err := tx.Exec(ctx, `INSERT INTO outbox (topic, key, payload) VALUES ($1, $2, $3)`, topic, key, payload)
	if err != nil {
		return fmt.Errorf("entering an event for topic %q into the outbox: %w", topic, err)
	}
	return nil
}
