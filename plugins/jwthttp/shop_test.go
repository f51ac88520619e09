package jwthttp_test

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redpanda-data/benthos/v4/public/service"
	_ "github.com/redpanda-data/connect/v4/public/components/kafka"
	_ "github.com/redpanda-data/connect/v4/public/components/pure"
	"github.com/twmb/franz-go/pkg/kfake"

	"github.com/shop-connect/shop-connect/api"
	"github.com/shop-connect/shop-connect/internal/auth"
	_ "github.com/shop-connect/shop-connect/plugins/jwthttp"
	_ "github.com/shop-connect/shop-connect/plugins/kafkarows"
)

const (
	secret    = "a secret of at least thirty-two bytes"
	bulkPath  = "/api/v1/purchases/bulk-kafka"
	pipelines = "../../pipelines"
	contracts = pipelines + "/contracts"
)

// purchases are the fields of the bulk endpoint; tests add lines of their own.
const purchases = `
path: ` + bulkPath + `
rows_at: purchases
contract: ` + contracts + `/purchases.yaml`

// input indents the fields of a jwt_http input.
func input(fields string) string {
	return "jwt_http:" + strings.ReplaceAll("\n"+strings.TrimSpace(fields), "\n", "\n  ")
}

// shop is an API without streams; tests run theirs beside it.
type shop struct {
	server *api.Server
	issuer *auth.Issuer
	url    string
	// mountedAt is the endpoint that streams are awaited at.
	mountedAt string
}

func newShop(t testing.TB) *shop {
	t.Helper()
	verifier, err := auth.NewVerifier(auth.VerifierConfig{Secret: secret})
	if err != nil {
		t.Fatal(err)
	}
	issuer, err := auth.NewIssuer(auth.IssuerConfig{Secret: secret, TTL: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	server, err := api.New(api.Config{Verifier: verifier, Issuer: issuer, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	return &shop{server: server, issuer: issuer, mountedAt: bulkPath}
}

func (s *shop) token(t testing.TB) string {
	t.Helper()
	token, err := s.issuer.Issue("tester", []string{auth.ScopeWrite})
	if err != nil {
		t.Fatal(err)
	}
	return token
}

func (s *shop) header(t testing.TB) http.Header {
	t.Helper()
	return http.Header{"Authorization": {"Bearer " + s.token(t)}, "Content-Type": {"application/json"}}
}

// listen serves real connections.
func (s *shop) listen(t testing.TB) {
	t.Helper()
	server := httptest.NewServer(s.server)
	t.Cleanup(server.Close)
	s.url = server.URL
}

// run starts a stream of an input and a consumer and returns once its endpoint is mounted.
func (s *shop) run(t testing.TB, input string, consume service.MessageBatchHandlerFunc) (stop func()) {
	t.Helper()
	b := service.NewStreamBuilder()
	b.SetLogger(slog.New(slog.DiscardHandler))
	if err := b.AddInputYAML(input); err != nil {
		t.Fatal(err)
	}
	if err := b.AddBatchConsumerFunc(consume); err != nil {
		t.Fatal(err)
	}
	return s.start(t, b)
}

// runPipeline starts a stream of ../../pipelines as it is.
func (s *shop) runPipeline(t testing.TB, name, broker string) (stop func()) {
	t.Helper()
	return s.runPipelineWith(t, name, broker, "", "")
}

// runPipelineWith starts one with a text replaced.
func (s *shop) runPipelineWith(t testing.TB, name, broker, old, replacement string) (stop func()) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(pipelines, name))
	if err != nil {
		t.Fatal(err)
	}
	b := service.NewStreamBuilder()
	b.SetLogger(slog.New(slog.DiscardHandler))
	b.SetEnvVarLookupFunc(func(key string) (string, bool) {
		v, ok := map[string]string{"KAFKA_BROKERS": broker, "CONTRACTS_DIR": contracts}[key]
		return v, ok
	})
	if err := b.SetYAML(strings.Replace(string(text), old, replacement, 1)); err != nil {
		t.Fatal(err)
	}
	return s.start(t, b)
}

func (s *shop) start(t testing.TB, b *service.StreamBuilder) (stop func()) {
	t.Helper()
	stream, err := b.Build()
	if err != nil {
		t.Fatal(err)
	}
	stream.Resources().SetGeneric(api.Key, s.server)
	ran := make(chan error, 1)
	go func() { ran <- stream.Run(context.Background()) }()
	stop = sync.OnceFunc(func() {
		_ = stream.StopWithin(10 * time.Second)
		<-ran
	})
	t.Cleanup(stop)
	s.awaitMounted(t)
	return stop
}

// awaitMounted asks without a token until the endpoint itself refuses it.
func (s *shop) awaitMounted(t testing.TB) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
		w := httptest.NewRecorder()
		s.server.ServeHTTP(w, httptest.NewRequest(http.MethodPost, s.mountedAt, nil))
		if w.Code == http.StatusUnauthorized {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("the endpoint is not mounted: %d %s", w.Code, w.Body)
		}
	}
}

// post sends a body with a good token.
func (s *shop) post(t testing.TB, body string) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequest(http.MethodPost, bulkPath, strings.NewReader(body))
	r.Header = s.header(t)
	w := httptest.NewRecorder()
	s.server.ServeHTTP(w, r)
	return w
}

func decode[T any](t testing.TB, r io.Reader) (v T) {
	t.Helper()
	if err := json.NewDecoder(r).Decode(&v); err != nil {
		t.Fatal(err)
	}
	return v
}

// startKafka runs a broker in this process and returns its address.
func startKafka(t testing.TB) string {
	t.Helper()
	c, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(6, "purchases", "purchases.rejected", "products", "products.rejected"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c.ListenAddrs()[0]
}
