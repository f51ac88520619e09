package store_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/shop-connect/shop-connect/internal/store"
	"github.com/shop-connect/shop-connect/internal/testservers"
)

func TestMain(m *testing.M) { testservers.Main(m) }

func open(t *testing.T) *store.Store {
	t.Helper()
	s, err := store.Open(t.Context(), testservers.Postgres(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

const (
	runA = "01900000-0000-7000-8000-00000000000a"
	runB = "01900000-0000-7000-8000-00000000000b"
)

func TestManyProcessesMayMigrateAtOnce(t *testing.T) {
	dsn := testservers.Postgres(t)
	failures := make([]error, 4)
	var wg sync.WaitGroup
	for i := range failures {
		wg.Go(func() { failures[i] = store.Migrate(t.Context(), dsn) })
	}
	wg.Wait()
	if err := errors.Join(failures...); err != nil {
		t.Fatal(err)
	}
}

func TestAWrongConnectionStringShowsNoPassword(t *testing.T) {
	err := store.CheckDSN("postgres://shop:hunter2@127.0.0.1:port/shop")
	if err == nil || strings.Contains(err.Error(), "hunter2") {
		t.Fatalf("got %v", err)
	}
}

func TestOnlyOneRunOfANameHoldsItsLock(t *testing.T) {
	s := open(t)
	first, err := s.LockRun(t.Context(), "copy", false)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.LockRun(t.Context(), "copy", false); !errors.Is(err, store.ErrBusy) {
		t.Fatalf("second lock: %v", err)
	}
	if other, err := s.LockRun(t.Context(), "export", false); err != nil {
		t.Fatal(err)
	} else {
		other.Release()
	}
	first.Release()
	first.Release()
	again, err := s.LockRun(t.Context(), "copy", true)
	if err != nil {
		t.Fatal(err)
	}
	again.Release()
}

func TestAStartClosesTheBooksOnARunWhoseProcessDied(t *testing.T) {
	s := open(t)
	ctx := t.Context()
	for _, id := range []string{runA, runB} {
		if err := s.CreateRun(ctx, id, "copy", map[string]string{"entity": "purchases"}); err != nil {
			t.Fatal(err)
		}
		if err := s.StartRun(ctx, id, "copy"); err != nil {
			t.Fatal(err)
		}
	}
	dead, err := s.Run(ctx, runA)
	if err != nil {
		t.Fatal(err)
	}
	if dead.Status != store.Failed || dead.FinishedAt == nil || dead.Error == "" || dead.Parameters["entity"] != "purchases" {
		t.Fatalf("got %+v", dead)
	}
	if alive, err := s.Run(ctx, runB); err != nil || alive.Status != store.Running {
		t.Fatalf("got %+v, %v", alive, err)
	}
}

func TestARunThatIsAliveIsNotAbandoned(t *testing.T) {
	dsn := testservers.Postgres(t)
	s, err := store.Open(t.Context(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	ctx := t.Context()
	lock, err := s.LockRun(ctx, "copy", false)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(s.CreateRun(ctx, runA, "copy", nil), s.StartRun(ctx, runA, "copy")); err != nil {
		t.Fatal(err)
	}
	backdate(t, dsn)
	for _, step := range []struct {
		release bool
		want    store.Status
	}{{false, store.Running}, {true, store.Failed}} {
		if step.release {
			lock.Release()
		}
		if err := s.EndAbandoned(ctx, "copy"); err != nil {
			t.Fatal(err)
		}
		if run, err := s.Run(ctx, runA); err != nil || run.Status != step.want {
			t.Fatalf("lock released %v: got %+v, %v", step.release, run, err)
		}
	}
}

func backdate(t *testing.T, dsn string) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	if _, err := conn.Exec(t.Context(), `UPDATE batch_runs SET started_at = now() - interval '1 hour'`); err != nil {
		t.Fatal(err)
	}
}

func TestAFinishedRunStaysAsItEnded(t *testing.T) {
	s := open(t)
	ctx := t.Context()
	err := errors.Join(
		s.CreateRun(ctx, runA, "copy", nil),
		s.StartRun(ctx, runA, "copy"),
		s.AddToRun(ctx, runA, store.Counts{RowsIn: 3, RowsOut: 2, RowsRefused: 1, Objects: 1}),
		s.FinishRun(ctx, runA, store.Failed, 2, "no progress"),
		s.FinishRun(ctx, runA, store.Cancelled, 9, "closed"),
	)
	if err != nil {
		t.Fatal(err)
	}
	runs, err := s.Runs(ctx, store.RunFilter{Name: "copy"}, 10)
	if err != nil || len(runs) != 1 {
		t.Fatalf("got %v, %v", runs, err)
	}
	if r := runs[0]; r.Status != store.Failed || r.Error != "no progress" || r.Attempts != 2 || r.RowsIn != 3 || !r.Reconciles() {
		t.Fatalf("got %+v", r)
	}
	if _, err := s.Run(ctx, runB); !errors.Is(err, store.ErrNotFound) {
		t.Fatalf("got %v", err)
	}
}

func TestI4AnObjectWhoseRowsDoNotAddUpIsNotEntered(t *testing.T) {
	s := open(t)
	lock, err := s.LockStage(t.Context(), store.Slice{Entity: "purchases", Topic: "purchases", Day: "2026-01-02"})
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Release()
	object := store.Object{Key: "k", ETag: "e"}
	err = lock.Commit(t.Context(), store.StagedObject{Object: object, Counts: store.Counts{RowsIn: 3, RowsOut: 2}})
	if err == nil {
		t.Fatal("entered")
	}
	if known, err := lock.Known(t.Context(), object); err != nil || known {
		t.Fatalf("known %v, %v", known, err)
	}
}

func TestIntentsThatWereNeverCommittedAreOrphans(t *testing.T) {
	s := open(t)
	ctx := t.Context()
	lock, err := s.LockStage(ctx, store.Slice{Entity: "purchases", Topic: "purchases", Day: "2026-01-02"})
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Release()
	crashed, kept := store.Target{Bucket: "stage", Key: "at-100"}, store.Target{Bucket: "stage", Key: "at-90"}
	for _, key := range []string{"raw-100", "raw-95"} {
		if _, err := lock.Intend(ctx, key, []store.Target{crashed}); err != nil {
			t.Fatal(err)
		}
	}
	orphans, err := lock.Intend(ctx, "raw-100", []store.Target{kept})
	if err != nil || len(orphans) != 1 || orphans[0] != crashed {
		t.Fatalf("got %v, %v", orphans, err)
	}
	// the same target, committed for another object, is no orphan any more
	owner := store.StagedObject{Object: store.Object{Key: "raw-95", ETag: "e"}, StageKey: crashed.Key}
	if err := lock.Commit(ctx, owner); err != nil {
		t.Fatal(err)
	}
	if orphans, err = lock.Intend(ctx, "raw-100", []store.Target{kept}); err != nil || len(orphans) != 0 {
		t.Fatalf("got %v, %v", orphans, err)
	}
}
