package store

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/shop-connect/shop-connect/internal/contract"
)

// AdoptContracts enters contracts as those in use, and refuses those that rows stored so far do not fit, all
// of them at once. Whoever reads or writes rows by a contract asks first, so that a file which one of them
// refuses is refused by all.
func (s *Store) AdoptContracts(ctx context.Context, contracts ...*contract.Contract) error {
	var faults []error
	for _, c := range contracts {
		if err := s.adoptContract(ctx, c); err != nil {
			faults = append(faults, fmt.Errorf("adopting the contract of %s: %w", c.Entity, err))
		}
	}
	return errors.Join(faults...)
}

const latestContract = `SELECT document FROM contracts WHERE entity = $1 ORDER BY version DESC LIMIT 1`

// adoptContract holds a contract against the latest one of its entity. Replicas that start at once wait
// for each other.
func (s *Store) adoptContract(ctx context.Context, c *contract.Contract) error {
	return pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, `SELECT pg_advisory_xact_lock(hashtext('contract'), hashtext($1))`, c.Entity); err != nil {
			return err
		}
		var latest string
		err := tx.QueryRow(ctx, latestContract, c.Entity).Scan(&latest)
		switch {
		case errors.Is(err, pgx.ErrNoRows):
		case err != nil:
			return err
		case latest == c.Source:
			return nil
		default:
			old, err := contract.Parse([]byte(latest))
			if err != nil {
				return fmt.Errorf("reading the version in use: %w", err)
			}
			if err := contract.CheckSuccessor(old, c); err != nil {
				return err
			}
		}
		_, err = tx.Exec(ctx, `INSERT INTO contracts (entity, version, document) VALUES ($1, $2, $3)
			ON CONFLICT (entity, version) DO UPDATE SET document = excluded.document, adopted_at = now()`, c.Entity, c.Version, c.Source)
		return err
	})
}
