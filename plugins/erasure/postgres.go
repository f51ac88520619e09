package erasure

import (
	"context"
	"net/http"
	"strings"
	"time"
)

// snapshotLimit is how long transactions are waited for that can still see deleted rows.
const snapshotLimit = 30 * time.Second

const (
	problemType = "application/problem+json"
	// goneAnswer is what a request is told that is sent again and had created or changed the customer.
	goneAnswer = `{"type":"about:blank","title":"Gone","status":410,"detail":"the customer was erased"}`
)

// personalTables hold, or held, something of the person.
var personalTables = []string{"customers", "outbox", "idempotency", "batch_runs"}

// eraseFromPostgres scrubs what is kept beside the records, forgets the clues, and makes deleted rows go from
// the files of the tables.
func (e *erasure) eraseFromPostgres(ctx context.Context) error {
	e.state.Clues = e.person.clues
	answers, err := e.store.ScrubAnswers(ctx, &e.state, http.StatusGone, problemType, []byte(goneAnswer))
	if err != nil {
		return err
	}
	runs, err := e.store.ScrubRuns(ctx, &e.state)
	if err != nil {
		return err
	}
	if err := e.store.FinishErasure(ctx, e.cfg.customer); err != nil {
		return err
	}
	d := e.report.Layers[layerPostgres]
	d.Rows = answers + runs
	if e.state.FinishedAt == nil {
		d.Rows++ // the customer
	}
	seen, err := e.store.AwaitSnapshots(ctx, snapshotLimit)
	if err != nil {
		return err
	}
	later, err := e.store.Vacuum(ctx, e.cfg.full, append(personalTables, "erasures")...)
	if err != nil {
		return err
	}
	if !seen {
		e.report.remain(layerPostgres, "deleted rows that a long transaction can still see", "it has ended and the tables are vacuumed: start the erasure again")
	}
	if len(later) > 0 {
		e.report.remain(layerPostgres, "bytes of deleted rows in the freed room of "+strings.Join(later, ", "), "they are overwritten by new rows, or at once by VACUUM FULL")
	}
	e.report.remain(layerPostgres, "the write-ahead log", "its segments are recycled, within some checkpoints (max_wal_size); archived ones as long as the archive keeps them")
	e.report.remain(layerPostgres, "backups", "they are as old as you keep them; erase again after restoring one")
	return nil
}
