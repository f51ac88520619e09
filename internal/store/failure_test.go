package store_test

import (
	"context"
	"errors"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/shop-connect/shop-connect/internal/store"
)

func TestAnOutageIsToldFromWhatWillFailAgain(t *testing.T) {
	s := open(t)
	for query, want := range map[string]store.Failure{
		"SELECT 9223372036854775807 + 1::bigint": store.Unstorable,
		"SELECT no_such_column":                  store.Defect,
		"SELECT 1 FROM no_such_table":            store.Defect,
	} {
		_, err := s.Pool().Exec(t.Context(), query)
		if got := store.Kind(err); err == nil || got != want {
			t.Errorf("%s: %v is %d, want %d", query, err, got, want)
		}
	}
	for _, err := range []error{
		context.DeadlineExceeded, errors.New("connection reset"),
		&pgconn.PgError{Code: "57P01"}, &pgconn.PgError{Code: "40001"}, &pgconn.PgError{Code: "53300"}, &pgconn.PgError{Code: "25006"},
	} {
		if got := store.Kind(err); got != store.Outage {
			t.Errorf("%v is %d", err, got)
		}
	}
}
