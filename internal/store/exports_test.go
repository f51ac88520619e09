package store_test

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/shop-connect/shop-connect/internal/store"
)

// export returns what an export gives, and notes that it was done.
func export(t *testing.T, s *store.Store, table, key string, full bool) []string {
	t.Helper()
	e, err := s.BeginExport(t.Context(), table, key, full)
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close(context.Background())
	rows := exported(t, e)
	if err := e.Done(t.Context(), s, "", store.Counts{}, true); err != nil {
		t.Fatal(err)
	}
	return rows
}

func exported(t *testing.T, e *store.Export) (rows []string) {
	t.Helper()
	err := e.Rows(t.Context(), time.Time{}, func(row []byte, changedAt int64) error {
		if changedAt < 1_700_000_000_000_000 {
			t.Errorf("%s changed at %d", row, changedAt)
		}
		rows = append(rows, string(row))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return rows
}

func execute(t *testing.T, s *store.Store, statement string, arguments ...any) {
	t.Helper()
	if _, err := s.Pool().Exec(t.Context(), statement, arguments...); err != nil {
		t.Fatal(err)
	}
}

const insertSeller = `INSERT INTO sellers (id, name, email, phone, address) VALUES ($1, $2, '', '', '')`

// named keeps the names in rows.
func named(rows []string) (names []string) {
	for _, row := range rows {
		if _, rest, ok := strings.Cut(row, `"name":"`); ok {
			name, _, _ := strings.Cut(rest, `"`)
			names = append(names, name)
		} else {
			names = append(names, row)
		}
	}
	return names
}

func TestAnIncrementalExportGivesWhatChangedSinceTheLast(t *testing.T) {
	s := open(t)
	execute(t, s, insertSeller, 2, "Bob")
	execute(t, s, insertSeller, 1, "Ann")
	if got := named(export(t, s, "sellers", "id", false)); !slices.Equal(got, []string{"Ann", "Bob"}) {
		t.Fatalf("the first gives %q", got)
	}
	if got := export(t, s, "sellers", "id", false); len(got) != 0 {
		t.Fatalf("without changes it gives %q", got)
	}
	execute(t, s, `UPDATE sellers SET name = 'Bea', updated_at = '2026-01-01' WHERE id = 2`) // a time before the last export
	execute(t, s, insertSeller, 3, "Cem")
	execute(t, s, `DELETE FROM sellers WHERE id = 1`)
	if got := named(export(t, s, "sellers", "id", false)); !slices.Equal(got, []string{"Bea", "Cem", `{"id": 1, "deleted": true}`}) {
		t.Fatalf("after changes it gives %q", got)
	}
	execute(t, s, insertSeller, 1, "Ann again")
	if got := named(export(t, s, "sellers", "id", true)); !slices.Equal(got, []string{"Ann again", "Bea", "Cem"}) {
		t.Fatalf("a full one gives %q", got)
	}
}

func TestATransactionThatCommitsAfterAnExportIsInTheNext(t *testing.T) {
	s := open(t)
	late, err := s.Pool().Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer late.Rollback(context.Background())
	if _, err := late.Exec(t.Context(), insertSeller, 1, "Late"); err != nil {
		t.Fatal(err)
	}
	execute(t, s, insertSeller, 2, "Early")
	if got := named(export(t, s, "sellers", "id", false)); !slices.Equal(got, []string{"Early"}) {
		t.Fatalf("the first gives %q", got)
	}
	if err := late.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := named(export(t, s, "sellers", "id", false)); !slices.Contains(got, "Late") {
		t.Fatalf("the second gives %q", got)
	}
}

func TestAnExportIsOfOneMoment(t *testing.T) {
	s := open(t)
	execute(t, s, insertSeller, 1, "Ann")
	e, err := s.BeginExport(t.Context(), "sellers", "id", true)
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close(context.Background())
	execute(t, s, insertSeller, 2, "Bob")
	execute(t, s, `DELETE FROM sellers WHERE id = 1`)
	if got := named(exported(t, e)); !slices.Equal(got, []string{"Ann"}) {
		t.Fatalf("got %q", got)
	}
}

func TestATableThatWasRestoredIsExportedWhole(t *testing.T) {
	s := open(t)
	execute(t, s, insertSeller, 1, "Ann")
	export(t, s, "sellers", "id", false)
	execute(t, s, `ALTER TABLE sellers RENAME TO old; CREATE TABLE sellers (LIKE old INCLUDING ALL); INSERT INTO sellers OVERRIDING SYSTEM VALUE SELECT * FROM old`)
	execute(t, s, `UPDATE exports SET next_xid = next_xid + 1000`) // numbers of another server
	if got := named(export(t, s, "sellers", "id", false)); !slices.Equal(got, []string{"Ann"}) {
		t.Fatalf("got %q", got)
	}
}
