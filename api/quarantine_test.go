package api_test

import (
	"bytes"
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/parquet-go/parquet-go"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/shop-connect/shop-connect/api"
	"github.com/shop-connect/shop-connect/internal/auth"
	"github.com/shop-connect/shop-connect/internal/env"
	"github.com/shop-connect/shop-connect/internal/quarantine"
	"github.com/shop-connect/shop-connect/internal/quarantine/catalog"
	"github.com/shop-connect/shop-connect/internal/quarantine/replay"
	"github.com/shop-connect/shop-connect/internal/runs"
	"github.com/shop-connect/shop-connect/internal/store"
	"github.com/shop-connect/shop-connect/internal/testservers"
)

// newQuarantine is an API over a bucket with one object of refused purchases.
func newQuarantine(t *testing.T, rows ...quarantine.Row) *shop {
	t.Helper()
	s := newShop(t)
	_, objects := testservers.ObjectStore(t)
	known := &catalog.Catalog{Store: s.store, Objects: objects, Bucket: testservers.Bucket(t, objects, "refused")}
	kafka, err := kgo.NewClient(kgo.SeedBrokers(strings.Split(testservers.Env(t)[env.KafkaBrokers], ",")...),
		kgo.AllowAutoTopicCreation(), kgo.RecordDeliveryTimeout(10*time.Second))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(kafka.Close)
	s.Server = newServer(t, func(c *api.Config) {
		c.Shop, c.Runs = &s.config, &runs.Client{Store: s.store}
		c.Quarantine = &api.Quarantine{Store: s.store, Catalog: known, Engine: &replay.Engine{
			Catalog: known, Store: s.store, Kafka: kafka, Contracts: s.config.Contracts, Timezone: s.config.Timezone, RawBucket: known.Bucket,
		}}
	})
	for i := range rows {
		rows[i].Entity, rows[i].Layer, rows[i].Topic, rows[i].Offset = "purchases", "api", "purchases.rejected", int64(i)
	}
	var file bytes.Buffer
	if err := parquet.Write(&file, rows); err != nil {
		t.Fatal(err)
	}
	_, err = objects.PutObject(t.Context(), known.Bucket, "purchases/layer=api/date=2026-01-02/a.parquet", &file, int64(file.Len()), minio.PutObjectOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestRefusedRowsAreCountedAndShown(t *testing.T) {
	long := strings.Repeat("ä", 5000)
	s := newQuarantine(t,
		quarantine.Row{Source: "req#0", Reasons: `[{"field":"quantity","rule":"range","message":"must be at least 1"}]`, Value: []byte(long)},
		quarantine.Row{Source: "req#1", Reasons: `[{"field":"","rule":"json","message":"must be JSON"}]`, Value: []byte("\xff\x00")})
	answer := s.want(200, "GET", "/quarantine", "")
	if answer["rows"] != 2.0 || answer["open"] != 2.0 || len(answer["counts"].([]any)) != 2 || len(answer["samples"].([]any)) != 2 {
		t.Fatalf("answer %.500v", answer)
	}
	first := answer["samples"].([]any)[0].(map[string]any)
	text := first["text"].(string)
	if first["size"] != 10000.0 || first["truncated"] != true || len(text) > 1024 || !strings.HasPrefix(long, text) {
		t.Errorf("sample %.300v", first)
	}
	if second := answer["samples"].([]any)[1].(map[string]any); second["bytes"] != "/wA=" || second["truncated"] != false {
		t.Errorf("sample %v", second)
	}
	answer = s.want(200, "GET", "/quarantine?entity=purchases&layer=api&day=2026-01-02&reason=quantity%20range&samples=0", "")
	if answer["rows"] != 1.0 || len(answer["samples"].([]any)) != 0 {
		t.Errorf("answer %v", answer)
	}
	for _, query := range []string{"entity=sellers", "entity=a%00b", "entity=%27--", "layer=raw", "day=1999-01-01"} {
		if answer := s.want(200, "GET", "/quarantine?"+query, ""); answer["rows"] != 0.0 {
			t.Errorf("%s: %v", query, answer)
		}
	}
	s.want(200, "GET", "/quarantine?day=&entity=", "")
	for _, query := range []string{"day=yesterday", "day=2026-02-30", "samples=1000", "samples=-1"} {
		wantProblem(t, s.do("GET", "/quarantine?"+query, ""), http.StatusUnprocessableEntity)
	}
	s.allow(auth.ScopeWrite)
	wantProblem(t, s.do("GET", "/quarantine", ""), http.StatusForbidden)
}

func TestTheDocumentNamesTheEntitiesWhoseRowsCanBeBroughtBack(t *testing.T) {
	var doc struct {
		Paths map[string]struct {
			Post struct {
				RequestBody struct {
					Content map[string]struct {
						Schema struct {
							Required   []string
							Properties map[string]struct{ Enum []string }
						}
					}
				}
			}
		}
	}
	if err := json.Unmarshal(do(newQuarantine(t), "GET", "/openapi.json", "", nil).Body.Bytes(), &doc); err != nil {
		t.Fatal(err)
	}
	for path, required := range map[string]string{"replay": "entity", "discard": "entity why"} {
		body := doc.Paths["/api/v1/quarantine/"+path].Post.RequestBody.Content["application/json"].Schema
		slices.Sort(body.Required)
		if got := strings.Join(body.Required, " "); got != required || !slices.Contains(body.Properties["entity"].Enum, "purchases") {
			t.Errorf("%s requires %s, of the entities %v", path, got, body.Properties["entity"].Enum)
		}
	}
}

func TestRefusedRowsAreReplayedAndDiscardedOverTheAPI(t *testing.T) {
	s := newQuarantine(t,
		quarantine.Row{Source: "req#0", Reasons: `[{"field":"quantity","rule":"range","message":"must be at least 1"}]`,
			Value: []byte(`{"product_id":"p","customer_id":1,"seller_id":1,"quantity":1,"price_at_time":1}`), RefusedAt: time.Now().UnixMicro()},
		quarantine.Row{Source: "req#1", Reasons: `[{"field":"","rule":"json","message":"must be JSON"}]`, Value: []byte("x")})
	const purchases = `{"entity":"purchases"}` // which their contract allows by now
	wantProblem(t, s.do("POST", "/quarantine/replay", purchases), http.StatusForbidden)
	s.allow(auth.ScopeRead, auth.ScopeAdmin)
	for _, body := range []string{
		`{}`, `{"entity":"purchase"}`, `{"entity":"purchases","mapping":"root = range(0, 10000000)"}`, `{"entity":"purchases","day":"x"}`,
		`{"entity":"purchases","reason":"a\u0000b"}`,
		`{"entity":"purchases","why":"it belongs to a discard"}`,
	} {
		wantProblem(t, s.do("POST", "/quarantine/replay", body), http.StatusUnprocessableEntity)
	}
	for _, body := range []string{
		`{"entity":"purchases"}`, `{"entity":"purchases","why":""}`, `{"entity":"purchase","why":"x"}`, `{"entity":"purchases","why":"x","mapping":"root = this"}`,
	} {
		wantProblem(t, s.do("POST", "/quarantine/discard", body), http.StatusUnprocessableEntity)
	}

	if run := s.toEnd("/quarantine/replay", purchases); run.Status != store.Succeeded || run.RowsOut != 1 || run.RowsRefused != 1 {
		t.Errorf("run %+v", run)
	}
	if run := s.toEnd("/quarantine/discard", `{"entity":"purchases","why":"test traffic"}`); run.RowsOut != 1 || run.Parameters["why"] != "test traffic" {
		t.Errorf("run %+v", run)
	}
	answer := s.want(200, "GET", "/quarantine?all=true", "")
	counts, err := json.Marshal(answer["counts"])
	if err != nil || answer["open"] != 0.0 || !strings.Contains(string(counts), `"replayed":1`) || !strings.Contains(string(counts), `"discarded":1`) {
		t.Errorf("answer %v (%v)", answer, err)
	}
}

// toEnd starts a run and follows it as clients do.
func (s *shop) toEnd(path, body string) (run store.Run) {
	s.t.Helper()
	w := s.do("POST", path, body)
	if w.Code != http.StatusAccepted {
		s.t.Fatalf("answer is %d %s", w.Code, w.Body)
	}
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		shown := do(s, "GET", w.Header().Get("Location"), "", http.Header{"Authorization": {"Bearer " + s.token}})
		if err := json.Unmarshal(shown.Body.Bytes(), &run); err != nil {
			s.t.Fatalf("%v: %s", err, shown.Body)
		}
		if run.Status.Final() {
			return run
		}
		if time.Now().After(deadline) {
			s.t.Fatalf("run %+v does not end", run)
		}
	}
}
