package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
)

// Clues are what a person's rows are recognised by that do not say their customer's number.
type Clues struct {
	Emails []string `json:"emails"`
	Phones []string `json:"phones"`
	Names  []string `json:"names"`
}

// Add takes in what a record of the person says, and reports whether any of it is new.
func (c *Clues) Add(email, phone, lastName string) (more bool) {
	for _, found := range []struct {
		known *[]string
		text  string
	}{{&c.Emails, email}, {&c.Phones, phone}, {&c.Names, lastName}} {
		text := strings.ToLower(strings.TrimSpace(found.text))
		known := text == ""
		for _, k := range *found.known {
			known = known || k == text
		}
		if !known {
			*found.known, more = append(*found.known, text), true
		}
	}
	return more
}

// Erasure is the state of a request to forget a customer.
type Erasure struct {
	CustomerID int64
	// RunID is the run that was started for it last, empty where none was.
	RunID      string
	FinishedAt *time.Time
	Clues      Clues
}

const deletedValue = `{"deleted":true}`

// BeginErasure removes a customer from the shop's records for good, and notes what the run will need to
// find the person elsewhere. One that was deleted or erased before is begun again. ErrNotFound is returned
// for a number that no customer ever had, unless it may be a stranger's: one that other producers gave.
//
// Events that wait in the outbox go with the row; the deletion that is enqueued behind them says when
// Kafka has the last of what a relay had read before.
func (s *Store) BeginErasure(ctx context.Context, id int64, stranger bool) (e Erasure, err error) {
	err = s.change(ctx, "erasing customer", func(tx pgx.Tx) error {
		var clues Clues
		c, err := queryOne(ctx, tx, scanCustomer, `SELECT `+customerColumns+` FROM customers WHERE customer_id = $1 FOR UPDATE`, id)
		known := err == nil
		switch {
		case known:
			phone := ""
			if c.Phone != nil {
				phone = *c.Phone
			}
			clues.Add(c.Email, phone, c.LastName)
		case !errors.Is(err, pgx.ErrNoRows):
			return err
		default:
			err = tx.QueryRow(ctx, `SELECT EXISTS (SELECT FROM erasures WHERE customer_id = $1)
				OR EXISTS (SELECT FROM record_deletions WHERE entity = 'customers' AND key = to_jsonb($1::bigint))`, id).Scan(&known)
			if err != nil {
				return err
			}
		}
		if !known && !stranger {
			return pgx.ErrNoRows
		}
		if e, err = enterErasure(ctx, tx, id, clues); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, `DELETE FROM customers WHERE customer_id = $1`, id); err != nil {
			return err
		}
		if err := scrubOutbox(ctx, tx, &e); err != nil {
			return err
		}
		return publishDeletion(ctx, tx, topicCustomers, numberKey(id), "customer_id", id, time.Now())
	})
	return e, err
}

// enterErasure merges clues with what is known, and returns the request as it is then.
func enterErasure(ctx context.Context, tx pgx.Tx, id int64, clues Clues) (e Erasure, err error) {
	e.CustomerID = id
	var text []byte
	var run *string
	err = tx.QueryRow(ctx, `INSERT INTO erasures (customer_id) VALUES ($1) ON CONFLICT (customer_id) DO UPDATE SET customer_id = $1
		RETURNING run_id::text, finished_at, coalesce(clues, '{}')`, id).Scan(&run, &e.FinishedAt, &text)
	if err != nil {
		return e, err
	}
	if run != nil {
		e.RunID = *run
	}
	if err := json.Unmarshal(text, &e.Clues); err != nil {
		return e, fmt.Errorf("reading clues: %w", err)
	}
	more := false
	for i, email := range clues.Emails {
		more = e.Clues.Add(email, at(clues.Phones, i), at(clues.Names, i)) || more
	}
	if more {
		_, err = tx.Exec(ctx, `UPDATE erasures SET clues = $2 WHERE customer_id = $1`, id, e.Clues)
	}
	return e, err
}

func at(list []string, i int) string {
	if i < len(list) {
		return list[i]
	}
	return ""
}

// scrubOutbox removes what is to be published of a customer, and empties refused rows that are theirs; those
// stay, since they are counted where they go (I4).
func scrubOutbox(ctx context.Context, tx pgx.Tx, e *Erasure) error {
	if _, err := tx.Exec(ctx, `DELETE FROM outbox WHERE topic = $1 AND key = $2`, topicCustomers, numberKey(e.CustomerID)); err != nil {
		return err
	}
	_, err := tx.Exec(ctx, `
		UPDATE outbox SET payload = $2, headers = headers - 'traceparent' || jsonb_build_object('refused_reasons', $4::text)
		WHERE topic = $1 AND EXISTS (SELECT FROM unnest($3::text[]) AS clue WHERE strpos(lower(encode(payload, 'escape')), lower(encode(convert_to(clue, 'UTF8'), 'escape'))) > 0)`,
		topicCustomers+rejectedSuffix, []byte(deletedValue), e.Clues.Emails, `[{"field":"","rule":"erased","message":"the person asked to be forgotten"}]`)
	return err
}

// SetErasureRun notes which run is at an erasure.
func (s *Store) SetErasureRun(ctx context.Context, id int64, run string) error {
	if _, err := s.pool.Exec(ctx, `UPDATE erasures SET run_id = $2 WHERE customer_id = $1`, id, run); err != nil {
		return fmt.Errorf("noting the run of an erasure: %w", err)
	}
	return nil
}

// SetClues notes what a run has found out, for the one that goes on after a crash.
func (s *Store) SetClues(ctx context.Context, id int64, clues Clues) error {
	if _, err := s.pool.Exec(ctx, `UPDATE erasures SET clues = $2 WHERE customer_id = $1`, id, clues); err != nil {
		return fmt.Errorf("noting the clues of an erasure: %w", err)
	}
	return nil
}

// FinishErasure notes that the person is gone from every layer, and forgets the clues.
func (s *Store) FinishErasure(ctx context.Context, id int64) error {
	if _, err := s.pool.Exec(ctx, `UPDATE erasures SET clues = NULL, finished_at = coalesce(finished_at, now()) WHERE customer_id = $1`, id); err != nil {
		return fmt.Errorf("ending an erasure: %w", err)
	}
	return nil
}

// ErasedAmong returns those of some customers who asked to be forgotten.
func (s *Store) ErasedAmong(ctx context.Context, ids []int64) (map[int64]bool, error) {
	rows, err := s.pool.Query(ctx, `SELECT customer_id FROM erasures WHERE customer_id = ANY($1)`, ids)
	if err != nil {
		return nil, fmt.Errorf("asking who is erased: %w", err)
	}
	erased := map[int64]bool{}
	var id int64
	if _, err = pgx.ForEachRow(rows, []any{&id}, func() error { erased[id] = true; return nil }); err != nil {
		return nil, fmt.Errorf("asking who is erased: %w", err)
	}
	return erased, nil
}

// OutboxHolds reports whether events of a customer wait to be published.
func (s *Store) OutboxHolds(ctx context.Context, id int64) (waiting bool, err error) {
	err = s.pool.QueryRow(ctx, `SELECT EXISTS (SELECT FROM outbox WHERE topic = $1 AND key = $2 AND refused IS NULL)`,
		topicCustomers, numberKey(id)).Scan(&waiting)
	if err != nil {
		return false, fmt.Errorf("looking for events of a customer in the outbox: %w", err)
	}
	return waiting, nil
}

// RunsBefore returns runs that are at work and were so at some time, besides those of a name.
func (s *Store) RunsBefore(ctx context.Context, began time.Time, besides string) ([]Run, error) {
	rows, err := s.pool.Query(ctx, `SELECT `+runColumns+` FROM batch_runs
		WHERE status = 'running' AND started_at <= $1 AND name <> $2 ORDER BY started_at`, began, besides)
	if err != nil {
		return nil, fmt.Errorf("looking for runs at work: %w", err)
	}
	runs, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (Run, error) { return scanRun(row) })
	if err != nil {
		return nil, fmt.Errorf("looking for runs at work: %w", err)
	}
	return runs, nil
}

// SetRunReport keeps what a run has to tell beside its counts.
func (s *Store) SetRunReport(ctx context.Context, run string, report any) error {
	if _, err := s.pool.Exec(ctx, `UPDATE batch_runs SET report = $2 WHERE id = $1`, run, report); err != nil {
		return fmt.Errorf("keeping the report of run %s: %w", run, err)
	}
	return nil
}
