package api_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/shop-connect/shop-connect/api"
	"github.com/shop-connect/shop-connect/internal/auth"
	"github.com/shop-connect/shop-connect/internal/runs"
	"github.com/shop-connect/shop-connect/internal/store"
)

const (
	known  = "0190f3c2-7b1a-7c3d-8e4f-000000000001"
	absent = "0190f3c2-7b1a-7c3d-8e4f-000000000002"
	broken = "0190f3c2-7b1a-7c3d-8e4f-000000000003"
	ended  = "0190f3c2-7b1a-7c3d-8e4f-000000000004"
)

// batches is a ledger of three runs, and the streams of this project.
type batches struct {
	runs.Client
	asked runs.Request
}

func (b *batches) Start(_ context.Context, r runs.Request) (store.Run, error) {
	b.asked = r
	switch r.Name {
	case "busy":
		return store.Run{}, fmt.Errorf("starting busy: %w", runs.ErrBusy)
	case "away":
		return store.Run{}, &runs.AwayError{}
	case "refusing":
		return store.Run{}, fmt.Errorf("starting refusing: %w", &runs.RefusedError{})
	case "taken":
		return store.Run{}, runs.ErrTaken
	case "good":
		return store.Run{ID: known, Status: store.Queued}, nil
	}
	// the real one finds the fault before it calls anybody
	return b.Client.Start(context.Background(), r)
}

func (b *batches) Run(_ context.Context, id string) (store.Run, error) {
	switch id {
	case known:
		return store.Run{ID: id, Status: store.Running, Counts: store.Counts{RowsIn: 3, RowsOut: 2, RowsRefused: 1}}, nil
	case ended:
		return store.Run{ID: id, Status: store.Succeeded}, nil
	case absent:
		return store.Run{}, store.ErrNotFound
	}
	return store.Run{}, errors.New("dial 10.0.0.7: refused")
}

func (b *batches) Cancel(ctx context.Context, id string) (store.Run, error) { return b.Run(ctx, id) }

func (b *batches) Runs(_ context.Context, f store.RunFilter, limit int) (list []store.Run, err error) {
	if f.Name == "copy" && f.Status == store.Failed && f.Before == "" {
		for n := range limit {
			list = append(list, store.Run{ID: fmt.Sprintf("0190f3c2-7b1a-7c3d-8e4f-%012d", n)})
		}
	}
	return list, nil
}

type runsServer struct {
	*testing.T
	server  *api.Server
	batches *batches
	issuer  *auth.Issuer
}

func newRunsServer(t *testing.T) *runsServer {
	t.Helper()
	b := &batches{Client: runs.Client{StreamsURL: "http://127.0.0.1:1", Dir: "../streams"}}
	issuer, err := auth.NewIssuer(auth.IssuerConfig{Secret: secret, TTL: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	return &runsServer{T: t, batches: b, issuer: issuer, server: newServer(t, func(c *api.Config) { c.Runs = b })}
}

func (s *runsServer) do(scope, method, path, body string) *httptest.ResponseRecorder {
	s.Helper()
	token, err := s.issuer.Issue("ann", []string{scope})
	if err != nil {
		s.Fatal(err)
	}
	return do(s.server, method, "/api/v1/runs"+path, body, http.Header{"Authorization": {"Bearer " + token}, "Content-Type": {"application/json"}})
}

func (s *runsServer) want(status int, scope, method, path, body string) string {
	s.Helper()
	w := s.do(scope, method, path, body)
	text := w.Body.String()
	if w.Code != status {
		s.Errorf("%s %s %s: answer is %d %s, want %d", method, path, body, w.Code, text, status)
	} else if status >= 400 {
		wantProblem(s.T, w, status)
	}
	if strings.Contains(text, "10.0.0.7") {
		s.Errorf("the answer says too much: %s", text)
	}
	return text
}

func TestRunIsShownWithItsCounts(t *testing.T) {
	s := newRunsServer(t)
	text := s.want(200, auth.ScopeRead, "GET", "/"+known, "")
	var run store.Run
	if err := json.Unmarshal([]byte(text), &run); err != nil || run.ID != known || run.RowsIn != 3 || run.RowsRefused != 1 {
		t.Errorf("answer is %s", text)
	}
	for id, status := range map[string]int{absent: 404, broken: 503, "1": 422, "x'--": 422} {
		s.want(status, auth.ScopeRead, "GET", "/"+id, "")
	}
	wantProblem(t, do(s.server, "GET", "/api/v1/runs/"+known, "", nil), http.StatusUnauthorized)
}

func TestARunIsStartedAndSaidWhereToAsk(t *testing.T) {
	s := newRunsServer(t)
	w := s.do(auth.ScopeWrite, "POST", "", `{"name":"good","params":{"entity":"sellers","full":true,"limit":1000000},"run_id":"`+known+`"}`)
	if w.Code != http.StatusAccepted || w.Header().Get("Location") != "/api/v1/runs/"+known || !strings.Contains(w.Body.String(), known) {
		t.Errorf("answer is %d %s %s", w.Code, w.Header(), w.Body)
	}
	if want := map[string]string{"entity": "sellers", "full": "true", "limit": "1000000"}; !maps.Equal(s.batches.asked.Params, want) || s.batches.asked.ID != known {
		t.Errorf("asked for %+v", s.batches.asked)
	}
}

func TestRequestsForRunsThatAreRefused(t *testing.T) {
	s := newRunsServer(t)
	for name, test := range map[string]struct {
		body   string
		status int
		says   string
	}{
		"an unknown name":       {`{"name":"export_customer_to_raw"}`, 404, "did you mean export_customers_to_raw?"},
		"a path as name":        {`{"name":"../pipelines/purchases_raw"}`, 404, "export_customers_to_raw"},
		"a test as name":        {`{"name":"export_customers_to_raw_benthos_test"}`, 404, "export_customers_to_raw"},
		"an unknown parameter":  {`{"name":"export_customers_to_raw","params":{"ful":true}}`, 422, "date, full, since"},
		"no such day":           {`{"name":"export_customers_to_raw","params":{"date":"2026-13-45"}}`, 422, "body.params.date"},
		"a path as day":         {`{"name":"export_customers_to_raw","params":{"date":"../x"}}`, 422, "body.params.date"},
		"YAML in a value":       {`{"name":"export_customers_to_raw","params":{"full":"false\noutput: {}"}}`, 422, "body.params.full"},
		"Bloblang in a value":   {`{"name":"copy_raw_to_stage","params":{"entity":"${! env(\"JWT_SECRET\") }"}}`, 422, "body.params.entity"},
		"a variable in a value": {`{"name":"copy_raw_to_stage","params":{"entity":"${JWT_SECRET}"}}`, 422, "body.params.entity"},
		"a path upwards":        {`{"name":"copy_raw_to_stage","params":{"entity":"../x"}}`, 422, "body.params.entity"},
		"a list as value":       {`{"name":"copy_raw_to_stage","params":{"entity":["a"]}}`, 422, "body.params.entity"},
		"the id as parameter":   {`{"name":"copy_raw_to_stage","params":{"run_id":"` + known + `"}}`, 422, "body.params.run_id"},
		"an id that is none":    {`{"name":"good","run_id":"1"}`, 422, "run_id"},
		"an id of another type": {`{"name":"good","run_id":1}`, 422, "run_id"},
		"no name":               {`{}`, 422, "name"},
		"an unknown field":      {`{"name":"good","parameters":{}}`, 422, "parameters"},
		"a name that is busy":   {`{"name":"busy"}`, 409, "at work"},
		"the id of another run": {`{"name":"taken"}`, 409, "another run"},
		"a stream that refuses": {`{"name":"refusing"}`, 422, "422"},
		"streams that are away": {`{"name":"away"}`, 503, "STREAMS_URL"},
	} {
		t.Run(name, func(t *testing.T) {
			s := &runsServer{T: t, server: s.server, batches: s.batches, issuer: s.issuer}
			if text := s.want(test.status, auth.ScopeWrite, "POST", "", test.body); !strings.Contains(text, test.says) {
				t.Errorf("the answer does not say %q: %s", test.says, text)
			}
		})
	}
	s.want(403, auth.ScopeRead, "POST", "", `{"name":"good"}`)
}

func TestANullInARequestForARunIsAsIfItWereNotThere(t *testing.T) {
	s := newRunsServer(t)
	s.want(202, auth.ScopeWrite, "POST", "", `{"name":"good","params":null,"run_id":null}`)
	if s.batches.asked.ID != "" || len(s.batches.asked.Params) > 0 {
		t.Errorf("asked for %+v", s.batches.asked)
	}
}

func TestAServerWithoutBatchStreamsSaysWhatToSet(t *testing.T) {
	s := newRunsServer(t)
	s.batches.Dir = t.TempDir()
	if text := s.want(404, auth.ScopeWrite, "POST", "", `{"name":"copy_raw_to_stage"}`); !strings.Contains(text, "STREAMS_DIR") || strings.Contains(text, s.batches.Dir) {
		t.Errorf("answer is %s", text)
	}
}

func TestARunIsCancelledUnlessItHasEnded(t *testing.T) {
	s := newRunsServer(t)
	s.want(202, auth.ScopeWrite, "POST", "/"+known+"/cancel", "")
	s.want(409, auth.ScopeWrite, "POST", "/"+ended+"/cancel", "")
	s.want(404, auth.ScopeWrite, "POST", "/"+absent+"/cancel", "")
	s.want(422, auth.ScopeWrite, "POST", "/1/cancel", "")
	s.want(403, auth.ScopeRead, "POST", "/"+known+"/cancel", "")
}

func TestRunsAreListedPageByPage(t *testing.T) {
	s := newRunsServer(t)
	w := s.do(auth.ScopeRead, "GET", "?name=copy&status=failed&limit=2", "")
	var page []store.Run
	if err := json.Unmarshal(w.Body.Bytes(), &page); err != nil || len(page) != 2 {
		t.Fatalf("answer is %d %s", w.Code, w.Body)
	}
	if w.Header().Get("X-Next-Cursor") != page[1].ID || !strings.Contains(w.Header().Get("Link"), "name=copy") {
		t.Errorf("headers are %v", w.Header())
	}
	if text := s.want(200, auth.ScopeRead, "GET", "", ""); strings.TrimSpace(text) != "[]" {
		t.Errorf("an empty list is %s", text)
	}
	s.want(422, auth.ScopeRead, "GET", "?status=broken", "")
	s.want(422, auth.ScopeRead, "GET", "?cursor=1", "")
	s.want(200, auth.ScopeRead, "GET", "?cursor=", "")
}

// What PostgreSQL would not take is the client's fault, and does not pass by itself.
func TestValuesThatTheLedgerHasNoRoomForAreRefused(t *testing.T) {
	s := newRunsServer(t)
	shop := newShop(t)
	s.server = newServer(t, func(c *api.Config) { c.Runs = &runs.Client{Store: shop.store, Dir: "../streams"} })
	const other = "ffffffff-ffff-7fff-bfff-ffffffffffff"
	for path, status := range map[string]int{
		"?name=%00": 422, "?name=a%00b": 422, "?name=%ff": 422, "?cursor=urn:uuid:" + other: 422, "?cursor=%7B" + other + "%7D": 422,
		"/urn:uuid:" + other: 422, "/%7B" + other + "%7D": 422, "/" + other: 404, "/" + strings.ToUpper(other): 404,
	} {
		s.want(status, auth.ScopeRead, "GET", path, "")
	}
	s.want(200, auth.ScopeRead, "GET", "?cursor="+other, "")
	s.want(422, auth.ScopeWrite, "POST", "", `{"name":"copy_raw_to_stage","run_id":"urn:uuid:`+other+`"}`)
}
