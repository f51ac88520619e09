package kafkarows_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	_ "github.com/redpanda-data/benthos/v4/public/components/pure"
	"github.com/redpanda-data/benthos/v4/public/service"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/shop-connect/shop-connect/internal/record"
	_ "github.com/shop-connect/shop-connect/plugins/kafkarows"
)

const inputTopic = "purchases"

// broker is a Kafka for one test.
type broker struct {
	*kfake.Cluster
	address string
	client  *kgo.Client
	admin   *kadm.Client
}

func startBroker(t *testing.T, opts ...kfake.Opt) *broker {
	t.Helper()
	cluster, err := kfake.NewCluster(append([]kfake.Opt{kfake.NumBrokers(1)}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cluster.Close)
	b := &broker{Cluster: cluster, address: cluster.ListenAddrs()[0]}
	if b.client, err = kgo.NewClient(kgo.SeedBrokers(b.address), kgo.RecordPartitioner(kgo.ManualPartitioner())); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.client.Close)
	b.admin = kadm.NewClient(b.client)
	return b
}

// produce writes rows from–to of a partition; a row is "<partition>-<number>".
func (b *broker) produce(t *testing.T, partition int32, from, to int) {
	t.Helper()
	var records []*kgo.Record
	for n := from; n < to; n++ {
		records = append(records, &kgo.Record{Topic: inputTopic, Partition: partition, Value: fmt.Appendf(nil, "%d-%d", partition, n)})
	}
	if err := b.client.ProduceSync(t.Context(), records...).FirstErr(); err != nil {
		t.Fatal(err)
	}
}

// committed returns what the group has committed of a partition, -1 for nothing.
func (b *broker) committed(t *testing.T, partition int32) int64 {
	t.Helper()
	offsets, err := b.admin.FetchOffsets(t.Context(), "readers")
	if err != nil {
		t.Fatal(err)
	}
	offset, found := offsets.Lookup(inputTopic, partition)
	if !found {
		return -1
	}
	return offset.At
}

// batch is one that a stream has been given, and has yet to answer.
type batch struct {
	rows []record.Row
	// blocks counts its messages.
	blocks int
	// topicIDs are those of the blocks.
	topicIDs map[[16]byte]bool
	answer   chan<- error
}

func (b *batch) values() (values []string) {
	for _, row := range b.rows {
		values = append(values, string(row.Value))
	}
	return values
}

// member is a running stream of the input.
type member struct {
	batches chan *batch
	stop    func()
	log     *logged
	// gone is closed when what was not answered is to be rejected.
	gone chan struct{}
}

func (m *member) Connect(context.Context) error { return nil }
func (m *member) Close(context.Context) error   { return nil }

func (m *member) WriteBatch(_ context.Context, messages service.MessageBatch) error {
	answer := make(chan error, 1)
	got := &batch{blocks: len(messages), topicIDs: map[[16]byte]bool{}, answer: answer}
	for _, msg := range messages {
		if block := record.BlockOf(msg); block != nil {
			got.topicIDs[block.TopicID] = true
		}
	}
	for row, err := range record.Rows(messages) {
		if err != nil {
			return err
		}
		got.rows = append(got.rows, row)
	}
	m.batches <- got
	select {
	case err := <-answer:
		return err
	case <-m.gone:
		return errors.New("the member is leaving")
	}
}

type logged struct {
	sync.Mutex
	text strings.Builder
}

func (l *logged) Write(p []byte) (int, error) {
	l.Lock()
	defer l.Unlock()
	return l.text.Write(p)
}

func (l *logged) String() string {
	l.Lock()
	defer l.Unlock()
	return l.text.String()
}

func (b *broker) join(t *testing.T, more string) *member {
	t.Helper()
	m := &member{batches: make(chan *batch, 100), log: &logged{}, gone: make(chan struct{})}
	environment := service.NewEnvironment()
	err := environment.RegisterBatchOutput("handed_over", service.NewConfigSpec(), func(*service.ParsedConfig, *service.Resources) (service.BatchOutput, service.BatchPolicy, int, error) {
		return m, service.BatchPolicy{}, 20, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	builder := environment.NewStreamBuilder()
	config := fmt.Sprintf("kafka_rows:\n  seed_brokers: [%q]\n  topics: [%s]\n  consumer_group: readers\n  fetch_max_wait: 20ms\n%s", b.address, inputTopic, more)
	if !strings.Contains(more, "batch_period") {
		config += "  batch_period: 20ms\n"
	}
	if err := builder.AddInputYAML(config); err != nil {
		t.Fatal(err)
	}
	if err := builder.AddOutputYAML("handed_over: {}"); err != nil {
		t.Fatal(err)
	}
	builder.SetPrintLogger(printer{m.log})
	stream, err := builder.Build()
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() { defer close(ended); _ = stream.Run(context.Background()) }()
	m.stop = sync.OnceFunc(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		if err := stream.Stop(ctx); err != nil {
			t.Errorf("stopping a member: %v", err)
		}
		<-ended
	})
	t.Cleanup(func() { close(m.gone); m.stop() })
	return m
}

type printer struct{ to *logged }

func (p printer) Printf(format string, v ...any) { fmt.Fprintf(p.to, format+"\n", v...) }
func (p printer) Println(v ...any)               { fmt.Fprintln(p.to, v...) }

const patience = 20 * time.Second

func (m *member) next(t *testing.T) *batch {
	t.Helper()
	select {
	case b := <-m.batches:
		return b
	case <-time.After(patience):
		t.Fatalf("no batch came; the stream says:\n%s", m.log)
		return nil
	}
}

// collect acknowledges batches until a number of rows has come.
func (m *member) collect(t *testing.T, rows int) (values []string) {
	t.Helper()
	for len(values) < rows {
		b := m.next(t)
		values = append(values, b.values()...)
		b.answer <- nil
	}
	return values
}

func (m *member) none(t *testing.T, why string) {
	t.Helper()
	select {
	case b := <-m.batches:
		t.Fatalf("%s: got %v", why, b.values())
	case <-time.After(300 * time.Millisecond):
	}
}

func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !holds(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("never: %s", what)
		}
	}
}

func TestRowsOfAPartitionComeAsOneMessageWithTheirPlace(t *testing.T) {
	b := startBroker(t, kfake.SeedTopics(2, inputTopic))
	b.produce(t, 0, 0, 3)
	b.produce(t, 1, 0, 2)
	m := b.join(t, "  batch_period: 1s\n")
	got := m.next(t)
	if got.blocks != 2 || len(got.rows) != 5 {
		t.Fatalf("%d messages of %v", got.blocks, got.values())
	}
	for _, row := range got.rows {
		if want := fmt.Sprintf("%d-%d", row.Position.Partition, row.Position.Offset); !row.Placed || row.Position.Topic != inputTopic || string(row.Value) != want {
			t.Errorf("row %q is at %+v", row.Value, row.Position)
		}
	}
	topics, err := b.admin.ListTopics(t.Context(), inputTopic)
	if id := [16]byte(topics[inputTopic].ID); err != nil || len(got.topicIDs) != 1 || !got.topicIDs[id] {
		t.Errorf("the blocks are of topic %v, Kafka's is %v, %v", got.topicIDs, id, err)
	}
	got.answer <- nil
	eventually(t, "both partitions are committed", func() bool { return b.committed(t, 0) == 3 && b.committed(t, 1) == 2 })
}

func TestAPartitionsNextRowsWaitForTheAcknowledgement(t *testing.T) {
	b := startBroker(t, kfake.SeedTopics(2, inputTopic))
	b.produce(t, 0, 0, 3)
	m := b.join(t, "")
	first := m.next(t)
	b.produce(t, 0, 3, 6)
	b.produce(t, 1, 0, 2)
	other := m.next(t)
	if !slices.Equal(other.values(), []string{"1-0", "1-1"}) {
		t.Fatalf("beside the first batch came %v", other.values())
	}
	m.none(t, "rows of partition 0 overtook those before them")
	if at := b.committed(t, 0); at > 0 {
		t.Errorf("offset %d is committed, and nothing is acknowledged", at)
	}
	first.answer <- nil
	if second := m.next(t); !slices.Equal(second.values(), []string{"0-3", "0-4", "0-5"}) {
		t.Errorf("then came %v", second.values())
	}
	eventually(t, "what is acknowledged is committed, and no more", func() bool { return b.committed(t, 0) == 3 })
}

func TestWhatIsRejectedComesAgainBeforeAnythingElseOfItsPartition(t *testing.T) {
	b := startBroker(t, kfake.SeedTopics(1, inputTopic))
	b.produce(t, 0, 0, 3)
	m := b.join(t, "")
	first := m.next(t)
	b.produce(t, 0, 3, 4)
	first.answer <- fmt.Errorf("not now")
	again := m.next(t)
	if !slices.Equal(again.values(), []string{"0-0", "0-1", "0-2"}) {
		t.Fatalf("after the rejection came %v", again.values())
	}
	again.answer <- nil
	if rest := m.collect(t, 1); rest[0] != "0-3" {
		t.Errorf("then came %v", rest)
	}
}

func TestBatchesKeepToTheirLimits(t *testing.T) {
	b := startBroker(t, kfake.SeedTopics(2, inputTopic))
	b.produce(t, 0, 0, 100)
	b.produce(t, 1, 0, 100)
	for name, limit := range map[string]struct {
		config string
		rows   int
	}{
		"rows":  {"  batch_rows: 30\n  batch_period: 200ms\n", 30},
		"bytes": {"  batch_bytes: 40B\n  buffer_bytes: 40B\n  batch_period: 200ms\n", 13},
	} {
		t.Run(name, func(t *testing.T) {
			m := b.join(t, limit.config+"  commit_period: 10m\n")
			for range 3 {
				if got := m.next(t); len(got.rows) > limit.rows || len(got.rows) == 0 {
					t.Errorf("a batch of %d rows", len(got.rows))
				} else {
					got.answer <- nil
				}
			}
		})
	}
}

func TestMembersShareThePartitionsAndLoseNothing(t *testing.T) {
	const partitions, rows = 6, 2000
	b := startBroker(t, kfake.SeedTopics(partitions, inputTopic))
	var mu sync.Mutex
	seen := map[string]int{}
	last := map[int32]int64{}
	serve := func(m *member) func() {
		done, ended := make(chan struct{}), make(chan struct{})
		go func() {
			defer close(ended)
			for {
				select {
				case got := <-m.batches:
					mu.Lock()
					for _, row := range got.rows {
						seen[string(row.Value)]++
						last[row.Position.Partition] = row.Position.Offset
					}
					mu.Unlock()
					got.answer <- nil
				case <-done:
					return
				}
			}
		}()
		return func() { m.stop(); close(done); <-ended }
	}
	limit := "  batch_rows: 50\n"
	first := serve(b.join(t, limit))
	for from := 0; from < rows; from += rows / 10 {
		for p := range int32(partitions) {
			b.produce(t, p, from, from+rows/10)
		}
		switch from / (rows / 10) {
		case 2:
			second := serve(b.join(t, limit))
			defer second()
		case 4:
			third := serve(b.join(t, limit))
			defer third()
		case 6:
			first()
		}
	}
	eventually(t, "every row is there", func() bool { mu.Lock(); defer mu.Unlock(); return len(seen) == partitions*rows })
	mu.Lock()
	defer mu.Unlock()
	for value, times := range seen {
		if times > 1 {
			t.Errorf("row %s came %d times, though every member was alive and quick", value, times)
		}
	}
}

func TestWhatIsAcknowledgedAfterItsPartitionIsGoneIsNotCommitted(t *testing.T) {
	b := startBroker(t, kfake.SeedTopics(2, inputTopic))
	b.produce(t, 0, 0, 3)
	b.produce(t, 1, 0, 3)
	slow := b.join(t, "  batch_period: 1s\n")
	held := slow.next(t)
	if held.blocks != 2 {
		t.Fatalf("a batch of %v", held.values())
	}
	// the new member waits for a while, and then gets its partition with the rows that nobody has acknowledged
	other := b.join(t, "")
	again := other.next(t)
	moved := again.rows[0].Position.Partition
	if len(again.rows) != 3 || again.rows[0].Position.Offset != 0 {
		t.Fatalf("the new owner got %v", again.values())
	}
	held.answer <- nil
	eventually(t, "what is still owned is committed", func() bool { return b.committed(t, 1-moved) == 3 })
	if at := b.committed(t, moved); at > 0 {
		t.Errorf("offset %d of a partition is committed by who does not own it", at)
	}
	again.answer <- nil
	eventually(t, "the owner commits", func() bool { return b.committed(t, moved) == 3 })
}

func TestAMemberThatLeavesHasCommittedAndIsReplacedAtOnce(t *testing.T) {
	b := startBroker(t, kfake.SeedTopics(1, inputTopic))
	b.produce(t, 0, 0, 5)
	m := b.join(t, "  commit_period: 10m\n  session_timeout: 5m\n  heartbeat_interval: 1s\n")
	m.collect(t, 5)
	m.stop()
	if at := b.committed(t, 0); at != 5 {
		t.Errorf("offset %d is committed", at)
	}
	b.produce(t, 0, 5, 7)
	if got := b.join(t, "").collect(t, 2); !slices.Equal(got, []string{"0-5", "0-6"}) {
		t.Errorf("the next member got %v", got)
	}
}

func TestFaultsOfTheInputsConfigAreReportedTogether(t *testing.T) {
	builder := service.NewStreamBuilder()
	err := builder.AddInputYAML("kafka_rows: {seed_brokers: [], topics: [], consumer_group: '', batch_bytes: 2MB, buffer_bytes: 1MB, batch_rows: 0, session_timeout: 1s}")
	if err == nil {
		if err = builder.AddConsumerFunc(func(context.Context, *service.Message) error { return nil }); err == nil {
			var stream *service.Stream
			if stream, err = builder.Build(); err == nil {
				err = stream.Run(t.Context())
			}
		}
	}
	for _, field := range []string{"seed_brokers", "topics", "consumer_group", "buffer_bytes", "batch_rows", "heartbeat_interval"} {
		if err == nil || !strings.Contains(err.Error(), field) {
			t.Errorf("nothing is said of %s: %v", field, err)
		}
	}
}
