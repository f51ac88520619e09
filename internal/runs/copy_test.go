package runs_test

import (
	"bytes"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"

	"github.com/shop-connect/shop-connect/internal/columns"
	"github.com/shop-connect/shop-connect/internal/contract"
	"github.com/shop-connect/shop-connect/internal/parquetfile"
	"github.com/shop-connect/shop-connect/internal/runs"
	"github.com/shop-connect/shop-connect/internal/store"
	"github.com/shop-connect/shop-connect/internal/testservers"
)

// copyStream is the project's own batch stream with buckets of the test's own.
func (s *server) copyStream() (path, raw string) {
	s.t.Helper()
	text, err := os.ReadFile("../../streams/copy_raw_to_stage.yaml")
	if err != nil {
		s.t.Fatal(err)
	}
	yaml := string(text)
	for _, bucket := range []string{"shop-raw-data", "shop-stage-data", "shop-quarantine"} {
		own := testservers.Bucket(s.t, s.objects, bucket)
		yaml = strings.ReplaceAll(yaml, ": "+bucket+"\n", ": "+own+"\n")
		if bucket == "shop-raw-data" {
			raw = own
		}
	}
	return write(s.t, "copy_raw_to_stage.yaml", yaml), raw
}

func (s *server) putPurchases(bucket, key string, rows ...string) {
	s.t.Helper()
	c, err := contract.Load(contracts + "/purchases.yaml")
	if err != nil {
		s.t.Fatal(err)
	}
	layout, err := parquetfile.NewLayout(c)
	if err != nil {
		s.t.Fatal(err)
	}
	decoder, batch := columns.NewDecoder(c, columns.Typed, time.UTC), columns.NewBatch(c, len(rows))
	var numbers []int32
	for i, row := range rows {
		if reasons, err := decoder.Append(batch, []byte(row), columns.Position{Topic: "purchases", Offset: int64(i)}, i); err != nil || reasons != nil {
			s.t.Fatal(reasons, err)
		}
		numbers = append(numbers, int32(i))
	}
	var out bytes.Buffer
	if err := layout.NewWriter(parquetfile.Zstd).WriteFile(&out, batch, numbers, func(row int32) []byte { return []byte(rows[row]) }); err != nil {
		s.t.Fatal(err)
	}
	if _, err := s.objects.PutObject(s.t.Context(), bucket, key, &out, int64(out.Len()), minio.PutObjectOptions{}); err != nil {
		s.t.Fatal(err)
	}
}

const purchase = `{"id":"p-1","product_id":"a","customer_id":7,"seller_id":3,"quantity":6,"price_at_time":19.99,"purchased_at":"2026-01-02T05:20:48Z"}`

func TestCopyRawToStageRunsToItsEndAndAgainChangesNothing(t *testing.T) {
	s := startServer(t)
	path, raw := s.copyStream()
	s.putPurchases(raw, "purchases/purchase_date=2026-01-02/purchases-0-0.parquet", purchase, `{"id":"bad"}`, `{"id":"p-1","deleted":true}`)
	first := s.run(path, nil)
	if first.Status != store.Succeeded || first.RowsIn != 3 || first.RowsOut != 2 || first.RowsRefused != 1 || first.Objects != 1 {
		t.Fatalf("got %+v", first)
	}
	if first.Parameters["entity"] != "purchases" || first.Parameters["folder"] != "" {
		t.Fatalf("got %v", first.Parameters)
	}
	second := s.run(path, map[string]string{"entity": "purchases", "folder": "purchase_date=2026-01-02/"})
	if second.Status != store.Succeeded || second.RowsIn != 0 || second.Objects+second.ObjectsUnchanged != 0 || second.ID == first.ID {
		t.Fatalf("got %+v", second)
	}
	// what is not of the day stays for a run that asks for it
	s.putPurchases(raw, "purchases/purchase_date=2026-01-04/purchases-1-0.parquet", purchase)
	if third := s.run(path, map[string]string{"date": "2026-01-03", "full": "true"}); third.Status != store.Succeeded || third.Objects+third.ObjectsUnchanged != 0 {
		t.Fatalf("got %+v", third)
	}
	if fourth := s.run(path, map[string]string{"entity": "all"}); fourth.Status != store.Succeeded || fourth.Objects != 1 {
		t.Fatalf("got %+v", fourth)
	}
}

// A run of an entity that does not exist would move nothing, and look as if all was well.
func TestAMisspeltEntityIsRefusedBeforeThereIsARun(t *testing.T) {
	s := startServer(t)
	path, _ := s.copyStream()
	s.Dir = filepath.Dir(path)
	_, err := s.Start(t.Context(), runs.Request{Name: "copy_raw_to_stage", Params: map[string]string{"entity": "purchase"}})
	if err == nil || !strings.Contains(err.Error(), `"purchase" is no entity of RAW`) || !strings.Contains(err.Error(), "purchases") {
		t.Fatalf("got %v", err)
	}
}

func TestAPlainPostOfTheFileIsInTheLedgerToo(t *testing.T) {
	s := startServer(t)
	path, raw := s.copyStream()
	s.putPurchases(raw, "purchases/purchase_date=2026-01-02/purchases-0-0.parquet", purchase)
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.StreamsURL+"/streams/copy_raw_to_stage", bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	request.SetBasicAuth(user, password)
	response, err := http.DefaultClient.Do(request)
	if err != nil || response.StatusCode != http.StatusOK {
		t.Fatal(response, err)
	}
	response.Body.Close()
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		ledger, err := s.Store.Runs(t.Context(), store.RunFilter{Name: "copy_raw_to_stage"}, 1)
		if err == nil && len(ledger) == 1 && ledger[0].Status == store.Succeeded && ledger[0].RowsOut == 1 {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("got %+v, %v", ledger, err)
		}
	}
}

func TestAStoreThatDoesNotAnswerFailsTheRunWithItsError(t *testing.T) {
	s := startServer(t)
	path, _ := s.copyStream()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	yaml := strings.ReplaceAll(string(text), "${S3_ENDPOINT}", "http://127.0.0.1:1")
	yaml = strings.ReplaceAll(yaml, "no_progress_timeout: 10m", "no_progress_timeout: 2s")
	run := s.run(write(t, "copy_raw_to_stage.yaml", yaml), nil)
	if run.Status != store.Failed || !strings.Contains(run.Error, "127.0.0.1:1") {
		t.Fatalf("got %+v", run)
	}
}
