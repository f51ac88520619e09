package store_test

import (
	"testing"

	"github.com/shop-connect/shop-connect/internal/store"
)

func TestKeysAreForgottenAfterADay(t *testing.T) {
	s, ctx := open(t), t.Context()
	key := func(name string) store.IdempotencyKey {
		return store.IdempotencyKey{Subject: "ann", Endpoint: "/things", Key: name}
	}
	for _, name := range []string{"old", "forgotten", "new"} {
		if _, began, err := s.BeginRequest(ctx, key(name), []byte(name)); err != nil || !began {
			t.Fatal(name, began, err)
		}
	}
	if _, err := s.Pool().Exec(ctx, `UPDATE idempotency SET created_at = now() - interval '25 hours' WHERE key <> 'new'`); err != nil {
		t.Fatal(err)
	}
	if _, began, err := s.BeginRequest(ctx, key("old"), []byte("again")); err != nil || !began {
		t.Errorf("a key of yesterday: began %v, %v", began, err)
	}
	if kept, began, err := s.BeginRequest(ctx, key("new"), []byte("other")); err != nil || began || string(kept.Fingerprint) != "new" {
		t.Errorf("a key of today: began %v, %+v, %v", began, kept, err)
	}
	var rows int
	if err := s.Pool().QueryRow(ctx, `SELECT count(*) FROM idempotency`).Scan(&rows); err != nil || rows != 2 {
		t.Errorf("%d keys are kept, %v", rows, err)
	}
}
