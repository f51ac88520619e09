package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/shop-connect/shop-connect/internal/auth"
	"github.com/shop-connect/shop-connect/internal/env"
)

const (
	eventsPipeline = "purchase_events_ingest"
	eventsPath     = "/api/v1/purchases/events"
	// eventsTopic is not the shipped one: the steps out of Kafka count what is in that.
	eventsTopic     = "bench.events"
	bareEventsTopic = "bench.events.bare"

	singleConnections = 64
	singleFor         = 8 * time.Second
	singleWarmUp      = 2 * time.Second
	singleBodies      = 20_000
)

// ingestSingleStep posts purchases one a request, each answered once it is in Kafka, and has a bare
// net/http handler with the same token check and franz-go do the same. The loader is the same too; the
// bare handler runs in its process.
func ingestSingleStep() step {
	s := &single{}
	return step{
		name: "ingest_single", bareName: "net/http + franz-go", alone: true, pipelines: []string{eventsPipeline},
		prepare: s.prepare, run: s.run, bare: s.bare, check: s.check,
	}
}

type single struct {
	bodies  [][]byte
	token   string
	answers int64 // of all that this step sent, warm-up included
	rate    float64
}

func (s *single) prepare(ctx context.Context, b *bench) error {
	rows, err := b.validSample(singleBodies)
	if err != nil {
		return err
	}
	for _, r := range rows {
		s.bodies = append(s.bodies, r.json)
	}
	if err := createTopics(ctx, b, eventsTopic, bareEventsTopic); err != nil {
		return err
	}
	if s.token, err = b.token(ctx); err != nil {
		return err
	}
	text, err := os.ReadFile(filepath.Join(b.source, eventsPipeline+".yaml"))
	if err != nil {
		return fmt.Errorf("reading pipeline: %w", err)
	}
	text = bytes.Replace(text, []byte("topic: purchases\n"), []byte("topic: "+eventsTopic+"\n"), 1)
	if err := os.WriteFile(filepath.Join(b.pipelines, eventsPipeline+".yaml"), text, 0o600); err != nil {
		return fmt.Errorf("adding pipeline: %w", err)
	}
	l := s.loader(b)
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(100 * time.Millisecond) {
		if _, err := l.fire(ctx, 1); err == nil {
			s.answers++
			return nil
		} else if time.Now().After(deadline) {
			return fmt.Errorf("waiting for %s: %w", eventsPath, err)
		}
	}
}

func (s *single) loader(b *bench) *loader {
	return &loader{address: b.up.Env[env.APIAddress], path: eventsPath, token: s.token, bodies: s.bodies}
}

func (s *single) run(ctx context.Context, b *bench) (measurement, error) {
	m, all, err := s.loader(b).saturate(ctx)
	s.answers += all
	s.rate = m.rate()
	return m, err
}

// check asks at half of the maximum for how long answers take, and counts all answered ones in Kafka.
func (s *single) check(ctx context.Context, b *bench) error {
	answers, err := s.loader(b).steadily(ctx, s.rate/2)
	if err != nil {
		return err
	}
	s.answers += int64(len(answers))
	b.notef("ingest_single at half of its maximum (%.0f/s, open loop, %d connections): %s.",
		s.rate/2, singleConnections, answers)
	client, err := kgo.NewClient(kgo.SeedBrokers(brokers(b)...))
	if err != nil {
		return fmt.Errorf("opening Kafka: %w", err)
	}
	defer client.Close()
	ends, err := kadm.NewClient(client).ListEndOffsets(ctx, eventsTopic)
	if err != nil {
		return fmt.Errorf("listing offsets: %w", err)
	}
	var records int64
	ends.Each(func(o kadm.ListedOffset) { records += o.Offset })
	if records != s.answers {
		return fmt.Errorf("topic %s holds %d records, %d were acknowledged", eventsTopic, records, s.answers)
	}
	return nil
}

func (s *single) bare(ctx context.Context, b *bench) (measurement, error) {
	handler, token, err := newBareHandler(brokers(b))
	if err != nil {
		return measurement{}, err
	}
	defer handler.client.Close()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return measurement{}, fmt.Errorf("listening: %w", err)
	}
	server := &http.Server{Handler: handler, ReadHeaderTimeout: time.Minute}
	defer server.Close()
	go func() { _ = server.Serve(listener) }()
	l := &loader{address: listener.Addr().String(), path: eventsPath, token: token, bodies: s.bodies}
	before := ownCPU()
	m, _, err := l.saturate(ctx)
	m.cpu = ownCPU() - before
	return m, err
}

// bareHandler is the least that an endpoint of this kind does. It holds nothing against a contract.
type bareHandler struct {
	verifier *auth.Verifier
	client   *kgo.Client
}

func newBareHandler(brokers []string) (*bareHandler, string, error) {
	secret := strings.Repeat("bench", 8)
	issuer, err := auth.NewIssuer(auth.IssuerConfig{Secret: secret, TTL: time.Hour})
	if err != nil {
		return nil, "", fmt.Errorf("making tokens: %w", err)
	}
	token, err := issuer.Issue("bench", []string{auth.ScopeWrite})
	if err != nil {
		return nil, "", fmt.Errorf("making a token: %w", err)
	}
	// the same check as the API's, with its cache of verified tokens
	verifier, err := auth.NewVerifier(auth.VerifierConfig{Secret: secret})
	if err != nil {
		return nil, "", fmt.Errorf("checking tokens: %w", err)
	}
	client, err := kgo.NewClient(kgo.SeedBrokers(brokers...), kgo.DefaultProduceTopic(bareEventsTopic),
		kgo.ProducerBatchCompression(kgo.NoCompression()), kgo.ProducerLinger(0)) // acks=all, idempotent
	if err != nil {
		return nil, "", fmt.Errorf("opening Kafka: %w", err)
	}
	return &bareHandler{verifier: verifier, client: client}, token, nil
}

func (h *bareHandler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	token, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	claims, err := h.verifier.Verify(token)
	if err != nil || !claims.Allows([]string{auth.ScopeWrite}) {
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	body := make([]byte, r.ContentLength)
	if _, err := io.ReadFull(r.Body, body); err != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	id := idOf(body)
	if err := h.client.ProduceSync(r.Context(), &kgo.Record{Key: id, Value: body}).FirstErr(); err != nil {
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	}
	answer := append(append([]byte(`{"id":"`), id...), `"}`...)
	header := w.Header()
	header["Content-Type"] = []string{"application/json"}
	header["Content-Length"] = []string{strconv.Itoa(len(answer))}
	w.WriteHeader(http.StatusAccepted)
	_, _ = w.Write(answer)
}

// validSample renders the first valid rows.
func (b *bench) validSample(n int) ([]row, error) {
	rows, err := b.valid(n)
	if err == nil && len(rows) < n {
		err = errors.New("too few rows are valid")
	}
	return rows, err
}

func createTopics(ctx context.Context, b *bench, topics ...string) error {
	client, err := kgo.NewClient(kgo.SeedBrokers(brokers(b)...))
	if err != nil {
		return fmt.Errorf("opening Kafka: %w", err)
	}
	defer client.Close()
	created, err := kadm.NewClient(client).CreateTopics(ctx, partitions, 1, nil, topics...)
	if err == nil {
		err = created.Error()
	}
	if err != nil {
		return fmt.Errorf("creating topics: %w", err)
	}
	return nil
}
