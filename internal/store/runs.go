package store

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
)

// Status is where a batch run stands.
type Status string

// The statuses of a run. The last three are final.
const (
	Queued    Status = "queued"
	Running   Status = "running"
	Succeeded Status = "succeeded"
	Failed    Status = "failed"
	Cancelled Status = "cancelled"
)

// Final reports whether a run with this status has ended.
func (s Status) Final() bool { return s == Succeeded || s == Failed || s == Cancelled }

// MetaRunID is the metadata by which a message says which run it belongs to.
const MetaRunID = "run_id"

// ErrNotFound is returned for a row that is not there.
var ErrNotFound = errors.New("there is none")

// Counts are what a run, or a part of it, did. I4: RowsIn = RowsOut + RowsRefused + RowsSkipped.
type Counts struct {
	RowsIn           int64 `json:"rows_in"`
	RowsOut          int64 `json:"rows_out"`
	RowsRefused      int64 `json:"rows_refused"`
	RowsSkipped      int64 `json:"rows_skipped"`
	Objects          int64 `json:"objects"`
	ObjectsRefused   int64 `json:"objects_refused"`
	ObjectsUnchanged int64 `json:"objects_unchanged"`
	Bytes            int64 `json:"bytes"`
}

// Reconciles reports whether every row that came in is accounted for (I4).
func (c Counts) Reconciles() bool { return c.RowsIn == c.RowsOut+c.RowsRefused+c.RowsSkipped }

// Plus adds counts to each other.
func (c Counts) Plus(o Counts) Counts {
	return Counts{
		c.RowsIn + o.RowsIn, c.RowsOut + o.RowsOut, c.RowsRefused + o.RowsRefused, c.RowsSkipped + o.RowsSkipped,
		c.Objects + o.Objects, c.ObjectsRefused + o.ObjectsRefused, c.ObjectsUnchanged + o.ObjectsUnchanged, c.Bytes + o.Bytes,
	}
}

// Minus is what has to be added to o.
func (c Counts) Minus(o Counts) Counts {
	return c.Plus(Counts{
		-o.RowsIn, -o.RowsOut, -o.RowsRefused, -o.RowsSkipped, -o.Objects, -o.ObjectsRefused, -o.ObjectsUnchanged, -o.Bytes,
	})
}

// Run is one row of the ledger of batch runs.
type Run struct {
	ID         string            `json:"id"`
	Name       string            `json:"name"`
	Parameters map[string]string `json:"parameters"`
	Status     Status            `json:"status"`
	StartedAt  time.Time         `json:"started_at"`
	FinishedAt *time.Time        `json:"finished_at"`
	Counts
	// Warnings counts rows that passed though a value of theirs is worth a warning, by entity and field, such
	// as purchases.customer_id.
	Warnings map[string]int64 `json:"warnings" doc:"Rows that passed with a warning, by entity and field, such as purchases.customer_id: the customer is unknown."`
	// Attempts is how often the message that was delivered most often was delivered.
	Attempts int64  `json:"attempts"`
	Error    string `json:"error"`
	// Progress is where the run is, or was at its end, in words.
	Progress string `json:"progress"`
	// CancelRequested says that somebody wants the run to end.
	CancelRequested bool `json:"cancel_requested"`
	// Report is what the run has to tell beside its counts; each kind of run has its own form.
	Report map[string]any `json:"report,omitempty" doc:"What the run has to tell beside its counts, in a form of its own."`
}

// refusedAsBusy begins the error of a run that has not begun because another of its name was at work.
const refusedAsBusy = "another run of "

// RefusedAsBusy says why a run has not begun while another of its name is at work, and what to do.
func RefusedAsBusy(name, advice string) string {
	return refusedAsBusy + name + " is at work: " + advice
}

// RefusedAsBusy reports whether the run has not begun because another of its name was at work.
func (r Run) RefusedAsBusy() bool {
	return r.Status == Failed && strings.HasPrefix(r.Error, refusedAsBusy+r.Name+" ")
}

const runColumns = `id::text, name, parameters, status, started_at, finished_at, rows_in, rows_out, rows_refused,
	rows_skipped, objects, objects_refused, objects_unchanged, bytes, warnings, attempts, error, progress,
	cancel_requested_at IS NOT NULL, report`

func scanRun(row pgx.Row) (Run, error) {
	var r Run
	err := row.Scan(&r.ID, &r.Name, &r.Parameters, &r.Status, &r.StartedAt, &r.FinishedAt, &r.RowsIn, &r.RowsOut,
		&r.RowsRefused, &r.RowsSkipped, &r.Objects, &r.ObjectsRefused, &r.ObjectsUnchanged, &r.Bytes, &r.Warnings, &r.Attempts,
		&r.Error, &r.Progress, &r.CancelRequested, &r.Report)
	r.StartedAt = r.StartedAt.UTC() // I6
	if r.FinishedAt != nil {
		*r.FinishedAt = r.FinishedAt.UTC()
	}
	return r, err
}

// CreateRun enters a run that waits for its turn.
func (s *Store) CreateRun(ctx context.Context, id, name string, parameters map[string]string) error {
	if parameters == nil {
		parameters = map[string]string{}
	}
	_, err := s.pool.Exec(ctx, `INSERT INTO batch_runs (id, name, parameters, status) VALUES ($1, $2, $3, $4)`,
		id, name, parameters, Queued)
	if err != nil {
		return fmt.Errorf("entering run %s in the ledger: %w", id, err)
	}
	return nil
}

// LockRun makes a run the only one of its name. Without wait it returns ErrBusy where another is at it.
func (s *Store) LockRun(ctx context.Context, name string, wait bool) (*Lock, error) {
	return s.takeLock(ctx, lockRun, name, wait)
}

// StartRun marks a run as running, and closes the books on runs of the same name whose process ended
// before they did. The caller holds the lock of the name, so no other run of it can be alive.
func (s *Store) StartRun(ctx context.Context, id, name string) error {
	_, err := s.pool.Exec(ctx, `
		UPDATE batch_runs SET
			status = CASE WHEN id = $1 THEN 'running' ELSE 'failed' END,
			error = CASE WHEN id = $1 THEN '' ELSE $3 END,
			finished_at = CASE WHEN id = $1 THEN NULL ELSE now() END
		WHERE id = $1 OR (name = $2 AND status = 'running')`, id, name, abandoned)
	if err != nil {
		return fmt.Errorf("starting run %s in the ledger: %w", id, err)
	}
	return nil
}

const abandoned = "the process that ran it ended before the run did: start it again, what was done stays done"

// abandonAfter leaves a run that is entered, and not yet running, the time to wait for its lock.
const abandonAfter = 10 * time.Second

// EndAbandoned closes the books on runs of a name whose process is gone: their lock is free.
func (s *Store) EndAbandoned(ctx context.Context, name string) error {
	_, err := s.pool.Exec(ctx, `
		WITH free AS MATERIALIZED (SELECT pg_try_advisory_xact_lock($1, hashtext($2)) AS taken)
		UPDATE batch_runs SET status = 'failed', error = $3, finished_at = now()
		FROM free
		WHERE free.taken AND name = $2 AND (status = 'running' OR status = 'queued' AND started_at < now() - $4::interval)`,
		int32(lockRun), name, abandoned, abandonAfter)
	if err != nil {
		return fmt.Errorf("looking for abandoned runs of %q: %w", name, err)
	}
	return nil
}

// FinishRun ends a run. A run that has ended stays as it is.
func (s *Store) FinishRun(ctx context.Context, id string, status Status, attempts int64, reason string) error {
	_, err := s.pool.Exec(ctx, `
		UPDATE batch_runs SET status = $2, attempts = $3, error = $4, finished_at = now()
		WHERE id = $1 AND finished_at IS NULL`, id, status, attempts, reason)
	if err != nil {
		return fmt.Errorf("ending run %s in the ledger: %w", id, err)
	}
	return nil
}

const addCounts = `
	UPDATE batch_runs SET rows_in = rows_in + $2, rows_out = rows_out + $3, rows_refused = rows_refused + $4,
		rows_skipped = rows_skipped + $5, objects = objects + $6, objects_refused = objects_refused + $7,
		objects_unchanged = objects_unchanged + $8, bytes = bytes + $9
	WHERE id = $1`

func (c Counts) arguments(run string) []any {
	return []any{run, c.RowsIn, c.RowsOut, c.RowsRefused, c.RowsSkipped, c.Objects, c.ObjectsRefused, c.ObjectsUnchanged, c.Bytes}
}

// addWarnings adds an object of counts to another, name by name.
const addWarnings = `
	UPDATE batch_runs SET warnings = (
		SELECT jsonb_object_agg(key, n) FROM (
			SELECT key, sum(value::bigint) AS n
			FROM (SELECT * FROM jsonb_each_text(warnings) UNION ALL SELECT * FROM jsonb_each_text($2)) AS counted
			GROUP BY key) AS sums)
	WHERE id = $1`

// AddToRun adds to the counts of a run.
func (s *Store) AddToRun(ctx context.Context, id string, c Counts) error {
	if _, err := s.pool.Exec(ctx, addCounts, c.arguments(id)...); err != nil {
		return fmt.Errorf("counting for run %s: %w", id, err)
	}
	return nil
}

// Run returns one run, or ErrNotFound.
func (s *Store) Run(ctx context.Context, id string) (Run, error) {
	r, err := scanRun(s.pool.QueryRow(ctx, `SELECT `+runColumns+` FROM batch_runs WHERE id = $1`, id))
	if errors.Is(err, pgx.ErrNoRows) {
		return Run{}, fmt.Errorf("reading run %s: %w", id, ErrNotFound)
	}
	if err != nil {
		return Run{}, fmt.Errorf("reading run %s: %w", id, err)
	}
	return r, nil
}

// RunFilter says which runs are meant; what is empty leaves none out.
type RunFilter struct {
	Name   string
	Status Status
	// Before is the id of a run: those that were started before it.
	Before string
}

// Runs returns the newest runs, at most limit.
func (s *Store) Runs(ctx context.Context, f RunFilter, limit int) ([]Run, error) {
	rows, err := s.pool.Query(ctx, `SELECT `+runColumns+` FROM batch_runs
		WHERE ($1 = '' OR name = $1) AND ($2 = '' OR status = $2)
			AND ($3 = '' OR (started_at, id) < (SELECT started_at, id FROM batch_runs WHERE id = nullif($3, '')::uuid))
		ORDER BY started_at DESC, id DESC LIMIT $4`, f.Name, f.Status, f.Before, limit)
	if err != nil {
		return nil, fmt.Errorf("listing runs: %w", err)
	}
	runs, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (Run, error) { return scanRun(row) })
	if err != nil {
		return nil, fmt.Errorf("listing runs: %w", err)
	}
	return runs, nil
}

// Unfinished returns the runs of a name that have not ended.
func (s *Store) Unfinished(ctx context.Context, name string) (n int, err error) {
	if err := s.pool.QueryRow(ctx, `SELECT count(*) FROM batch_runs WHERE name = $1 AND finished_at IS NULL`, name).Scan(&n); err != nil {
		return 0, fmt.Errorf("counting the runs of %s: %w", name, err)
	}
	return n, nil
}

// Report notes in words where a run is, and returns whether it is to go on.
func (s *Store) Report(ctx context.Context, id, progress string) (goOn bool, err error) {
	err = s.pool.QueryRow(ctx, `UPDATE batch_runs SET progress = $2 WHERE id = $1
		RETURNING finished_at IS NULL AND cancel_requested_at IS NULL`, id, progress).Scan(&goOn)
	if err != nil {
		return false, fmt.Errorf("noting the progress of run %s: %w", id, err)
	}
	return goOn, nil
}

// RequestCancel asks for the end of a run that has not ended; whoever is at work on it sees that within
// a second, on whatever machine.
func (s *Store) RequestCancel(ctx context.Context, id string) error {
	_, err := s.pool.Exec(ctx, `UPDATE batch_runs SET cancel_requested_at = coalesce(cancel_requested_at, now())
		WHERE id = $1 AND finished_at IS NULL`, id)
	if err != nil {
		return fmt.Errorf("cancelling run %s: %w", id, err)
	}
	return nil
}
