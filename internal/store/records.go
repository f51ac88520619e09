package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/shop-connect/shop-connect/internal/record"
)

// The topics of the shop's own records.
const (
	topicProducts  = "products"
	topicCustomers = "customers"
	topicSellers   = "sellers"

	// rejectedSuffix makes the topic of an entity's refused rows of the entity's own.
	rejectedSuffix = ".rejected"
)

// Conflict is returned for a value that another row already has.
type Conflict struct{ Field string }

func (c *Conflict) Error() string { return c.Field + " is taken" }

// uniqueFields names the field that each unique index is about.
var uniqueFields = map[string]string{
	"products_pkey": "id", "customers_email": "email", "customers_pkey": "customer_id", "sellers_pkey": "id",
}

const uniqueViolation = "23505"

// conflicting turns a violated unique index into a Conflict, and leaves other errors alone.
func conflicting(err error) error {
	var refused *pgconn.PgError
	if errors.As(err, &refused) && refused.Code == uniqueViolation {
		if field, known := uniqueFields[refused.ConstraintName]; known {
			return &Conflict{Field: field}
		}
	}
	return err
}

// change makes a change of a record in one transaction, with the event that tells of it: both are
// committed, or neither (I1).
func (s *Store) change(ctx context.Context, doing string, f func(tx pgx.Tx) error) error {
	if err := pgx.BeginFunc(ctx, s.pool, f); err != nil {
		if errors.Is(err, pgx.ErrNoRows) {
			err = ErrNotFound
		}
		return fmt.Errorf("%s: %w", doing, conflicting(err))
	}
	return nil
}

// publish enqueues a record as it is now. The record has the fields of its entity's contract, and
// updated_at besides, which says which of two states is the later one.
func publish(ctx context.Context, tx pgx.Tx, topic, key string, state any) error {
	payload, err := json.Marshal(state)
	if err != nil {
		return fmt.Errorf("writing the event of %s %q: %w", topic, key, err)
	}
	return Enqueue(ctx, tx, topic, key, payload)
}

// publishDeletion enqueues that a record is gone. The key field is named, and typed, as in the contract.
func publishDeletion(ctx context.Context, tx pgx.Tx, topic, key, keyField string, keyValue any, at time.Time) error {
	return publish(ctx, tx, topic, key, map[string]any{keyField: keyValue, "deleted": true, "updated_at": at.UTC()})
}

// event is one that is to be enqueued among many.
type event struct {
	topic, key string
	payload    []byte
	headers    map[string]string
}

// enqueueAll is Enqueue for many events: one round trip, however many there are.
func enqueueAll(ctx context.Context, tx pgx.Tx, events []event) error {
	_, err := tx.CopyFrom(ctx, pgx.Identifier{"outbox"}, []string{"topic", "key", "payload", "headers"},
		pgx.CopyFromSlice(len(events), func(i int) ([]any, error) {
			return []any{events[i].topic, events[i].key, events[i].payload, record.WithTrace(ctx, events[i].headers)}, nil
		}))
	if err != nil {
		return fmt.Errorf("entering %d events into the outbox: %w", len(events), err)
	}
	return nil
}

// given is nil for a time that the client left to the database.
func given(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

// kept returns what was there before where nothing has changed, so that records compare as values do.
func kept[T comparable](before, after *T) *T {
	if before != nil && after != nil && *before == *after {
		return before
	}
	return after
}

func queryOne[T any](ctx context.Context, tx pgx.Tx, scan pgx.RowToFunc[T], text string, arguments ...any) (found T, err error) {
	rows, err := tx.Query(ctx, text, arguments...)
	if err != nil {
		return found, err
	}
	return pgx.CollectExactlyOneRow(rows, scan)
}

func readOne[T any](ctx context.Context, s *Store, doing string, scan pgx.RowToFunc[T], text string, arguments ...any) (found T, err error) {
	rows, err := s.pool.Query(ctx, text, arguments...)
	if err == nil {
		found, err = pgx.CollectExactlyOneRow(rows, scan)
	}
	if errors.Is(err, pgx.ErrNoRows) {
		err = ErrNotFound
	}
	if err != nil {
		return found, fmt.Errorf("%s: %w", doing, err)
	}
	return found, nil
}
