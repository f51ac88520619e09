package api_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/shop-connect/shop-connect/api"
	"github.com/shop-connect/shop-connect/internal/auth"
	"github.com/shop-connect/shop-connect/internal/quarantine/catalog"
	"github.com/shop-connect/shop-connect/internal/quarantine/replay"
	"github.com/shop-connect/shop-connect/internal/runs"
	"github.com/shop-connect/shop-connect/internal/testservers"
)

// hangBound is the 5 s that PostgreSQL has, and what a busy machine adds.
const hangBound = 9 * time.Second

// askedOfPostgreSQL are bodies of the routes that need one to get as far as PostgreSQL.
var askedOfPostgreSQL = map[string]string{
	"POST /api/v1/products": lamp, "PUT /api/v1/products/{id}": lamp,
	"POST /api/v1/customers": ann, "PUT /api/v1/customers/{customer_id}": ann, "POST /api/v1/customers/bulk-postgres": `{"customers":[` + ann + `]}`,
	"POST /api/v1/sellers": seller, "PUT /api/v1/sellers/{id}": seller,
	"POST /api/v1/purchases":          oneLamp,
	"POST /api/v1/runs":               `{"name":"copy_raw_to_stage"}`,
	"POST /api/v1/quarantine/replay":  `{"entity":"purchases"}`,
	"POST /api/v1/quarantine/discard": `{"entity":"purchases","why":"a test"}`,
	"POST /api/v1/token":              `{"username":"ann","password":"secret"}`,
}

// needsNoDatabase answers from memory.
const needsNoDatabase = "GET /"

var parameterOfPath = regexp.MustCompile(`\{[^}]+\}`)

// A database that hangs is worse than one that is away: nothing fails by itself.
func TestEveryRouteAnswersInTimeWhilePostgreSQLHangs(t *testing.T) {
	s := newPurchaseShop(t, away)
	_, objects := testservers.ObjectStore(t)
	known := &catalog.Catalog{Store: s.store, Objects: objects, Bucket: testservers.Bucket(t, objects, "refused")}
	s.Server = newServer(t, func(c *api.Config) {
		c.Shop, c.Idempotency, c.DemoUser = &s.config, s.store, false
		c.Users = auth.NewLogins(s.store.User).Scopes
		c.Checks = map[string]api.Check{"database": s.store.Ping}
		c.Runs = &runs.Client{Store: s.store, StreamsURL: "http://127.0.0.1:1", Dir: "../streams"}
		c.Quarantine = &api.Quarantine{Store: s.store, Catalog: known, Engine: &replay.Engine{
			Catalog: known, Store: s.store, Contracts: s.config.Contracts, Timezone: s.config.Timezone, RawBucket: known.Bucket,
		}}
	})
	s.allow(auth.ScopeRead, auth.ScopeWrite, auth.ScopeAdmin)
	routes := documented(t, s)
	resume := testservers.HangPostgres(t)
	var wg sync.WaitGroup
	ask := func(route, key string) {
		wg.Go(func() {
			begun := time.Now()
			w := s.askHanging(route, key)
			if took := time.Since(begun); took > hangBound {
				t.Errorf("%s %s: answered after %v", route, key, took)
			}
			if route == needsNoDatabase {
				return
			}
			if w.Code != http.StatusServiceUnavailable {
				t.Errorf("%s %s: answer is %d %.300s", route, key, w.Code, w.Body)
			} else if !strings.Contains(route, "/health") && w.Header().Get("Retry-After") == "" {
				t.Errorf("%s %s: 503 without Retry-After", route, key)
			}
		})
	}
	for i, route := range routes {
		ask(route, "")
		if strings.HasPrefix(route, "POST ") && !strings.HasSuffix(route, "/token") {
			ask(route, fmt.Sprintf("key-%d", i))
		}
	}
	wg.Wait()
	resume()
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		w := s.do("GET", "/runs", "")
		if w.Code == http.StatusOK {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("after it went on, the answer is %d %s", w.Code, w.Body)
		}
	}
}

func (s *shop) askHanging(route, key string) *httptest.ResponseRecorder {
	method, path, _ := strings.Cut(route, " ")
	path = strings.ReplaceAll(path, "/runs/{id}", "/runs/"+known)
	path = parameterOfPath.ReplaceAllString(path, "1")
	header := http.Header{"Authorization": {"Bearer " + s.token}, "Content-Type": {"application/json"}}
	if key != "" {
		header.Set("Idempotency-Key", key)
	}
	return do(s, method, path, askedOfPostgreSQL[route], header)
}

// documented lists the routes of the document.
func documented(t *testing.T, s *shop) (routes []string) {
	t.Helper()
	var doc struct{ Paths map[string]map[string]any }
	w := do(s, "GET", "/openapi.json", "", nil)
	if err := json.Unmarshal(w.Body.Bytes(), &doc); err != nil {
		t.Fatalf("%v: %d %.300s", err, w.Code, w.Body)
	}
	for path, operations := range doc.Paths {
		for method := range operations {
			routes = append(routes, strings.ToUpper(method)+" "+path)
		}
	}
	if len(routes) < 20 {
		t.Fatalf("the document has %q only", routes)
	}
	return routes
}
