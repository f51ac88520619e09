package doctor

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/shop-connect/shop-connect/internal/contract"
	"github.com/shop-connect/shop-connect/internal/env"
	"github.com/shop-connect/shop-connect/internal/store"
)

const (
	minPostgres = 130000

	// The alerts ShopOutboxWaits and ShopStageWaits fire from here on.
	outboxWaits = time.Minute
	stageWaits  = 2 * time.Hour

	migrationsDo = "run `shop-connect provision`, which brings the schema up to date"
	newerDo      = "replace this binary by the newer version, on every replica"
)

func (e *examination) postgres() server {
	s := server{name: "PostgreSQL", address: hostOf(e.Vars[env.PostgresDSN]), needs: []string{env.PostgresDSN}}
	db, err := e.openStore()
	if err != nil {
		s.reach = check{"reach", func(context.Context) []Finding {
			return []Finding{fault("write postgres://user:password@host:5432/database", "reading %s: %v", env.PostgresDSN, err)}
		}}
		return s
	}
	s.reach = check{"reach", func(ctx context.Context) []Finding { return reachPostgres(ctx, db) }}
	s.checks = []check{
		{"migrations", func(ctx context.Context) []Finding { return checkMigrations(ctx, db) }},
		{"rights", func(ctx context.Context) []Finding { return checkPostgresRights(ctx, db) }},
		{"contracts", func(ctx context.Context) []Finding { return e.checkRegistry(ctx, db) }},
		{"outbox", func(ctx context.Context) []Finding { return checkOutbox(ctx, db) }},
		{"raw", func(ctx context.Context) []Finding { return checkRaw(ctx, db) }},
		{"runs", func(ctx context.Context) []Finding { return checkRuns(ctx, db) }},
	}
	return s
}

// openStore connects to nothing yet.
func (e *examination) openStore() (*store.Store, error) {
	db, err := store.OpenAsIs(context.Background(), e.Vars[env.PostgresDSN])
	if err == nil {
		e.onClose(db.Close)
	}
	return db, err
}

func reachPostgres(ctx context.Context, db *store.Store) []Finding {
	began := time.Now()
	err := db.Ping(ctx)
	if errors.Is(err, context.DeadlineExceeded) { // that of making a connection may be shorter than ours
		return []Finding{silent(time.Since(began))}
	}
	if err != nil {
		return []Finding{fault("start the server, or correct "+env.PostgresDSN+"; while it is away the API answers 503 and takes nothing, and streams wait", "%v", err)}
	}
	asked := time.Now()
	about, err := db.About(ctx)
	answered := time.Now()
	switch {
	case err != nil:
		return []Finding{fault("see the server's log", "%v", err)}
	case about.Standby:
		return []Finding{fault("let "+env.PostgresDSN+" lead to the primary, or promote this server", "it is a standby: it takes no writes")}
	case about.Number < minPostgres:
		return []Finding{fault("upgrade it to 13 or later", "version %s is too old", about.Version)}
	}
	return []Finding{fine("version %s", about.Version), clockOf(about.Clock, asked, answered)}
}

func checkMigrations(ctx context.Context, db *store.Store) []Finding {
	missing, newer, err := db.Migrations(ctx)
	switch {
	case err != nil:
		return []Finding{fault("grant the user SELECT on goose_db_version, or let it own the database", "%v", err)}
	case len(missing) > 0:
		return []Finding{fault(migrationsDo, "migrations have not run: %s", numbers(missing))}
	case len(newer) > 0:
		return []Finding{warning(newerDo, "a newer version has migrated it: %s", numbers(newer))}
	}
	return []Finding{fine("all have run")}
}

func numbers(of []int64) string { return strings.Trim(fmt.Sprint(of), "[]") }

func checkPostgresRights(ctx context.Context, db *store.Store) []Finding {
	const do = "grant them, or let the user own the database, as `shop-connect provision --roles` does"
	missing, err := db.MissingRights(ctx)
	if err == nil && len(missing) > 0 {
		return []Finding{fault(do, "rights on tables are missing: %s", strings.Join(missing, "; "))}
	}
	if err == nil {
		err = db.TryWrite(ctx)
	}
	if err != nil {
		return []Finding{fault(do+"; make room where its disk is full; "+migrationsDo+", where a table is missing", "%v", err)}
	}
	return []Finding{fine("a row was written and taken back")}
}

func (e *examination) checkRegistry(ctx context.Context, db *store.Store) (found []Finding) {
	contracts, err := contract.LoadDir(e.contractsDir())
	if err != nil {
		return nil // said among the settings
	}
	for _, entity := range slices.Sorted(maps.Keys(contracts)) {
		if err := db.CheckContract(ctx, contracts[entity]); err != nil {
			found = append(found, fault("correct the contract as the message says, or take the change back; no stream starts with it", "%v", err))
		}
	}
	if len(found) == 0 {
		found = append(found, fine("rows stored so far fit all %d", len(contracts)))
	}
	return found
}

func checkOutbox(ctx context.Context, db *store.Store) (found []Finding) {
	backlog, err := db.OutboxBacklog(ctx)
	if err != nil {
		return []Finding{fault(migrationsDo, "%v", err)}
	}
	refused, reason, err := db.OutboxRefused(ctx)
	if err != nil {
		return []Finding{fault(migrationsDo, "%v", err)}
	}
	if age := seconds(backlog.Age); age > outboxWaits {
		found = append(found, warning("docs/runbook.md, ShopOutboxWaits: see whether Kafka answers and the stream outbox_kafka runs", "%d events wait for Kafka, the oldest for %s", backlog.Waiting, ago(age)))
	}
	if refused > 0 {
		found = append(found, warning("remove the cause, then UPDATE outbox SET refused = NULL WHERE refused IS NOT NULL to send them again", "Kafka has refused %d events, the newest: %s", refused, reason))
	}
	if len(found) == 0 {
		found = append(found, fine("%d events wait for Kafka", backlog.Waiting))
	}
	return found
}

func checkRaw(ctx context.Context, db *store.Store) (found []Finding) {
	written, err := lastWrites(ctx, db)
	if err != nil {
		return []Finding{fault(migrationsDo, "%v", err)}
	}
	pending, err := db.StageBacklog(ctx)
	if err != nil {
		return []Finding{fault(migrationsDo, "%v", err)}
	}
	for _, b := range pending {
		if age := seconds(b.Age); age > stageWaits {
			found = append(found, warning("shop-connect run-batch copy_raw_to_stage", "%d objects of %s wait for STAGE, the oldest for %s", b.Waiting, b.Name, ago(age)))
		}
	}
	return append(found, fine("%s", written))
}

// lastWrites says when RAW was last written to.
func lastWrites(ctx context.Context, db *store.Store) (string, error) {
	written, err := db.RawWritten(ctx)
	if err != nil {
		return "", err
	}
	if len(written) == 0 {
		return "nothing was ever written to RAW", nil
	}
	var parts []string
	for _, w := range written {
		parts = append(parts, fmt.Sprintf("%s %s (%s ago)", w.Entity, w.Last.UTC().Format(time.DateTime), ago(time.Since(w.Last))))
	}
	return "last written to RAW, UTC: " + strings.Join(parts, ", "), nil
}

func checkRuns(ctx context.Context, db *store.Store) (found []Finding) {
	runs, err := db.LastRuns(ctx)
	if err != nil {
		return []Finding{fault(migrationsDo, "%v", err)}
	}
	for _, run := range runs {
		if run.Status == store.Failed {
			found = append(found, warning("remove the cause, then shop-connect run-batch "+run.Name+": running it again is safe",
				"the last run of %s failed, %s: %s", run.Name, run.StartedAt.Format(time.DateTime), run.Error))
		}
	}
	if len(found) == 0 {
		found = append(found, fine("no batch stream's last run has failed"))
	}
	return found
}
