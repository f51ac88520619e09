package backlog

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/redpanda-data/benthos/v4/public/service"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/shop-connect/shop-connect/internal/progress"
	"github.com/shop-connect/shop-connect/internal/record"
)

const (
	fieldBrokers = "seed_brokers"
	fieldTopic   = "topic"
	fieldGroup   = "consumer_group"
	fieldTLS     = "tls"
)

func init() {
	service.MustRegisterBatchInput("kafka_backlog", KafkaSpec(), func(conf *service.ParsedConfig, mgr *service.Resources) (service.BatchInput, error) {
		t, err := kafkaFromParsed(conf)
		i, inputErr := newInput(conf, mgr, t)
		if err := errors.Join(err, inputErr); err != nil {
			return nil, err
		}
		return i, nil
	})
}

// MetaTopic is the metadata that says which topic a message is from, whatever headers its producer chose.
const MetaTopic = "backlog_topic"

// KafkaSpec documents the input kafka_backlog.
func KafkaSpec() *service.ConfigSpec {
	return service.NewConfigSpec().
		Categories("Services").
		Summary("Ends once a consumer group has committed every record that is in a topic at its start.").
		Description(`
Give it an input of the same topic and consumer group, and the output of the stream whose group it is. While the group has members, that stream is at work somewhere, and this input waits for its commits. When the group has none, this input reads the rest itself, as a member of the group: what it reads, the stream does not read again. Rows that the stream brought count as rows of the run. Every message has the topic as metadata `+"`"+MetaTopic+"`"+`, for a switch behind several of these inputs.

It must be within a `+"`batch_run`"+`, whose `+"`no_progress_timeout`"+` bounds the wait; the error then names the partition that is furthest behind.`).
		Fields(
			service.NewStringListField(fieldBrokers).Description("Kafka brokers, host:port each; an item may list several with commas."),
			service.NewTLSToggledField(fieldTLS),
			service.NewStringField(fieldTopic).Description("The topic."),
			service.NewStringField(fieldGroup).Description("The consumer group."),
			intervalField(),
			service.NewInputField(fieldInput).Description("Reads the topic as a member of the group."),
		)
}

// kafkaTarget is the ends that a topic's partitions had.
type kafkaTarget struct {
	options      []kgo.Opt
	topic, group string
	client       *kgo.Client
	admin        *kadm.Client

	fixed bool
	parts map[int32]*partition
	here  int64 // rows below the ends that were passed on here
}

// partition is what is to be read of a partition: from what was committed to its end.
type partition struct {
	from, end int64
}

func kafkaFromParsed(conf *service.ParsedConfig) (*kafkaTarget, error) {
	t := &kafkaTarget{}
	brokers, brokersErr := conf.FieldStringList(fieldBrokers)
	tls, useTLS, tlsErr := conf.FieldTLSToggled(fieldTLS)
	var topicErr, groupErr error
	t.topic, topicErr = conf.FieldString(fieldTopic)
	t.group, groupErr = conf.FieldString(fieldGroup)
	if err := errors.Join(brokersErr, tlsErr, topicErr, groupErr); err != nil {
		return nil, err
	}
	var faults []error
	for field, value := range map[string]string{fieldTopic: t.topic, fieldGroup: t.group, fieldBrokers: strings.Join(brokers, "")} {
		if value == "" {
			faults = append(faults, fmt.Errorf("field %q: must not be empty", field))
		}
	}
	t.options = []kgo.Opt{kgo.SeedBrokers(strings.Split(strings.Join(brokers, ","), ",")...)}
	if useTLS {
		t.options = append(t.options, kgo.DialTLSConfig(tls))
	}
	return t, errors.Join(faults...)
}

func (t *kafkaTarget) open(ctx context.Context) error {
	if t.client == nil {
		client, err := kgo.NewClient(t.options...)
		if err != nil {
			return fmt.Errorf("making a Kafka client: %w", err)
		}
		t.client, t.admin = client, kadm.NewClient(client)
	}
	if t.fixed {
		return nil
	}
	ends, err := t.admin.ListEndOffsets(ctx, t.topic)
	if err == nil {
		err = ends.Error()
	}
	if err != nil {
		return fmt.Errorf("reading the ends of topic %q: %w", t.topic, err)
	}
	starts, err := t.admin.ListStartOffsets(ctx, t.topic)
	if err == nil {
		err = starts.Error()
	}
	if err != nil {
		return fmt.Errorf("reading the starts of topic %q: %w", t.topic, err)
	}
	t.parts = map[int32]*partition{}
	for number, end := range ends[t.topic] {
		start, _ := starts.Lookup(t.topic, number)
		t.parts[number] = &partition{from: start.Offset, end: end.Offset}
	}
	committed, err := t.committed(ctx)
	if err != nil {
		return err
	}
	for number, p := range t.parts {
		p.from = max(p.from, committed(number))
	}
	t.fixed = true
	return nil
}

// committed returns the group's offsets, -1 for a partition without one.
func (t *kafkaTarget) committed(ctx context.Context) (func(partition int32) int64, error) {
	offsets, err := t.admin.FetchOffsets(ctx, t.group)
	if err == nil {
		err = offsets.Error()
	}
	if err != nil && !errors.Is(err, kerr.GroupIDNotFound) { // nobody has joined it yet
		return nil, fmt.Errorf("reading the offsets of consumer group %q: %w", t.group, err)
	}
	return func(partition int32) int64 {
		if offset, ok := offsets.Lookup(t.topic, partition); ok {
			return offset.At
		}
		return -1
	}, nil
}

func (t *kafkaTarget) look(ctx context.Context) (state, error) {
	committed, err := t.committed(ctx)
	if err != nil {
		return state{}, err
	}
	var s state
	var most int64
	var last int32
	for number, p := range t.parts {
		left := p.end - max(p.from, committed(number))
		if left <= 0 {
			continue
		}
		s.left += left
		if left > most || left == most && number < last {
			most, last = left, number
		}
	}
	if s.left == 0 {
		s.text = t.topic + ": all read"
		s.others.RowsIn = max(0, t.total()-t.here)
		s.others.RowsOut = s.others.RowsIn
		return s, nil
	}
	if s.free, err = t.unattended(ctx); err != nil {
		return state{}, err
	}
	s.text = fmt.Sprintf("%s rows of %s are not committed by consumer group %s yet, %s of them in %s/%d",
		progress.Thousands(s.left), t.topic, t.group, progress.Thousands(most), t.topic, last)
	return s, nil
}

func (t *kafkaTarget) total() (rows int64) {
	for _, p := range t.parts {
		rows += max(0, p.end-p.from)
	}
	return rows
}

// unattended reports whether the group has no member: no stream is at work, this input neither.
func (t *kafkaTarget) unattended(ctx context.Context) (bool, error) {
	groups, err := t.admin.DescribeGroups(ctx, t.group)
	if err != nil {
		return false, fmt.Errorf("looking who is in consumer group %q: %w", t.group, err)
	}
	return len(groups[t.group].Members) == 0, nil
}

func (t *kafkaTarget) given(batch service.MessageBatch) {
	for _, msg := range batch {
		msg.MetaSetMut(MetaTopic, t.topic)
	}
	for row, err := range record.Rows(batch) {
		if err != nil || !row.Placed {
			continue // it counts for the output to judge, and for others here
		}
		if p := t.parts[row.Position.Partition]; p != nil && row.Position.Offset >= p.from && row.Position.Offset < p.end {
			t.here++
		}
	}
}

func (t *kafkaTarget) close() {
	if t.client != nil {
		t.client.Close()
		t.client, t.admin = nil, nil
	}
}

var (
	_ target = (*kafkaTarget)(nil)
	_ target = (*outboxTarget)(nil)
)
