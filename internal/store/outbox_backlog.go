package store

import (
	"context"
	"fmt"
)

// OutboxEnd returns the number of the last event that is in the outbox, 0 where it is empty.
func (s *Store) OutboxEnd(ctx context.Context) (seq int64, err error) {
	if err := s.pool.QueryRow(ctx, `SELECT coalesce(max(seq), 0) FROM outbox`).Scan(&seq); err != nil {
		return 0, fmt.Errorf("reading the end of the outbox: %w", err)
	}
	return seq, nil
}

// OutboxLeft returns how many committed events up to a number are not in Kafka yet, and how many Kafka has
// refused.
func (s *Store) OutboxLeft(ctx context.Context, seq int64) (waiting, refused int64, err error) {
	err = s.pool.QueryRow(ctx, `SELECT count(*) FILTER (WHERE refused IS NULL), count(refused) FROM outbox WHERE seq <= $1`, seq).
		Scan(&waiting, &refused)
	if err != nil {
		return 0, 0, fmt.Errorf("counting what is in the outbox: %w", err)
	}
	return waiting, refused, nil
}
