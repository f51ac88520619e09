package s3parquet_test

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/minio/minio-go/v7"
	"github.com/redpanda-data/benthos/v4/public/service"

	ledger "github.com/shop-connect/shop-connect/internal/store"
	"github.com/shop-connect/shop-connect/internal/testservers"
)

// books is a ledger of a test's own.
type books struct {
	*ledger.Store
	dsn string
}

func openBooks(t testing.TB) *books {
	t.Helper()
	dsn := testservers.Postgres(t)
	opened, err := ledger.Open(t.Context(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(opened.Close)
	return &books{opened, dsn}
}

// pending returns what waits for STAGE.
func (b *books) pending(t testing.TB, bucket string) []ledger.RawObject {
	t.Helper()
	until, err := b.Now(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	found, err := b.PendingRaw(t.Context(), ledger.RawScope{Bucket: bucket, Entity: "purchases", Until: until}, ledger.RawObject{}, 1000)
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func names(objects []ledger.RawObject) (keys []string) {
	for _, o := range objects {
		keys = append(keys, o.Key)
	}
	return keys
}

// settle does what the processor stage_validate does once an object is in STAGE.
func (b *books) settle(t testing.TB, objects ...ledger.RawObject) {
	t.Helper()
	for _, o := range objects {
		if err := b.SettleRaw(t.Context(), o.Object); err != nil {
			t.Fatal(err)
		}
	}
}

// registered is the output of purchases_raw.
func registered(t testing.TB, s *store, bucket string, b *books) *service.OwnedOutput {
	t.Helper()
	return open(t, "s3_parquet:\n"+s.fields(bucket)+fmt.Sprintf(
		"  prefix: purchases/\n  day_folder: purchase_date\n  contract: %q\n  postgres_dsn: %q\n  refused: {collect: {name: %q}}\n",
		contractPath("purchases"), b.dsn, bucket))
}

func TestI2WhatIsAcknowledgedIsRegistered(t *testing.T) {
	s, bucket := newBucket(t)
	b := openBooks(t)
	write(t, registered(t, s, bucket, b),
		sent(0, 1, purchase("a", "2023-11-09")), sent(0, 2, purchase("b", "2023-11-10")), sent(0, 3, purchase("c", "2023-11-10")))
	found := b.pending(t, bucket)
	if want := []string{"purchases/purchase_date=2023-11-09/purchases-0-1.parquet", "purchases/purchase_date=2023-11-10/purchases-0-1.parquet"}; !slices.Equal(names(found), want) {
		t.Fatalf("registered %q, want %q", names(found), want)
	}
	for _, o := range found {
		there, err := s.StatObject(t.Context(), bucket, o.Key, minio.StatObjectOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if o.ETag != there.ETag || o.Size != there.Size || time.Since(o.WrittenAt) > time.Hour {
			t.Errorf("registered %+v, the object is %+v", o, there)
		}
	}
	var day string
	var rows int64
	err := b.Pool().QueryRow(t.Context(), "SELECT day, rows FROM raw_objects WHERE key = $1", found[1].Key).Scan(&day, &rows)
	if err != nil || day != "2023-11-10" || rows != 2 {
		t.Errorf("day %q, %d rows, %v", day, rows, err)
	}
}

func TestAnObjectIsPendingAgainOnceItIsOverwrittenAndNotBefore(t *testing.T) {
	s, bucket := newBucket(t)
	b := openBooks(t)
	out := registered(t, s, bucket, b)
	batch := []*service.Message{sent(0, 1, purchase("a", "2023-11-09")), sent(0, 2, purchase("b", "2023-11-09"))}
	write(t, out, batch...)
	b.settle(t, b.pending(t, bucket)...)
	write(t, out, batch...)
	write(t, out, batch[0]) // with other bounds; the object that reaches further stays
	if left := b.pending(t, bucket); len(left) != 0 {
		t.Fatalf("a redelivery made %q pending", names(left))
	}
	write(t, out, append(batch, sent(0, 3, purchase("c", "2023-11-09")))...)
	if again := b.pending(t, bucket); len(again) != 1 {
		t.Fatalf("pending %q, want the object that grew", names(again))
	}
}

func TestAWriterThatWasOvertakenChangesNothing(t *testing.T) {
	b := openBooks(t)
	register := func(etag string, last int64) {
		t.Helper()
		err := b.RegisterRaw(t.Context(), "raw", "purchases", []ledger.RawObject{{Object: ledger.Object{Key: "purchases/p-0-1.parquet", ETag: etag}, Rows: last, LastOffset: last}})
		if err != nil {
			t.Fatal(err)
		}
	}
	register("longer", 20)
	register("shorter", 10)
	if found := b.pending(t, "raw"); len(found) != 1 || found[0].ETag != "longer" {
		t.Fatalf("pending %+v", found)
	}
}

func TestI2WithoutTheDatabaseABatchIsHeldBackAndThenGoesOn(t *testing.T) {
	s, bucket := newBucket(t)
	b := openBooks(t)
	out := registered(t, s, bucket, b)
	write(t, out, sent(0, 1, purchase("a", "2023-11-09")))
	b.away(t, true)
	batch := []*service.Message{sent(0, 2, purchase("b", "2023-11-09")), sent(0, 3, purchase("c", "2023-11-10"))}
	if err := out.WriteBatch(t.Context(), batch); err == nil || !strings.Contains(err.Error(), "PostgreSQL") {
		t.Fatalf("acknowledged without a ledger: %v", err)
	}
	b.away(t, false)
	// the process may have died meanwhile: what comes again has other bounds
	write(t, out, batch[0])
	write(t, out, batch[1])
	got := names(b.pending(t, bucket))
	slices.Sort(got)
	want := keys(s.objects(t, bucket))
	// what was put before the crash, and was never acknowledged, is named by nobody: its rows came again
	want = slices.DeleteFunc(want, func(key string) bool { return strings.Contains(key, "2023-11-10/purchases-0-2") })
	if !slices.Equal(got, want) {
		t.Errorf("pending %q, want %q", got, want)
	}
}

// away takes the database off the network, and gives it back.
func (b *books) away(t *testing.T, away bool) {
	t.Helper()
	at, err := url.Parse(b.dsn)
	if err != nil {
		t.Fatal(err)
	}
	name := strings.TrimPrefix(at.Path, "/")
	conn, err := pgx.Connect(t.Context(), testservers.Env(t)["POSTGRES_DSN"])
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.WithoutCancel(t.Context()))
	if _, err := conn.Exec(t.Context(), fmt.Sprintf("ALTER DATABASE %s WITH ALLOW_CONNECTIONS %t", name, !away)); err != nil {
		t.Fatal(err)
	}
	if away {
		if _, err := conn.Exec(t.Context(), "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1", name); err != nil {
			t.Fatal(err)
		}
	}
}

// A contract that other layers refuse, because stored rows do not fit it, must not type rows in RAW either.
func TestRowsAreNotTypedByAContractThatRowsStoredSoFarDoNotFit(t *testing.T) {
	s, bucket := newBucket(t)
	b := openBooks(t)
	write(t, registered(t, s, bucket, b), sent(0, 1, purchase("a", "2023-11-09")))

	text, err := os.ReadFile(contractPath("purchases"))
	if err != nil {
		t.Fatal(err)
	}
	edited := strings.Replace(string(text), "version: 1", "version: 2", 1)
	edited = strings.Replace(edited, "name: quantity", "name: pieces", 1)
	path := filepath.Join(t.TempDir(), "purchases.yaml")
	if err := os.WriteFile(path, []byte(edited), 0o600); err != nil {
		t.Fatal(err)
	}
	refusing := open(t, "s3_parquet:\n"+s.fields(bucket)+fmt.Sprintf(
		"  prefix: purchases/\n  day_folder: purchase_date\n  contract: %q\n  postgres_dsn: %q\n  refused: {collect: {name: %q}}\n", path, b.dsn, bucket))
	for range 2 { // a run tries again
		err := refusing.WriteBatch(t.Context(), service.MessageBatch{sent(0, 2, purchase("b", "2023-11-09"))})
		if err == nil || !strings.Contains(err.Error(), `field "quantity": is gone`) {
			t.Fatalf("writing by an incompatible contract: %v", err)
		}
	}
	if got := names(b.pending(t, bucket)); len(got) != 1 {
		t.Errorf("RAW has %q", got)
	}
}
