package icebergsink

import (
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/apache/iceberg-go"
	"github.com/apache/iceberg-go/table"
)

// change has somebody else change the table while a sink writes to it.
func (s *shop) change(do func(tx *table.Transaction) error) {
	s.t.Helper()
	other := s.sink()
	tx := other.tbl.NewTransaction()
	if err := do(tx); err != nil {
		s.t.Fatal(err)
	}
	if _, err := tx.Commit(s.t.Context()); err != nil {
		s.t.Fatal(err)
	}
}

// expectStopped writes a batch that must not get through, however often it is tried, and wants every reason
// in the error of connecting.
func (s *shop) expectStopped(out *output, rows []string, reasons ...string) {
	s.t.Helper()
	batch := batchAt("purchases", 0, 10, rows...)
	started := time.Now()
	for range 3 {
		err := out.WriteBatch(s.t.Context(), batch)
		if err == nil {
			s.t.Fatal("the batch was written")
		}
		err = out.Connect(s.t.Context())
		for _, reason := range reasons {
			if err == nil || !strings.Contains(err.Error(), reason) {
				s.t.Fatalf("connecting: %v does not say %q", err, reason)
			}
		}
		if strings.Contains(err.Error(), "\n") {
			s.t.Errorf("%q is more than one line", err)
		}
	}
	if took := time.Since(started); took < time.Second {
		s.t.Errorf("three attempts within %s: that hammers", took)
	}
}

func TestATableThatSomebodyElseChangesStopsTheStreamWithTheReason(t *testing.T) {
	for name, tc := range map[string]struct {
		change func(tx *table.Transaction) error
		want   string
	}{
		"a column is renamed": {func(tx *table.Transaction) error {
			return tx.UpdateSchema(true, false).RenameColumn([]string{"quantity"}, "pieces").Commit()
		}, `column "quantity" was dropped or renamed in the table`},
		"a column is dropped": {func(tx *table.Transaction) error {
			return tx.UpdateSchema(true, false).DeleteColumn([]string{"quantity"}).Commit()
		}, `column "quantity" was dropped or renamed in the table`},
		"the partitions are others": {func(tx *table.Transaction) error {
			return tx.UpdateSpec(true).AddField("id", iceberg.BucketTransform{NumBuckets: 4}, "id_bucket").Commit()
		}, "partitioned by [purchase_date, bucket[4] of id], partition_by says [purchase_date]"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newShop(t)
			out := s.sink()
			write(t, out, 0, purchases(0, 5)...)
			s.change(tc.change)
			s.expectStopped(out, purchases(5, 10), tc.want)
		})
	}
}

func TestAColumnThatSomebodyElseAddsChangesNothing(t *testing.T) {
	s := newShop(t)
	out := s.sink()
	write(t, out, 0, purchases(0, 5)...)
	s.change(func(tx *table.Transaction) error {
		return tx.UpdateSchema(true, false).AddColumn([]string{"note"}, iceberg.PrimitiveTypes.String, "", false, nil).Commit()
	})
	write(t, out, 5, purchases(5, 10)...)
	if n := len(s.rows(out)); n != 10 {
		t.Errorf("%d rows, want 10", n)
	}
}

func TestAMemberThatNoColumnIsForIsPassedOver(t *testing.T) {
	s := newShop(t)
	out := s.sink()
	write(t, out, 0, strings.Replace(purchase("a", "1", "2024-01-01"), `"quantity"`, `"colour":{"of":"red"},"quantity"`, 1))
	s.expect(out, map[string]string{"a": "1.00 2024-01-01"})
}

func TestACatalogOfTheWrongNameIsRefused(t *testing.T) {
	for name, open := range map[string]func(testing.TB) *shop{"SQLite": newShop, "PostgreSQL": newStackShop} {
		t.Run(name, func(t *testing.T) {
			s := open(t)
			right := s.catalog
			write(t, s.sink(), 0, purchases(0, 5)...)
			s.catalog = "wrong"
			out, err := parse(s.config())
			if err != nil {
				t.Fatal(err)
			}
			err = out.Connect(t.Context())
			if err == nil || !strings.Contains(err.Error(), `catalog "wrong" has no table analytics.purchases`) || !strings.Contains(err.Error(), `catalog "`+right+`"`) {
				t.Errorf("connecting: %v", err)
			}
		})
	}
}

func TestAWarehouseWithoutRightsIsKnownBeforeABatchIsWritten(t *testing.T) {
	s := newStackShop(t)
	write(t, s.sink(), 0, purchases(0, 5)...)
	store, err := url.Parse(stack.env["S3_ENDPOINT"])
	if err != nil {
		t.Fatal(err)
	}
	proxy := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(store)
		r.Out.Host = r.In.Host // which is signed
	}}
	readOnly := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPut || r.Method == http.MethodPost {
			w.WriteHeader(http.StatusForbidden)
			_, _ = w.Write([]byte(`<?xml version="1.0"?><Error><Code>AccessDenied</Code><Message>Access Denied.</Message></Error>`))
			return
		}
		proxy.ServeHTTP(w, r)
	}))
	defer readOnly.Close()
	s.storage = strings.Replace(s.storage, stack.env["S3_ENDPOINT"], readOnly.URL, 1)
	out, err := parse(s.config())
	if err != nil {
		t.Fatal(err)
	}
	err = out.Connect(t.Context())
	for _, want := range []string{"writing to " + strings.TrimSuffix(s.warehouse, "/") + "/analytics.db/purchases", "Access Denied", "the right to put objects"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("connecting: %v does not say %q", err, want)
		}
	}
}

func TestFilesAreSortedWhereTheYAMLSaysSo(t *testing.T) {
	s := newShop(t)
	s.partitionBy = "[]"
	write(t, s.sink(), 0, purchases(0, 3)...)
	s.yaml = "sort_by: [price_at_time desc, id]\ntarget_bytes: 1048576"
	out := s.sink()
	write(t, out, 3, purchase("c", "1", "2024-01-01"), purchase("b", "7", "2024-01-01"), purchase("a", "7", "2024-01-01"))
	tasks, err := out.tbl.Scan().PlanFiles(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, task := range tasks {
		if *task.DataSequenceNumber != out.tbl.CurrentSnapshot().SequenceNumber {
			continue
		}
		_, records, err := out.tbl.Scan(table.WithSelectedFields("id")).ReadTasks(t.Context(), []table.FileScanTask{task})
		if err != nil {
			t.Fatal(err)
		}
		for rec, err := range records {
			if err != nil {
				t.Fatal(err)
			}
			for i := range int(rec.NumRows()) {
				got = append(got, rec.Column(0).ValueStr(i))
			}
		}
	}
	if strings.Join(got, " ") != "a b c" {
		t.Errorf("the file holds %v, want it sorted", got)
	}
	s.yaml = "sort_by: [nothing, id sideways]"
	if _, err := parse(s.config()); err == nil || !strings.Contains(err.Error(), `no column "nothing"`) || !strings.Contains(err.Error(), `"id sideways"`) {
		t.Errorf("%v", err)
	}
}
