package store

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// idempotencyKept is how long an answer is remembered; each new key takes some that are older with it.
const idempotencyKept = "24 hours"

// IdempotencyKey is what a client calls one request of its own.
type IdempotencyKey struct {
	Subject, Endpoint, Key string
}

// KeptAnswer is the answer to a request, to be given again. Its status is 0 while there is none.
type KeptAnswer struct {
	Fingerprint []byte
	Status      int
	ContentType string
	Location    string
	Body        []byte
}

// BeginRequest takes a key for a request; began is false where the key is taken already, and kept is
// what is known of that request. Of many at once, one begins.
func (s *Store) BeginRequest(ctx context.Context, k IdempotencyKey, fingerprint []byte) (kept KeptAnswer, began bool, err error) {
	for range 2 { // a second time where the key was given up in between
		tag, err := s.pool.Exec(ctx, `WITH old AS (DELETE FROM idempotency WHERE (subject, endpoint, key) IN (
				SELECT subject, endpoint, key FROM idempotency WHERE created_at < now() - interval '`+idempotencyKept+`'
				ORDER BY created_at LIMIT 10 FOR UPDATE SKIP LOCKED))
			INSERT INTO idempotency (subject, endpoint, key, fingerprint) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING`,
			k.Subject, k.Endpoint, k.Key, fingerprint)
		if err != nil {
			return KeptAnswer{}, false, fmt.Errorf("taking idempotency key: %w", err)
		}
		if tag.RowsAffected() == 1 {
			return KeptAnswer{}, true, nil
		}
		err = s.pool.QueryRow(ctx, `SELECT fingerprint, coalesce(status, 0), coalesce(content_type, ''), coalesce(location, ''), body
			FROM idempotency WHERE subject = $1 AND endpoint = $2 AND key = $3`, k.Subject, k.Endpoint, k.Key).
			Scan(&kept.Fingerprint, &kept.Status, &kept.ContentType, &kept.Location, &kept.Body)
		if !errors.Is(err, pgx.ErrNoRows) {
			if err != nil {
				return KeptAnswer{}, false, fmt.Errorf("reading idempotency key: %w", err)
			}
			return kept, false, nil
		}
	}
	return KeptAnswer{}, false, errors.New("taking idempotency key: it is taken and given up all the time")
}

// KeepAnswer remembers the answer to a request that was begun.
func (s *Store) KeepAnswer(ctx context.Context, k IdempotencyKey, a KeptAnswer) error {
	if _, err := s.pool.Exec(ctx, `UPDATE idempotency SET status = $4, content_type = $5, location = $6, body = $7
		WHERE subject = $1 AND endpoint = $2 AND key = $3`,
		k.Subject, k.Endpoint, k.Key, a.Status, a.ContentType, a.Location, a.Body); err != nil {
		return fmt.Errorf("keeping answer: %w", err)
	}
	return nil
}

// GiveUpRequest frees the key of a request that changed nothing.
func (s *Store) GiveUpRequest(ctx context.Context, k IdempotencyKey) error {
	if _, err := s.pool.Exec(ctx, `DELETE FROM idempotency WHERE subject = $1 AND endpoint = $2 AND key = $3 AND status IS NULL`,
		k.Subject, k.Endpoint, k.Key); err != nil {
		return fmt.Errorf("giving up idempotency key: %w", err)
	}
	return nil
}
