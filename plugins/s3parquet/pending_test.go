package s3parquet_test

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/redpanda-data/benthos/v4/public/service"

	ledger "github.com/shop-connect/shop-connect/internal/store"
	"github.com/shop-connect/shop-connect/plugins/s3parquet"
)

var contracts = filepath.Join("..", "..", "pipelines", "contracts")

// named runs the input raw_pending to its end and returns the keys that it names, sorted.
func named(t *testing.T, s *store, bucket string, b *books, fields ...string) []string {
	t.Helper()
	got := unsorted(t, s, bucket, b, fields...)
	slices.Sort(got)
	return got
}

func unsorted(t *testing.T, s *store, bucket string, b *books, fields ...string) (got []string) {
	t.Helper()
	for _, msg := range readAll(t, openInput(t, "raw_pending:\n"+s.fields(bucket)+b.fields(fields...))) {
		key, _ := msg.MetaGet("s3_key")
		got = append(got, key)
	}
	return got
}

func (b *books) fields(more ...string) string {
	text := fmt.Sprintf("  contract: %q\n  postgres_dsn: %q\n", contracts, b.dsn)
	for _, field := range more {
		text += "  " + field + "\n"
	}
	return text
}

func wantKeys(t *testing.T, got []string, want ...string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("named %q, want %q", got, want)
	}
}

const folder = "purchases/purchase_date=2026-01-02/"

func TestWhatIsPendingIsNamedWithoutAskingTheStore(t *testing.T) {
	s, bucket := newBucket(t)
	b := openBooks(t)
	write(t, registered(t, s, bucket, b), sent(0, 1, purchase("a", "2026-01-02")), sent(0, 2, purchase("b", "2026-01-03")))
	nowhere := *s
	nowhere.Endpoint = "http://127.0.0.1:1"
	got := named(t, &nowhere, bucket, b, "entity: purchases", "patrol: 0")
	wantKeys(t, got, folder+"purchases-0-1.parquet", "purchases/purchase_date=2026-01-03/purchases-0-1.parquet")
	// a run that was not finished
	wantKeys(t, named(t, &nowhere, bucket, b, "patrol: 0", "day: '2026-01-03'"), "purchases/purchase_date=2026-01-03/purchases-0-1.parquet")
	b.settle(t, b.pending(t, bucket)...)
	wantKeys(t, named(t, &nowhere, bucket, b, "patrol: 0"))
}

func TestAMessageIsThatOfTheListing(t *testing.T) {
	s, bucket := newBucket(t)
	b := openBooks(t)
	write(t, registered(t, s, bucket, b), sent(0, 1, purchase("a", "2026-01-02")))
	listed := readAll(t, openInput(t, "s3_parquet:\n"+s.fields(bucket)))[0]
	pending := readAll(t, openInput(t, "raw_pending:\n"+s.fields(bucket)+b.fields()))[0]
	for _, key := range []string{"s3_bucket", "s3_key", "s3_etag", "s3_size"} {
		want, _ := listed.MetaGetMut(key)
		if got, _ := pending.MetaGetMut(key); got != want {
			t.Errorf("%s is %v, want %v", key, got, want)
		}
	}
}

func TestWhatIsOlderThanTheLedgerIsFoundByTheFirstRun(t *testing.T) {
	s, bucket := newBucket(t)
	b := openBooks(t)
	var all []string
	for i := range 5 {
		all = append(all, fmt.Sprintf("%spart-%d.parquet", folder, i))
		s.put(t, bucket, all[i], "content")
	}
	s.put(t, bucket, "purchases/_temporary/0/part-9.parquet", "unfinished")
	s.put(t, bucket, folder+".part-9.parquet", "hidden")
	s.put(t, bucket, folder+"_SUCCESS", "no Parquet")
	s.put(t, bucket, "products/products-0-1.parquet", "another entity")
	wantKeys(t, named(t, s, bucket, b, "entity: purchases", "patrol: 1"), all...)
	// and is not new for that
	b.settle(t, b.pending(t, bucket)...)
	wantKeys(t, named(t, s, bucket, b, "entity: purchases", "full: true"))
	wantKeys(t, named(t, s, bucket, b, "entity: all", "patrol: 1"), "products/products-0-1.parquet")
}

func TestAForeignLateObjectIsFoundWithinOneRoundOfPatrols(t *testing.T) {
	s, bucket := newBucket(t)
	b := openBooks(t)
	for i := range 9 {
		s.put(t, bucket, fmt.Sprintf("%spart-%d.parquet", folder, i), "content")
	}
	run := func(more ...string) []string {
		t.Helper()
		got := named(t, s, bucket, b, append(more, "entity: purchases")...)
		b.settle(t, b.pending(t, bucket)...)
		return got
	}
	if first := run("patrol: 4"); len(first) != 9 {
		t.Fatalf("the first run found %q", first)
	}
	late := folder + "part-10.parquet"
	s.put(t, bucket, late, "late")
	overwritten := folder + "part-7.parquet"
	s.put(t, bucket, overwritten, "other content")
	var rounds [][]string
	for range 3 {
		rounds = append(rounds, run("patrol: 4"))
	}
	found := slices.Concat(rounds...)
	slices.Sort(found)
	wantKeys(t, found, late, overwritten)
	if len(rounds[0]) == 2 {
		t.Error("one patrol of 4 keys saw 10")
	}
	s.put(t, bucket, late, "later still")
	wantKeys(t, run("full: true", "patrol: 0"), late)
	wantKeys(t, run("full: true", "patrol: 0"))
}

func TestOneDayOrFolderIsListedAlone(t *testing.T) {
	s, bucket := newBucket(t)
	b := openBooks(t)
	for _, key := range []string{folder + "a.parquet", "purchases/purchase_date=2026-01-03/b.parquet", "products/c.parquet", "sellers/seen=2026-01-02/d.parquet"} {
		s.put(t, bucket, key, "content")
	}
	wantKeys(t, named(t, s, bucket, b, "day: '2026-01-02'"), folder+"a.parquet", "sellers/seen=2026-01-02/d.parquet")
	wantKeys(t, named(t, s, bucket, b, "entity: purchases", "folder: purchase_date=2026-01-03/"), "purchases/purchase_date=2026-01-03/b.parquet")
	if known := b.pending(t, bucket); len(known) != 2 {
		t.Errorf("the ledger has %q", names(known))
	}
	wantKeys(t, named(t, s, bucket, b), "products/c.parquet", folder+"a.parquet", "purchases/purchase_date=2026-01-03/b.parquet", "sellers/seen=2026-01-02/d.parquet")
}

func TestWhatIsRegisteredAfterTheStartIsForTheNextRun(t *testing.T) {
	s, bucket := newBucket(t)
	b := openBooks(t)
	register := func(n int) {
		t.Helper()
		err := b.RegisterRaw(t.Context(), bucket, "purchases", []ledger.RawObject{{Object: ledger.Object{Key: fmt.Sprintf("%sp-%d.parquet", folder, n), ETag: "e"}}})
		if err != nil {
			t.Fatal(err)
		}
	}
	register(1)
	in := openInput(t, "raw_pending:\n"+s.fields(bucket)+b.fields("patrol: 0"))
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	batch, ack, err := in.ReadBatch(ctx)
	if err != nil {
		t.Fatal(err)
	}
	register(2)
	if err := ack(ctx, nil); err != nil || len(batch) != 1 {
		t.Fatal(len(batch), err)
	}
	if rest := readAll(t, in); len(rest) != 0 {
		t.Fatalf("%d objects of after the start", len(rest))
	}
	wantKeys(t, named(t, s, bucket, b, "patrol: 0"), folder+"p-1.parquet", folder+"p-2.parquet")
}

func TestManyAreReadInPagesInTheOrderInWhichTheyWereRegistered(t *testing.T) {
	s, bucket := newBucket(t)
	b := openBooks(t)
	var want []string
	for batch := range 5 {
		var objects []ledger.RawObject
		for i := range 700 {
			key := fmt.Sprintf("%sp-%d-%04d.parquet", folder, 9-batch, i)
			want = append(want, key)
			objects = append(objects, ledger.RawObject{Object: ledger.Object{Key: key, ETag: "e"}})
		}
		if err := b.RegisterRaw(t.Context(), bucket, "purchases", objects); err != nil {
			t.Fatal(err)
		}
	}
	if got := unsorted(t, s, bucket, b, "patrol: 0"); !slices.Equal(got, want) {
		t.Errorf("%d objects, want %d, or another order", len(got), len(want))
	}
}

func TestAListingDoesNotUndoWhatIsRegisteredMeanwhile(t *testing.T) {
	b := openBooks(t)
	began, err := b.Now(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	at := func(etag string) []ledger.RawObject {
		return []ledger.RawObject{{Object: ledger.Object{Key: "purchases/p-0-1.parquet", ETag: etag}, WrittenAt: began}}
	}
	if err := b.RegisterRaw(t.Context(), "raw", "purchases", at("new")); err != nil {
		t.Fatal(err)
	}
	if err := b.DiscoverRaw(t.Context(), "raw", "purchases", began, at("old")); err != nil {
		t.Fatal(err)
	}
	if found := b.pending(t, "raw"); len(found) != 1 || found[0].ETag != "new" {
		t.Fatalf("pending %+v", found)
	}
}

func TestEveryFaultOfThePendingInputIsReportedAtOnce(t *testing.T) {
	for yaml, wanted := range map[string][]string{
		"raw_pending: {endpoint: nowhere, access_key: '', secret_key: '', bucket: '', postgres_dsn: '', contract: /none, patrol: -1, day: tomorrow, folder: /x}": {
			"endpoint", "access_key", "secret_key", "bucket", "postgres_dsn", "contract", "patrol", "day", "folder",
		},
		// a misspelt entity would move nothing, and look as if all was well
		fmt.Sprintf("raw_pending: {endpoint: 'http://h', access_key: a, secret_key: b, bucket: c, postgres_dsn: 'postgres://h/d', contract: %q, entity: purchase}", contracts): {
			"purchase", "all", "sellers",
		},
	} {
		conf, err := service.NewConfigSpec().Field(service.NewInputField("input")).ParseYAML("input: {"+yaml+"}", nil)
		if err == nil {
			_, err = conf.FieldInput("input")
		}
		if err == nil {
			t.Errorf("accepted: %s", yaml)
			continue
		}
		for _, field := range wanted {
			if !strings.Contains(err.Error(), field) {
				t.Errorf("the error does not mention %s: %v", field, err)
			}
		}
	}
}

func TestADatabaseThatIsNotThereIsAnErrorOfConnecting(t *testing.T) {
	s, bucket := newBucket(t)
	conf, err := s3parquet.PendingSpec().ParseYAML(s.fields(bucket)+fmt.Sprintf("  contract: %q\n  postgres_dsn: postgres://a:b@127.0.0.1:1/c\n", contracts), nil)
	if err != nil {
		t.Fatal(err)
	}
	in, err := s3parquet.Construct("raw_pending", conf)
	if err != nil {
		t.Fatal(err)
	}
	if err := in.Connect(t.Context()); err == nil || !strings.Contains(err.Error(), "PostgreSQL") {
		t.Errorf("connecting: %v", err)
	}
	for range 2 {
		if err := in.Close(t.Context()); err != nil {
			t.Error(err)
		}
	}
}
