package backlog_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	_ "github.com/redpanda-data/benthos/v4/public/components/pure"
	"github.com/redpanda-data/benthos/v4/public/service"
	_ "github.com/redpanda-data/connect/v4/public/components/kafka"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	_ "github.com/shop-connect/shop-connect/plugins/backlog"
	_ "github.com/shop-connect/shop-connect/plugins/outbox"

	"github.com/shop-connect/shop-connect/internal/env"
	"github.com/shop-connect/shop-connect/internal/store"
	"github.com/shop-connect/shop-connect/internal/testservers"
)

func TestMain(m *testing.M) { testservers.Main(m) }

// shop is a topic, a database, and what the streams of the test were given.
type shop struct {
	*store.Store
	t          *testing.T
	dsn        string
	brokers    string
	topic      string
	kafka      *kgo.Client
	mu         sync.Mutex
	written    []string
	components *service.Environment
}

func newShop(t *testing.T) *shop {
	t.Helper()
	s := &shop{t: t, dsn: testservers.Postgres(t), brokers: testservers.Env(t)[env.KafkaBrokers]}
	var err error
	if s.Store, err = store.Open(t.Context(), s.dsn); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	if s.kafka, err = kgo.NewClient(kgo.SeedBrokers(s.brokers), kgo.RecordPartitioner(kgo.RoundRobinPartitioner())); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.kafka.Close)
	s.topic = strings.ReplaceAll(strings.ToLower(t.Name()), "/", "-")
	if _, err := kadm.NewClient(s.kafka).CreateTopic(t.Context(), 3, 1, nil, s.topic); err != nil {
		t.Fatal(err)
	}
	s.components = service.NewEnvironment()
	err = s.components.RegisterOutput("written", service.NewConfigSpec(), func(*service.ParsedConfig, *service.Resources) (service.Output, int, error) {
		return written{s}, 1, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// written notes what it is given.
type written struct{ *shop }

func (written) Connect(context.Context) error { return nil }
func (written) Close(context.Context) error   { return nil }
func (w written) Write(_ context.Context, msg *service.Message) error {
	value, err := msg.AsBytes()
	w.mu.Lock()
	defer w.mu.Unlock()
	w.written = append(w.written, string(value))
	return err
}

func (s *shop) rows() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.written)
}

func (s *shop) produce(rows int) {
	s.t.Helper()
	for n := range rows {
		if err := s.kafka.ProduceSync(s.t.Context(), &kgo.Record{Topic: s.topic, Value: fmt.Appendf(nil, "row %d", n)}).FirstErr(); err != nil {
			s.t.Fatal(err)
		}
	}
}

// start starts a run; its entry comes once the run has ended.
func (s *shop) start(input, timeout string) (ended <-chan store.Run) {
	s.t.Helper()
	builder := s.components.NewStreamBuilder()
	yaml := fmt.Sprintf("logger: { level: NONE }\ninput:\n  batch_run:\n    name: bring\n    postgres_dsn: %s\n    no_progress_timeout: %s\n    input:\n      %s\noutput: { written: {} }\n",
		s.dsn, timeout, strings.ReplaceAll(input, "\n", "\n      "))
	if err := builder.SetYAML(yaml); err != nil {
		s.t.Fatalf("%v\n%s", err, yaml)
	}
	stream, err := builder.Build()
	if err != nil {
		s.t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	done, over := make(chan store.Run, 1), make(chan struct{})
	s.t.Cleanup(func() { cancel(); <-over })
	go func() {
		defer close(over)
		if err := stream.Run(ctx); err != nil {
			s.t.Errorf("the stream did not end by itself: %v", err)
		}
		done <- s.newest()
	}()
	return done
}

func (s *shop) newest() store.Run {
	runs, err := s.Runs(context.Background(), store.RunFilter{}, 1)
	if err != nil || len(runs) != 1 {
		s.t.Errorf("got %v, %v", runs, err)
		return store.Run{}
	}
	return runs[0]
}

// saying waits until the run says something.
func (s *shop) saying(text string) {
	s.t.Helper()
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		runs, err := s.Runs(s.t.Context(), store.RunFilter{}, 1)
		if err == nil && len(runs) == 1 && strings.Contains(runs[0].Progress, text) {
			return
		}
		if time.Now().After(deadline) {
			s.t.Fatalf("got %+v, %v", runs, err)
		}
	}
}

func (s *shop) kafkaBacklog() string {
	return fmt.Sprintf(`kafka_backlog:
  seed_brokers: [%[1]s]
  topic: %[2]s
  consumer_group: %[2]s-raw
  check_interval: 50ms
  input:
    redpanda: { seed_brokers: [%[1]s], topics: [%[2]s], consumer_group: %[2]s-raw, start_offset: earliest, commit_period: 100ms, fetch_max_wait: 50ms }`, s.brokers, s.topic)
}

// member joins the group as the continuous stream does, and commits nothing by itself.
func (s *shop) member() *kgo.Client {
	s.t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(s.brokers), kgo.ConsumeTopics(s.topic), kgo.ConsumerGroup(s.topic+"-raw"), kgo.DisableAutoCommit(),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(client.Close)
	if err := client.PollFetches(s.t.Context()).Err(); err != nil {
		s.t.Fatal(err)
	}
	return client
}

// commitAll commits, as a member, what is in the topic now.
func (s *shop) commitAll(member *kgo.Client) {
	s.t.Helper()
	ends, err := kadm.NewClient(s.kafka).ListEndOffsets(s.t.Context(), s.topic)
	if err != nil {
		s.t.Fatal(err)
	}
	offsets := map[string]map[int32]kgo.EpochOffset{s.topic: {}}
	ends.Each(func(end kadm.ListedOffset) {
		offsets[s.topic][end.Partition] = kgo.EpochOffset{Epoch: -1, Offset: end.Offset}
	})
	member.CommitOffsetsSync(s.t.Context(), offsets, func(_ *kgo.Client, _ *kmsg.OffsetCommitRequest, _ *kmsg.OffsetCommitResponse, fault error) {
		err = fault
	})
	if err != nil {
		s.t.Fatal(err)
	}
}

func want(t *testing.T, run store.Run, status store.Status, rows int64) {
	t.Helper()
	if run.Status != status || run.RowsIn != rows || status == store.Succeeded && !run.Reconciles() {
		t.Fatalf("got %+v, want %s with %d rows", run, status, rows)
	}
}

func TestATopicThatNobodyReadsIsReadToItsEndOnce(t *testing.T) {
	s := newShop(t)
	s.produce(100)
	want(t, <-s.start(s.kafkaBacklog(), "20s"), store.Succeeded, 100)
	want(t, <-s.start(s.kafkaBacklog(), "20s"), store.Succeeded, 0)
	s.produce(10)
	want(t, <-s.start(s.kafkaBacklog(), "20s"), store.Succeeded, 10)
	if s.rows() != 110 {
		t.Fatalf("%d rows were written, want 110", s.rows())
	}
}

func TestAnEmptyTopicIsReadAtOnce(t *testing.T) {
	s := newShop(t)
	want(t, <-s.start(s.kafkaBacklog(), "20s"), store.Succeeded, 0)
}

func TestAStreamThatIsAtWorkIsWaitedFor(t *testing.T) {
	s := newShop(t)
	s.produce(100)
	stream := s.member()
	ended := s.start(s.kafkaBacklog(), "20s")
	s.saying("100 rows of " + s.topic)
	s.commitAll(stream)
	want(t, <-ended, store.Succeeded, 100)
	if s.rows() != 0 {
		t.Fatalf("%d rows were written beside the stream", s.rows())
	}
}

func TestWhatComesAfterTheStartIsNotWaitedFor(t *testing.T) {
	s := newShop(t)
	s.produce(10)
	stream := s.member()
	ended := s.start(s.kafkaBacklog(), "20s")
	s.saying("10 rows of " + s.topic)
	s.commitAll(stream)
	s.produce(5)
	want(t, <-ended, store.Succeeded, 10)
}

func TestAStreamThatEndsIsTakenOverFrom(t *testing.T) {
	s := newShop(t)
	s.produce(100)
	stream := s.member()
	ended := s.start(s.kafkaBacklog(), "20s")
	s.saying("100 rows of " + s.topic)
	stream.Close()
	want(t, <-ended, store.Succeeded, 100)
	if s.rows() != 100 {
		t.Fatalf("%d rows were written", s.rows())
	}
}

func TestAStreamThatIsStuckFailsTheRunWithItsPartitionAndLag(t *testing.T) {
	s := newShop(t)
	s.produce(3)
	s.member()
	run := <-s.start(s.kafkaBacklog(), "1s")
	want(t, run, store.Failed, 0)
	for _, part := range []string{"nothing moved for 1s", "3 rows of " + s.topic, s.topic + "/0", "consumer group " + s.topic + "-raw"} {
		if !strings.Contains(run.Error, part) {
			t.Errorf("%q does not say %q", run.Error, part)
		}
	}
}

func TestATopicThatIsNotThereFailsTheRunWithItsName(t *testing.T) {
	s := newShop(t)
	s.topic = "nowhere-at-all"
	run := <-s.start(s.kafkaBacklog(), "1s")
	if run.Status != store.Failed || !strings.Contains(run.Error, "nowhere-at-all") {
		t.Fatalf("got %+v", run)
	}
}

func (s *shop) outboxBacklog() string {
	return fmt.Sprintf("outbox_backlog:\n  postgres_dsn: %[1]s\n  check_interval: 50ms\n  input:\n    outbox: { postgres_dsn: '%[1]s' }", s.dsn)
}

func (s *shop) enqueue(events int) {
	s.t.Helper()
	for n := range events {
		tx, err := s.Pool().Begin(s.t.Context())
		if err == nil {
			err = store.Enqueue(s.t.Context(), tx, s.topic, fmt.Sprint(n), []byte("{}"))
		}
		if err == nil {
			err = tx.Commit(s.t.Context())
		}
		if err != nil {
			s.t.Fatal(err)
		}
	}
}

func TestAnOutboxThatNobodyReadsIsPublishedOnce(t *testing.T) {
	s := newShop(t)
	s.enqueue(25)
	want(t, <-s.start(s.outboxBacklog(), "20s"), store.Succeeded, 25)
	want(t, <-s.start(s.outboxBacklog(), "20s"), store.Succeeded, 0)
	if s.rows() != 25 {
		t.Fatalf("%d events were written", s.rows())
	}
}

func TestARelayThatIsAtWorkIsWaitedForAndTakenOverFrom(t *testing.T) {
	s := newShop(t)
	s.enqueue(25)
	relay, err := s.LockOutbox(t.Context(), "another")
	if err != nil {
		t.Fatal(err)
	}
	defer relay.Release()
	ended := s.start(s.outboxBacklog(), "20s")
	s.saying("25 events of the outbox")
	events, err := relay.Next(t.Context(), 20, nil)
	if err == nil {
		err = relay.Published(t.Context(), events)
	}
	if err == nil {
		err = relay.SetAside(t.Context(), store.Event{Seq: events[19].Seq + 1}, "too large")
	}
	if err != nil {
		t.Fatal(err)
	}
	s.saying("4 events of the outbox")
	relay.Release()
	run := <-ended
	want(t, run, store.Succeeded, 25)
	if run.RowsRefused != 1 || s.rows() != 4 {
		t.Fatalf("got %+v, %d written here", run, s.rows())
	}
}

func TestARelayThatIsStuckFailsTheRunWithWhatIsLeft(t *testing.T) {
	s := newShop(t)
	s.enqueue(2)
	relay, err := s.LockOutbox(t.Context(), "another")
	if err != nil {
		t.Fatal(err)
	}
	defer relay.Release()
	run := <-s.start(s.outboxBacklog(), "1s")
	if run.Status != store.Failed || !strings.Contains(run.Error, "2 events of the outbox") {
		t.Fatalf("got %+v", run)
	}
}

func TestOutsideOfABatchRunItIsRefused(t *testing.T) {
	builder := service.NewStreamBuilder()
	err := builder.SetYAML("logger: { level: NONE }\ninput: { outbox_backlog: { postgres_dsn: '', input: { generate: { mapping: 'root = 1' } } } }\noutput: { drop: {} }\n")
	if err == nil {
		var stream *service.Stream
		if stream, err = builder.Build(); err == nil {
			err = stream.Run(t.Context())
		}
	}
	if err == nil || !strings.Contains(err.Error(), "batch_run") || !strings.Contains(err.Error(), "postgres_dsn") {
		t.Fatalf("got %v", err)
	}
}
