package api_test

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/shop-connect/shop-connect/api"
)

const ann = `{"first_name":"Ann","last_name":"Lee","email":"ann@example.com","phone":"+49 1","country":"DE"}`

func TestACustomerIsCreatedShownChangedAndDeleted(t *testing.T) {
	s := newShop(t)
	w := s.do("POST", "/customers", ann)
	path := strings.TrimPrefix(w.Header().Get("Location"), "/api/v1")
	if w.Code != 201 || path != "/customers/1" {
		t.Fatalf("answer is %d %s, at %s", w.Code, w.Body, path)
	}
	if shown := s.do("GET", path, ""); shown.Body.String() != w.Body.String() {
		t.Errorf("created is %s, shown is %s", w.Body, shown.Body)
	}
	for _, step := range []struct {
		body  string
		field string
		want  any
	}{
		{`{"last_name":"Ray"}`, "last_name", "Ray"},
		{`{"email":"a@example.com"}`, "last_name", "Ray"},
		{`{"phone":null}`, "phone", nil},
		{`{"customer_id":1,"phone":"2"}`, "phone", "2"},
		{`{"segment":"wholesale"}`, "country", "DE"},
		{`{"country":null}`, "segment", "wholesale"},
		{`{"segment":"retail"}`, "country", nil},
		{`{}`, "email", "a@example.com"},
	} {
		if c := s.want(200, "PUT", path, step.body); c[step.field] != step.want || c["first_name"] != "Ann" || c["customer_id"] != 1.0 {
			t.Errorf("%s: customer is %v", step.body, c)
		}
	}
	s.want(204, "DELETE", path, "")
	for _, method := range []string{"GET", "DELETE"} {
		s.refused(404, method, path, "")
	}
	s.refused(404, "PUT", path, `{}`)
}

func TestEveryFaultOfACustomerIsNamed(t *testing.T) {
	s := newShop(t)
	s.want(201, "POST", "/customers", ann)
	s.want(201, "POST", "/customers", strings.Replace(ann, "ann@", "bo@", 1))
	for _, c := range []struct {
		status             int
		method, path, body string
		want               []string
	}{
		{422, "POST", "", `{}`, []string{"body.first_name", "body.last_name", "body.email"}},
		{422, "POST", "", strings.Replace(ann, "@", "", 1), []string{"body.email"}},
		{422, "POST", "", strings.Replace(ann, "{", `{"customer_id":9,`, 1), []string{"body.customer_id"}},
		{409, "POST", "", strings.Replace(ann, "ann@", "ANN@", 1), []string{"body.email"}},
		{422, "PUT", "/1", `{"email":null,"first_name":""}`, []string{"body.first_name", "body.email"}},
		{422, "PUT", "/1", `{"customer_id":2}`, []string{"body.customer_id"}},
		{422, "PUT", "/1", `{"deleted":true}`, []string{"body.deleted"}},
		{409, "PUT", "/1", `{"email":"bo@example.com"}`, []string{"body.email"}},
		{422, "GET", "/x", ``, []string{"path.customer_id"}},
		{422, "DELETE", "/0", ``, []string{"path.customer_id"}},
		{404, "GET", "/9223372036854775807", ``, nil},
	} {
		at := s.refused(c.status, c.method, "/customers"+c.path, c.body)
		if slices.Sort(at); !slices.Equal(at, slices.Sorted(slices.Values(c.want))) {
			t.Errorf("%s %s: faults at %v, want %v", c.path, c.body, at, c.want)
		}
	}
}

func TestOneOfManyClientsGetsAnEMail(t *testing.T) {
	s := newShop(t)
	var created, taken atomic.Int64
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			switch w := s.do("POST", "/customers", ann); w.Code {
			case 201:
				created.Add(1)
			case 409:
				taken.Add(1)
			default:
				t.Errorf("answer is %d %s", w.Code, w.Body)
			}
		})
	}
	wg.Wait()
	if created.Load() != 1 || taken.Load() != 15 {
		t.Errorf("%d created, %d taken", created.Load(), taken.Load())
	}
}

func TestManyCustomersAreEnteredAndTheBadOnesNamed(t *testing.T) {
	s := newShop(t)
	s.want(201, "POST", "/customers", ann)
	rows := []string{
		strings.Replace(ann, "ann@", "c@", 1), strings.Replace(ann, "ann@", "Ann@", 1), `{"first_name":"x"}`, `7`,
		strings.Replace(ann, "ann@", "d@", 1), strings.Replace(ann, "ann@", "C@", 1), strings.Replace(ann, "{", `{"customer_id":1,`, 1),
	}
	w := s.do("POST", "/customers/bulk-postgres/", `{"customers":[`+strings.Join(rows, ",")+`]}`)
	var answer api.BulkAnswer
	if err := json.Unmarshal(w.Body.Bytes(), &answer); err != nil || w.Code != 200 || answer.SuccessCount != 2 || answer.ErrorCount != 5 {
		t.Fatalf("answer is %d %s", w.Code, w.Body)
	}
	var got []string
	for _, refusal := range answer.Errors {
		for _, reason := range refusal.Reasons {
			got = append(got, fmt.Sprintf("%d %s %s", refusal.Index, reason.Field, reason.Rule))
		}
	}
	want := []string{"1 email unique", "2 last_name required", "2 email required", "3  json", "5 email unique", "6 customer_id type"}
	if !slices.Equal(got, want) {
		t.Errorf("reasons are %q, want %q", got, want)
	}
	var events, refused int
	err := s.store.Pool().QueryRow(t.Context(), `SELECT count(*) FILTER (WHERE topic = 'customers'), count(*) FILTER (WHERE topic = 'customers.rejected') FROM outbox`).Scan(&events, &refused)
	if err != nil || events != 3 || refused != 5 { // I4
		t.Errorf("%d events, %d set aside (%v)", events, refused, err)
	}
	// each is set aside like those of the streams, with its bytes and every reason
	var whole int
	err = s.store.Pool().QueryRow(t.Context(), `SELECT count(*) FROM outbox WHERE topic = 'customers.rejected' AND headers ->> 'refused_by' = 'api'
		AND headers ->> 'refused_entity' = 'customers' AND headers ->> 'refused_contract_version' = '2'
		AND headers ->> 'refused_source' ~ '.+#[1-6]' AND jsonb_array_length((headers ->> 'refused_reasons')::jsonb) = CASE payload WHEN '{"first_name":"x"}' THEN 2 ELSE 1 END`).Scan(&whole)
	if err != nil || whole != 5 {
		t.Errorf("%d of 5 rows are set aside with who refused them and why (%v)", whole, err)
	}
	if w := s.do("POST", "/customers/bulk-postgres", `{"customers":[]}`); strings.TrimSpace(w.Body.String()) != `{"success_count":0,"error_count":0,"errors":null}` {
		t.Errorf("an empty body answers %s", w.Body)
	}
	if at := s.refused(422, "POST", "/customers/bulk-postgres", `{"rows":[]}`); !slices.Equal(at, []string{"body.customers"}) {
		t.Errorf("faults at %v", at)
	}
	wantProblem(t, s.do("POST", "/customers/bulk-postgres", `{"customers":[`+strings.Repeat("1,", 10_000)+`1]}`), 413)
}

func TestManyCustomersMayBeLinesAndCompressed(t *testing.T) {
	s := newShop(t)
	lines := strings.Replace(ann, "ann@", "a@", 1) + "\r\n\n" + `{"first_name":` + "\n" + strings.Replace(ann, "ann@", "b@", 1)
	var zipped bytes.Buffer
	w := gzip.NewWriter(&zipped)
	if _, err := w.Write([]byte(lines)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	send := func(kind, coding, body string) *httptest.ResponseRecorder {
		return do(s, "POST", "/api/v1/customers/bulk-postgres", body, http.Header{
			"Authorization": {"Bearer " + s.token}, "Content-Type": {kind}, "Content-Encoding": {coding},
		})
	}
	answer := send("application/x-ndjson", "gzip", zipped.String())
	if answer.Code != 200 || !strings.HasPrefix(answer.Body.String(), `{"success_count":2,"error_count":1,"errors":[{"index":1,`) {
		t.Errorf("answer is %d %s", answer.Code, answer.Body)
	}
	wantProblem(t, send("application/x-ndjson", "gzip", lines), 400)
	wantProblem(t, send("application/x-ndjson", "br", lines), 415)
	wantProblem(t, send("text/csv", "", lines), 415)
}

// Bodies that arrive slowly take no turn from one that is there.
func TestSlowBodiesOfManyCustomersKeepNobodyWaiting(t *testing.T) {
	s := newShop(t)
	address := serve(t, s)
	header := http.Header{"Authorization": {"Bearer " + s.token}, "Content-Type": {"application/json"}}
	for range 12 {
		sendPart(t, address, "/api/v1/customers/bulk-postgres", 8<<20, "{", header)
	}
	client := &http.Client{Timeout: 2 * time.Second}
	for range 3 {
		r, _ := http.NewRequest(http.MethodPost, "http://"+address+"/api/v1/customers/bulk-postgres", strings.NewReader(`{"customers":[]}`))
		r.Header = header
		resp, err := client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			t.Errorf("beside slow bodies the answer is %s", resp.Status)
		}
	}
}
