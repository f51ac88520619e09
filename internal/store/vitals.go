package store

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// Backlog is what waits somewhere, and for how long the oldest of it has.
type Backlog struct {
	Name    string // of an entity; empty where there is one backlog
	Waiting int64
	Age     float64 // seconds
}

// OutboxBacklog is what the relay has not published yet.
func (s *Store) OutboxBacklog(ctx context.Context) (b Backlog, err error) {
	err = s.pool.QueryRow(ctx, `SELECT count(*), coalesce(extract(epoch FROM now() - min(created_at)), 0)::float8
		FROM outbox WHERE refused IS NULL`).Scan(&b.Waiting, &b.Age)
	if err != nil {
		return Backlog{}, fmt.Errorf("counting the outbox: %w", err)
	}
	return b, nil
}

// StageBacklog is the objects of RAW that are not in STAGE yet, by entity.
func (s *Store) StageBacklog(ctx context.Context) ([]Backlog, error) {
	return collect(ctx, s, "counting pending objects of RAW", pgx.RowToStructByPos[Backlog], `
		SELECT entity, count(*) FILTER (WHERE pending), coalesce(extract(epoch FROM now() - min(registered_at) FILTER (WHERE pending)), 0)::float8
		FROM raw_objects GROUP BY entity ORDER BY entity`)
}

// OpenQuarantine is how many rows of a layer are in quarantine for a reason.
type OpenQuarantine struct {
	Entity, Layer, Reason string
	Open                  int64
}

// QuarantineOpen counts the rows that nobody has replayed or discarded, of all days.
func (s *Store) QuarantineOpen(ctx context.Context) ([]OpenQuarantine, error) {
	return collect(ctx, s, "counting the quarantine", pgx.RowToStructByPos[OpenQuarantine], `
		SELECT o.entity, o.layer, g.reason, sum(g.rows - g.replayed - g.discarded)::bigint
		FROM quarantine_objects o JOIN quarantine_groups g ON g.object_id = o.id
		WHERE g.reason <> '`+copiedRows+`' GROUP BY 1, 2, 3 ORDER BY 1, 2, 3`)
}

// RunTotal is how runs of one name have ended lately.
type RunTotal struct {
	Name                      string
	Succeeded, Failed, Active int64
	// LastSuccess is the zero time where there was none.
	LastSuccess time.Time
}

// RunTotals counts the runs of the last day, and says when each name last succeeded.
func (s *Store) RunTotals(ctx context.Context) ([]RunTotal, error) {
	return collect(ctx, s, "counting runs", pgx.RowToStructByPos[RunTotal], `
		SELECT name,
			count(*) FILTER (WHERE status = 'succeeded' AND started_at > now() - interval '1 day'),
			count(*) FILTER (WHERE status = 'failed' AND started_at > now() - interval '1 day'),
			count(*) FILTER (WHERE status IN ('queued', 'running')),
			coalesce(max(finished_at) FILTER (WHERE status = 'succeeded'), 'epoch')
		FROM batch_runs WHERE started_at > now() - interval '30 days' GROUP BY name ORDER BY name`)
}

func collect[T any](ctx context.Context, s *Store, what string, scan pgx.RowToFunc[T], query string) ([]T, error) {
	rows, err := s.pool.Query(ctx, query)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", what, err)
	}
	found, err := pgx.CollectRows(rows, scan)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", what, err)
	}
	return found, nil
}
