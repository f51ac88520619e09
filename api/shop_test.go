package api_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/shop-connect/shop-connect/api"
	"github.com/shop-connect/shop-connect/internal/auth"
	"github.com/shop-connect/shop-connect/internal/contract"
	"github.com/shop-connect/shop-connect/internal/store"
	"github.com/shop-connect/shop-connect/internal/testservers"
)

func TestMain(m *testing.M) { testservers.Main(m) }

// shop is an API with its records in a database of its own.
type shop struct {
	*api.Server
	t      *testing.T
	config api.Shop
	store  *store.Store
	token  string
}

func newShop(t *testing.T) *shop {
	t.Helper()
	s := &shop{t: t}
	var err error
	if s.store, err = store.Open(t.Context(), testservers.Postgres(t)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.store.Close)
	contracts, err := contract.LoadDir(filepath.Join("..", "pipelines", "contracts"))
	if err != nil {
		t.Fatal(err)
	}
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	s.config = api.Shop{Store: s.store, Contracts: contracts, Timezone: berlin}
	s.Server = newServer(t, func(c *api.Config) { c.Shop = &s.config })
	s.allow(auth.ScopeRead, auth.ScopeWrite)
	return s
}

// allow makes requests carry a token with these scopes.
func (s *shop) allow(scopes ...string) {
	s.t.Helper()
	issuer, err := auth.NewIssuer(auth.IssuerConfig{Secret: secret, TTL: time.Hour})
	if err != nil {
		s.t.Fatal(err)
	}
	if s.token, err = issuer.Issue("ann", scopes); err != nil {
		s.t.Fatal(err)
	}
}

func (s *shop) do(method, path, body string) *httptest.ResponseRecorder {
	s.t.Helper()
	return do(s, method, "/api/v1"+path, body, http.Header{"Authorization": {"Bearer " + s.token}, "Content-Type": {"application/json"}})
}

// get answers a request that must succeed with the status.
func (s *shop) want(status int, method, path, body string) map[string]any {
	s.t.Helper()
	w := s.do(method, path, body)
	if w.Code != status {
		s.t.Fatalf("%s %s: answer is %d %s, want %d", method, path, w.Code, w.Body, status)
	}
	var answer map[string]any
	if status != http.StatusNoContent {
		if err := json.Unmarshal(w.Body.Bytes(), &answer); err != nil {
			s.t.Fatalf("%s %s: %v: %s", method, path, err, w.Body)
		}
	}
	return answer
}

// refused answers the locations of the faults of a request that must fail.
func (s *shop) refused(status int, method, path, body string) []string {
	s.t.Helper()
	var locations []string
	for _, fault := range wantProblem(s.t, s.do(method, path, body), status).Errors {
		if fault.Message == "" {
			s.t.Errorf("%s %s: the fault at %s says nothing", method, path, fault.Location)
		}
		locations = append(locations, fault.Location)
	}
	return locations
}

func TestRecordsNeedTheScopeOfWhatIsDone(t *testing.T) {
	s := newShop(t)
	for _, entity := range []string{"products", "customers", "sellers"} {
		requests := map[string][]string{
			auth.ScopeRead:  {"GET /" + entity, "GET /" + entity + "/1"},
			auth.ScopeWrite: {"POST /" + entity, "PUT /" + entity + "/1", "DELETE /" + entity + "/1"},
		}
		if entity == "customers" {
			requests[auth.ScopeWrite] = append(requests[auth.ScopeWrite], "POST /customers/bulk-postgres")
		}
		for scope, of := range requests {
			other := map[string]string{auth.ScopeRead: auth.ScopeWrite, auth.ScopeWrite: auth.ScopeRead}[scope]
			for _, request := range of {
				method, path, _ := strings.Cut(request, " ")
				s.allow(other)
				wantProblem(t, s.do(method, path, "{}"), http.StatusForbidden)
				wantProblem(t, do(s, method, "/api/v1"+path, "{}", nil), http.StatusUnauthorized)
			}
		}
	}
}

func TestBodiesThatAreNoRowAreRefused(t *testing.T) {
	s := newShop(t)
	for _, path := range []string{"/products", "/customers", "/sellers", "/customers/bulk-postgres"} {
		for body, status := range map[string]int{
			``: 400, `{`: 400, `{"a":1}x`: 400, `[]`: 422, `null`: 422, `7`: 422, `{}`: 422, "{\"name\":\"\xff\"}": 422,
			`{"name":"` + strings.Repeat("x", 1<<20) + `"}`: 413,
		} {
			if status == 413 && strings.HasSuffix(path, "bulk-postgres") {
				continue
			}
			w := s.do("POST", path, body)
			if w.Code != status {
				t.Errorf("%s %.20q: answer is %d %s, want %d", path, body, w.Code, w.Body, status)
			}
		}
		w := do(s, "POST", "/api/v1"+path, "{}", http.Header{"Authorization": {"Bearer " + s.token}, "Content-Type": {"text/plain"}})
		wantProblem(t, w, http.StatusUnsupportedMediaType)
	}
}

func TestRecordsAnswer503WhilePostgreSQLIsAway(t *testing.T) {
	s := newShop(t)
	s.store.Close()
	for _, request := range []string{"GET /products", "GET /products/1", "DELETE /sellers/1", "GET /customers?limit=1"} {
		method, path, _ := strings.Cut(request, " ")
		w := s.do(method, path, "")
		wantProblem(t, w, http.StatusServiceUnavailable)
		if w.Header().Get("Retry-After") == "" {
			t.Errorf("%s: 503 without Retry-After", request)
		}
	}
}

func TestPagesAreBoundedAndLinked(t *testing.T) {
	s := newShop(t)
	for range 3 {
		s.want(201, "POST", "/sellers", seller)
	}
	for _, query := range []string{"limit=1001", "limit=0", "skip=-1", "skip=100001", "limit=x", "cursor=x", "cursor=9" + strings.Repeat("9", 30)} {
		if at := s.refused(422, "GET", "/sellers?"+query, ""); len(at) != 1 || !strings.HasPrefix(at[0], "query.") {
			t.Errorf("%s: faults at %v", query, at)
		}
	}
	path, ids := "/sellers?limit=2", []float64{}
	for path != "" {
		w := s.do("GET", path, "")
		var page []map[string]any
		if err := json.Unmarshal(w.Body.Bytes(), &page); err != nil {
			t.Fatalf("%s: %d %s", path, w.Code, w.Body)
		}
		for _, row := range page {
			ids = append(ids, row["id"].(float64))
		}
		link := w.Header().Get("Link")
		if (link == "") != (w.Header().Get("X-Next-Cursor") == "") || link != "" && !strings.HasSuffix(link, `>; rel="next"`) {
			t.Fatalf("link is %q, cursor %q", link, w.Header().Get("X-Next-Cursor"))
		}
		path = strings.TrimPrefix(strings.TrimSuffix(link, `>; rel="next"`), "</api/v1")
	}
	if len(ids) != 3 || ids[0] != 3 || ids[2] != 1 {
		t.Errorf("ids are %v", ids)
	}
	if w := s.do("GET", "/customers", ""); strings.TrimSpace(w.Body.String()) != "[]" {
		t.Errorf("an empty list is %s", w.Body)
	}
}

func TestAShopWithoutContractsIsNotServed(t *testing.T) {
	verifier, err := auth.NewVerifier(auth.VerifierConfig{Secret: secret})
	if err != nil {
		t.Fatal(err)
	}
	_, err = api.New(api.Config{Verifier: verifier, Shop: &api.Shop{}})
	for _, word := range []string{"store", "products", "customers", "sellers", "CONTRACTS_DIR"} {
		if err == nil || !strings.Contains(err.Error(), word) {
			t.Errorf("the error does not name %s: %v", word, err)
		}
	}
}
