package store

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// AdoptContract enters a contract's file as the one in use, if fits lets it follow the latest one of its
// entity. Replicas that start at once wait for each other.
func (s *Store) AdoptContract(ctx context.Context, entity string, version int, document string, fits func(latest string) error) error {
	err := pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, `SELECT pg_advisory_xact_lock(hashtext('contract'), hashtext($1))`, entity); err != nil {
			return err
		}
		var latest string
		err := tx.QueryRow(ctx, `SELECT document FROM contracts WHERE entity = $1 ORDER BY version DESC LIMIT 1`, entity).Scan(&latest)
		if err == nil && latest == document {
			return nil
		}
		if err == nil {
			err = fits(latest)
		}
		if err != nil && !errors.Is(err, pgx.ErrNoRows) {
			return err
		}
		_, err = tx.Exec(ctx, `INSERT INTO contracts (entity, version, document) VALUES ($1, $2, $3)
			ON CONFLICT (entity, version) DO UPDATE SET document = excluded.document, adopted_at = now()`, entity, version, document)
		return err
	})
	if err != nil {
		return fmt.Errorf("adopting the contract of %s: %w", entity, err)
	}
	return nil
}
