package batchrun_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	_ "github.com/redpanda-data/benthos/v4/public/components/io"
	_ "github.com/redpanda-data/benthos/v4/public/components/pure"
	"github.com/redpanda-data/benthos/v4/public/service"

	_ "github.com/shop-connect/shop-connect/plugins/batchrun"

	"github.com/shop-connect/shop-connect/internal/store"
	"github.com/shop-connect/shop-connect/internal/testservers"
)

func TestMain(m *testing.M) { testservers.Main(m) }

// stream is a batch stream under test, and the ledger that it writes.
type stream struct {
	t      *testing.T
	dsn    string
	ledger *store.Store
}

func newStream(t *testing.T) *stream {
	t.Helper()
	dsn := testservers.Postgres(t)
	ledger, err := store.Open(t.Context(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(ledger.Close)
	return &stream{t: t, dsn: dsn, ledger: ledger}
}

// build makes a stream of a batch_run with the given extra fields and input, and of what follows.
func (s *stream) build(fields, input, rest string) *service.Stream {
	s.t.Helper()
	builder := service.NewStreamBuilder()
	indent := func(text string) string { return "      " + strings.ReplaceAll(text, "\n", "\n      ") }
	yaml := fmt.Sprintf("logger:\n  level: NONE\ninput:\n  batch_run:\n    name: copy\n    postgres_dsn: %s\n    parameters: { entity: purchases }\n    %s\n    input:\n%s\n%s",
		s.dsn, strings.ReplaceAll(fields, "\n", "\n    "), indent(input), rest)
	if err := builder.SetYAML(yaml); err != nil {
		s.t.Fatalf("%v\n%s", err, yaml)
	}
	built, err := builder.Build()
	if err != nil {
		s.t.Fatal(err)
	}
	return built
}

// run runs a stream to its end and returns what the ledger says of it.
func (s *stream) run(fields, input, rest string) store.Run {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), 30*time.Second)
	defer cancel()
	if err := s.build(fields, input, rest).Run(ctx); err != nil {
		s.t.Fatalf("the stream did not end by itself: %v", err)
	}
	return s.only()
}

// only returns the one run of the ledger.
func (s *stream) only() store.Run {
	s.t.Helper()
	runs, err := s.ledger.Runs(s.t.Context(), store.RunFilter{Name: "copy"}, 2)
	if err != nil || len(runs) != 1 {
		s.t.Fatalf("got %d runs, %v", len(runs), err)
	}
	return runs[0]
}

// await returns the newest run once it has a status.
func (s *stream) await(status store.Status) store.Run {
	s.t.Helper()
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		if runs, err := s.ledger.Runs(s.t.Context(), store.RunFilter{Name: "copy"}, 1); err == nil && len(runs) == 1 && runs[0].Status == status {
			return runs[0]
		}
	}
	s.t.Fatalf("no run became %s", status)
	return store.Run{}
}

const (
	hundred = "generate: { count: 100, interval: '', batch_size: 10, mapping: 'root.n = counter()' }"
	drop    = "output:\n  reject_errored:\n    drop: {}\n"
)

func TestARunWhoseMessagesAreAllAcknowledgedSucceeds(t *testing.T) {
	run := newStream(t).run("", hundred, "pipeline: { threads: 2 }\n"+drop)
	if run.Status != store.Succeeded || run.RowsIn != 100 || run.RowsOut != 100 || run.Attempts != 1 || run.Error != "" {
		t.Fatalf("got %+v", run)
	}
	if run.FinishedAt == nil || run.Parameters["entity"] != "purchases" {
		t.Fatalf("got %+v", run)
	}
}

func TestEveryMessageCarriesTheRunsID(t *testing.T) {
	s := newStream(t)
	run := s.run("id: 01900000-0000-7000-8000-00000000000a", hundred, `
pipeline:
  processors:
    - mapping: 'root = if @run_id != "01900000-0000-7000-8000-00000000000a" { throw("run_id is " + @run_id.string()) }'
`+drop)
	if run.Status != store.Succeeded || run.ID != "01900000-0000-7000-8000-00000000000a" {
		t.Fatalf("got %+v", run)
	}
}

func TestAnInputWithNothingInItSucceeds(t *testing.T) {
	path := filepath.Join(t.TempDir(), "empty")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	run := newStream(t).run("", "file: { paths: [ "+path+" ], scanner: { lines: {} } }", drop)
	if run.Status != store.Succeeded || run.RowsIn != 0 {
		t.Fatalf("got %+v", run)
	}
}

func TestARejectedMessageIsDeliveredAgainAndThenFailsTheRun(t *testing.T) {
	run := newStream(t).run("attempts: 3", hundred, "pipeline:\n  processors: [ { mapping: 'root = if this.n == 42 { throw(\"no space left\") }' } ]\n"+drop)
	if run.Status != store.Failed || run.Attempts != 3 || !strings.Contains(run.Error, "no space left") {
		t.Fatalf("got %+v", run)
	}
	if run.RowsOut > 99 {
		t.Fatalf("%d rows out, with one rejected", run.RowsOut)
	}
}

func TestAMessageThatPassesAtTheSecondAttemptCountsOnce(t *testing.T) {
	var failed atomic.Bool
	env := service.NewEnvironment()
	err := env.RegisterProcessor("fail_once", service.NewConfigSpec(), func(*service.ParsedConfig, *service.Resources) (service.Processor, error) {
		return onceFailing{&failed}, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	s := newStream(t)
	builder := env.NewStreamBuilder()
	err = builder.SetYAML("logger: { level: NONE }\ninput:\n  batch_run:\n    name: copy\n    postgres_dsn: " + s.dsn + "\n    input:\n      " + hundred + "\npipeline: { processors: [ { fail_once: {} } ] }\n" + drop)
	if err != nil {
		t.Fatal(err)
	}
	built, err := builder.Build()
	if err != nil {
		t.Fatal(err)
	}
	if err := built.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	if run := s.only(); run.Status != store.Succeeded || run.RowsIn != 100 || run.RowsOut != 100 || run.Attempts != 2 {
		t.Fatalf("got %+v", run)
	}
}

type onceFailing struct{ failed *atomic.Bool }

func (o onceFailing) Process(_ context.Context, msg *service.Message) (service.MessageBatch, error) {
	if body, _ := msg.AsBytes(); strings.Contains(string(body), ":42}") && !o.failed.Swap(true) {
		return nil, errors.New("a hiccup")
	}
	return service.MessageBatch{msg}, nil
}

func (onceFailing) Close(context.Context) error { return nil }

func TestAMissingFileFailsTheRun(t *testing.T) {
	run := newStream(t).run("no_progress_timeout: 400ms", "file: { paths: [ /nowhere/at-all.json ], scanner: { lines: {} } }", drop)
	// the file input keeps its error to its log
	if run.Status != store.Failed || !strings.Contains(run.Error, "log") {
		t.Fatalf("got %+v", run)
	}
}

func TestAnInputThatCannotConnectFailsTheRunWithItsError(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := listener.Addr().String()
	listener.Close()
	run := newStream(t).run("no_progress_timeout: 400ms", "socket: { network: tcp, address: '"+address+"', scanner: { lines: {} } }", drop)
	if run.Status != store.Failed || !strings.Contains(run.Error, address) || !strings.Contains(run.Error, "refused") {
		t.Fatalf("got %+v", run)
	}
}

func TestARunThatGetsNowhereFails(t *testing.T) {
	run := newStream(t).run("no_progress_timeout: 300ms", "generate: { count: 2, interval: 1h, mapping: 'root = {}' }", drop)
	if run.Status != store.Failed || !strings.Contains(run.Error, "300ms") || run.RowsIn != 1 {
		t.Fatalf("got %+v", run)
	}
}

func TestAMessageAcknowledgedWithoutBeingCountedFailsTheRun(t *testing.T) {
	run := newStream(t).run("counted_by: processor", hundred, "output: { drop: {} }\n")
	if run.Status != store.Failed || !strings.Contains(run.Error, "reject_errored") {
		t.Fatalf("got %+v", run)
	}
}

func TestAStreamThatIsStoppedCancelsItsRun(t *testing.T) {
	s := newStream(t)
	built := s.build("", "generate: { interval: 10ms, mapping: 'root = {}' }", drop)
	ended := make(chan error, 1)
	go func() { ended <- built.Run(context.Background()) }()
	s.await(store.Running)
	if err := built.StopWithin(10 * time.Second); err != nil {
		t.Fatal(err)
	}
	<-ended
	if run := s.only(); run.Status != store.Cancelled || !strings.Contains(run.Error, "removed") {
		t.Fatalf("got %+v", run)
	}
}

func TestASecondStartOfANameIsRefused(t *testing.T) {
	s := newStream(t)
	first := s.build("", "generate: { interval: 10ms, mapping: 'root = {}' }", drop)
	go func() { _ = first.Run(context.Background()) }()
	s.await(store.Running)
	defer first.StopWithin(10 * time.Second)
	if err := s.build("", hundred, drop).Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	if refused := s.await(store.Failed); !strings.Contains(refused.Error, "another run of copy") || refused.RowsIn != 0 {
		t.Fatalf("got %+v", refused)
	}
}

func TestASecondStartOfANameWaitsForItsTurn(t *testing.T) {
	s := newStream(t)
	first := s.build("", "generate: { interval: 10ms, mapping: 'root = {}' }", drop)
	go func() { _ = first.Run(context.Background()) }()
	s.await(store.Running)
	second := s.build("on_busy: queue", hundred, drop)
	ended := make(chan error, 1)
	go func() { ended <- second.Run(t.Context()) }()
	s.await(store.Queued)
	if err := first.StopWithin(10 * time.Second); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	if run := s.await(store.Succeeded); run.RowsOut != 100 {
		t.Fatalf("got %+v", run)
	}
}

func TestAStreamWithoutItsLedgerEnds(t *testing.T) {
	s := newStream(t)
	s.dsn = "postgres://shop:shop@127.0.0.1:1/shop?sslmode=disable"
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if err := s.build("attempts: 2", hundred, drop).Run(ctx); err != nil {
		t.Fatalf("the stream did not end by itself: %v", err)
	}
}

func TestFaultsOfTheConfigAreReportedAtOnce(t *testing.T) {
	builder := service.NewStreamBuilder()
	path := filepath.Join(t.TempDir(), "x")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	err := builder.SetYAML("logger: { level: NONE }\ninput:\n  batch_run:\n    name: ''\n    id: nonsense\n    postgres_dsn: ''\n    no_progress_timeout: 0s\n    input: { file: { paths: [ " + path + " ] } }\n" + drop)
	if err != nil {
		t.Fatal(err)
	}
	built, err := builder.Build()
	if err == nil {
		err = built.Run(t.Context())
	}
	if err == nil {
		t.Fatal("accepted")
	}
	for _, field := range []string{"name", "id", "postgres_dsn", "no_progress_timeout"} {
		if !strings.Contains(err.Error(), `"`+field+`"`) {
			t.Errorf("%v does not name %s", err, field)
		}
	}
}
