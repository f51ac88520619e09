package store

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/shop-connect/shop-connect/internal/record"
)

// Enqueue enters an event into the outbox, in the transaction that makes the change: either both are
// committed, or neither (I1). The transaction must have locked the row of what it changes before, by
// writing it or by FOR UPDATE: then the events of one key are numbered in the order of their commits.
func Enqueue(ctx context.Context, tx pgx.Tx, topic, key string, payload []byte) error {
	_, err := tx.Exec(ctx, `INSERT INTO outbox (topic, key, payload, headers) VALUES ($1, $2, $3, $4)`,
		topic, key, payload, record.WithTrace(ctx, nil))
	if err != nil {
		return fmt.Errorf("entering an event for topic %q into the outbox: %w", topic, err)
	}
	return nil
}

// Event is a committed change on its way to Kafka.
type Event struct {
	Seq        int64
	Topic, Key string
	Payload    []byte
	// Headers go with the record in Kafka; nil for none.
	Headers map[string]string
}

// Outbox is the right to publish events, which one process has at a time: two would overtake each other.
// It ends with its connection, and so does the power to take events out.
type Outbox struct {
	*Lock
	// Abandoned says that another holder ended amid its turn, and that events are there which it may have
	// sent on their way.
	Abandoned bool
}

// LockOutbox takes the outbox for a holder, which names itself, or returns ErrBusy where another has it.
// There is no waiting for it: a statement that waits keeps PostgreSQL from cleaning up the rows that the
// holder deletes.
func (s *Store) LockOutbox(ctx context.Context, holder string) (*Outbox, error) {
	l, err := s.takeLock(ctx, lockOutbox, "outbox", false)
	if err != nil {
		return nil, err
	}
	o := &Outbox{Lock: l}
	err = o.conn.QueryRow(ctx, `
		WITH before AS (SELECT holder FROM outbox_turn)
		INSERT INTO outbox_turn (holder) VALUES ($1) ON CONFLICT (single) DO UPDATE SET holder = $1
		RETURNING EXISTS (SELECT FROM before WHERE holder NOT IN ('', $1)) AND EXISTS (SELECT FROM outbox WHERE refused IS NULL)`,
		holder).Scan(&o.Abandoned)
	if err != nil {
		o.Release()
		return nil, fmt.Errorf("taking the turn at the outbox: %w", err)
	}
	return o, nil
}

// End notes that nothing is under way, and lets go. Where it cannot be noted, the next holder is careful.
func (o *Outbox) End() {
	ctx, cancel := context.WithTimeout(context.Background(), connectTimeout)
	defer cancel()
	_, _ = o.conn.Exec(ctx, `UPDATE outbox_turn SET holder = ''`)
	o.Release()
}

// Next returns the first events that are committed, besides those of the given keys.
//
// The order is that of seq, which within a key is the order of commits (Enqueue). An event of a lower
// number that is committed later is of another key; it is seen by a later call, because events leave
// the table one by one and not below a mark. The order of transaction ids would not do: a transaction
// has its id before it waits for a row, and may commit after one that came later and did not wait.
func (o *Outbox) Next(ctx context.Context, limit int, besides []Event) ([]Event, error) {
	topics, keys := make([]string, len(besides)), make([]string, len(besides))
	for i, e := range besides {
		topics[i], keys[i] = e.Topic, e.Key
	}
	rows, err := o.conn.Query(ctx, `
		SELECT seq, topic, key, payload, headers FROM outbox
		WHERE refused IS NULL AND (topic, key) NOT IN (SELECT * FROM unnest($2::text[], $3::text[]))
		ORDER BY seq LIMIT $1`, limit, topics, keys)
	if err != nil {
		return nil, fmt.Errorf("reading the outbox: %w", err)
	}
	events, err := pgx.CollectRows(rows, pgx.RowToStructByPos[Event])
	if err != nil {
		return nil, fmt.Errorf("reading the outbox: %w", err)
	}
	return events, nil
}

// Published takes out events that are in Kafka.
func (o *Outbox) Published(ctx context.Context, events []Event) error {
	numbers := make([]int64, len(events))
	for i, e := range events {
		numbers[i] = e.Seq
	}
	if _, err := o.conn.Exec(ctx, `DELETE FROM outbox WHERE seq = ANY($1)`, numbers); err != nil {
		return fmt.Errorf("taking published events out of the outbox: %w", err)
	}
	return nil
}

// SetAside keeps an event in the table that Kafka will not have, so that those behind it can go.
func (o *Outbox) SetAside(ctx context.Context, event Event, reason string) error {
	if _, err := o.conn.Exec(ctx, `UPDATE outbox SET refused = $2 WHERE seq = $1`, event.Seq, reason); err != nil {
		return fmt.Errorf("setting event %d of the outbox aside: %w", event.Seq, err)
	}
	return nil
}
