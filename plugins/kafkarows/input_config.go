package kafkarows

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/redpanda-data/benthos/v4/public/service"
	"github.com/twmb/franz-go/pkg/kgo"
)

const (
	fieldTopics         = "topics"
	fieldGroup          = "consumer_group"
	fieldStart          = "start_offset"
	fieldBatchRows      = "batch_rows"
	fieldBatchBytes     = "batch_bytes"
	fieldBatchPeriod    = "batch_period"
	fieldBufferBytes    = "buffer_bytes"
	fieldCommitPeriod   = "commit_period"
	fieldSession        = "session_timeout"
	fieldRebalance      = "rebalance_timeout"
	fieldHeartbeat      = "heartbeat_interval"
	fieldFetchWait      = "fetch_max_wait"
	fieldFetchBytes     = "fetch_max_bytes"
	fieldFetchPartition = "fetch_max_partition_bytes"
)

const (
	startEarliest = "earliest"
	startLatest   = "latest"
)

// InputSpec documents the input kafka_rows.
func InputSpec() *service.ConfigSpec {
	return service.NewConfigSpec().
		Categories("Services").
		Summary("Reads Kafka topics as a consumer group, many records as one message: a block of rows.").
		Description(`
A batch holds one message for each partition that it has rows of. Our own outputs and processors take such blocks as they are;
put processor `+"`split_rows`"+` behind this input for components that want a message a row: it gives each the metadata that the `+"`redpanda`"+` input gives.

Batches are made here: one goes out when the partitions that have no batch on its way hold `+"`batch_rows` or `batch_bytes`"+` together, or when
the oldest of their rows has waited for `+"`batch_period`"+`. So leave the output's own `+"`batching`"+` out: its `+"`count`"+` counts blocks, and its `+"`byte_size`"+` writes every row as JSON to measure it.

The rows of a partition keep their order: its next batch is held back until the one before is acknowledged. Batches of different partitions are on their way at the same time.
Offsets are committed after the acknowledgement, and never for a partition that the group has given to another member. What an output rejects is sent again until it is taken.

A topic that does not exist yet is waited for. Where Kafka no longer has rows that were not read (retention was shorter than the stream's pause), that is
logged as an error with their number, and reading goes on at the first row there is. A topic that was deleted and created again, or whose end lies before what was read of it, stops the input with an error:
its offsets mean other rows now, and sinks that know rows by their offsets would take new ones for old. Set the group's offsets with any Kafka tool, and restart the stream.

Metrics: gauge `+"`redpanda_lag`"+` by topic and partition, as the `+"`redpanda`"+` input has it, and counters `+"`kafka_rows_read` and `kafka_rows_acknowledged`"+`.`).
		Fields(connectionFields()...).
		Fields(
			service.NewStringListField(fieldTopics).Description("The topics to read."),
			service.NewStringField(fieldGroup).Description("The consumer group. Its members share the partitions, and go on where the group has committed, also when it was another input that did."),
			service.NewStringEnumField(fieldStart, startEarliest, startLatest).Description("Where to begin a partition that the group has committed nothing of.").Default(startEarliest),
			service.NewIntField(fieldBatchRows).Description("A batch has at most this many rows.").Default(100_000),
			service.NewStringField(fieldBatchBytes).Description("A batch has at most this many bytes of keys, values and headers, and always one row.").Default("16MB"),
			service.NewDurationField(fieldBatchPeriod).Description("How long a row waits for others.").Default("500ms"),
			service.NewStringField(fieldBufferBytes).Description("How much may wait here and be on its way, all partitions together; one answer of each broker (`fetch_max_bytes`) comes on top. At several times `batch_bytes` several batches are on their way at once.").Default("64MB"),
			service.NewDurationField(fieldCommitPeriod).Description("How often acknowledged offsets are committed. They are also committed before a partition is given away and at the end.").Default("1s").Advanced(),
			service.NewDurationField(fieldSession).Description("How long the group waits for a member that has died.").Default("10s").Advanced(),
			service.NewDurationField(fieldRebalance).Description("How long the group waits for its members to give partitions away.").Default("45s").Advanced(),
			service.NewDurationField(fieldHeartbeat).Description("How often the member tells the group that it is alive.").Default("3s").Advanced(),
			service.NewDurationField(fieldFetchWait).Description("How long a broker waits for rows before it answers that there are none.").Default("250ms").Advanced(),
			service.NewStringField(fieldFetchBytes).Description("How much a broker may answer with.").Default("32MB").Advanced(),
			service.NewStringField(fieldFetchPartition).Description("How much of one partition a broker may answer with.").Default("4MB").Advanced(),
		).
		Example("Purchases into ClickHouse", "The output gets blocks of up to 100,000 purchases.", `
input:
  kafka_rows:
    seed_brokers: ["${KAFKA_BROKERS}"]
    topics: [purchases]
    consumer_group: purchases-clickhouse
`).
		Example("A message a row", "Mappings and stock outputs see what they would see behind the `redpanda` input.", `
input:
  kafka_rows:
    seed_brokers: ["${KAFKA_BROKERS}"]
    topics: [purchases]
    consumer_group: purchases-audit
  processors:
    - split_rows: {}
`)
}

// inputConfig is the parsed YAML.
type inputConfig struct {
	topics       []string
	group        string
	limits       limits
	commitPeriod time.Duration
	client       []kgo.Opt
}

// limits say when a batch goes out, and how much is held.
type limits struct {
	rows, bytes, buffer int
	period              time.Duration
}

func parseInput(conf *service.ParsedConfig) (inputConfig, error) {
	var faults []error
	fault := func(field string, err error) {
		if err != nil {
			faults = append(faults, fmt.Errorf("field %q: %w", field, err))
		}
	}
	text := func(field string) string {
		v, err := conf.FieldString(field)
		fault(field, err)
		return v
	}
	list := func(field string) (items []string) {
		lines, err := conf.FieldStringList(field)
		fault(field, err)
		for _, line := range lines {
			for item := range strings.SplitSeq(line, ",") {
				if item = strings.TrimSpace(item); item != "" {
					items = append(items, item)
				}
			}
		}
		if err == nil && len(items) == 0 {
			fault(field, errors.New("is empty"))
		}
		return items
	}
	duration := func(field string) time.Duration {
		v, err := conf.FieldDuration(field)
		if err == nil && v <= 0 {
			err = fmt.Errorf("must be longer than nothing, is %s", v)
		}
		fault(field, err)
		return v
	}
	size := func(field string) int {
		v, err := humanize.ParseBytes(text(field))
		if err == nil && (v < 1 || v > 1<<31-1) {
			err = errors.New("must be between 1 and 2147483647 bytes")
		}
		fault(field, err)
		return int(v)
	}

	c := inputConfig{
		topics: list(fieldTopics), group: text(fieldGroup), commitPeriod: duration(fieldCommitPeriod),
		limits: limits{bytes: size(fieldBatchBytes), buffer: size(fieldBufferBytes), period: duration(fieldBatchPeriod)},
	}
	if c.group == "" {
		fault(fieldGroup, errors.New("is empty; name the group that offsets are committed for"))
	}
	var err error
	if c.limits.rows, err = conf.FieldInt(fieldBatchRows); err == nil && c.limits.rows < 1 {
		err = errors.New("must be 1 or more")
	}
	fault(fieldBatchRows, err)
	if c.limits.buffer < c.limits.bytes {
		fault(fieldBufferBytes, fmt.Errorf("must not be less than %s", fieldBatchBytes))
	}
	start := kgo.NewOffset().AtStart()
	if text(fieldStart) == startLatest {
		start = kgo.NewOffset().AtEnd()
	}
	session, heartbeat := duration(fieldSession), duration(fieldHeartbeat)
	if heartbeat >= session {
		fault(fieldHeartbeat, fmt.Errorf("must be shorter than %s", fieldSession))
	}
	broker, err := parseConnection(conf)
	if err != nil {
		faults = append(faults, err)
	}
	c.client = append(broker.options(),
		kgo.ConsumeTopics(c.topics...), kgo.ConsumerGroup(c.group),
		// what is to be done about an offset that is not there is for the input to decide, see outOfRange
		kgo.ConsumeStartOffset(start), kgo.ConsumeResetOffset(kgo.NoResetOffset()),
		kgo.SessionTimeout(session), kgo.HeartbeatInterval(heartbeat), kgo.RebalanceTimeout(duration(fieldRebalance)),
		kgo.FetchMaxWait(duration(fieldFetchWait)), kgo.FetchMaxBytes(int32(size(fieldFetchBytes))),
		kgo.FetchMaxPartitionBytes(int32(size(fieldFetchPartition))),
	)
	return c, errors.Join(faults...)
}

func init() {
	service.MustRegisterBatchInput("kafka_rows", InputSpec(), func(conf *service.ParsedConfig, mgr *service.Resources) (service.BatchInput, error) {
		cfg, err := parseInput(conf)
		if err != nil {
			return nil, err
		}
		// AutoRetryNacks sends a rejected batch again, so that ours are only ever told of acknowledgements.
		return service.AutoRetryNacksBatched(newInput(cfg, mgr)), nil
	})
}

// clientLog shows what franz-go says at level debug: it calls warnings and errors what it mends by itself.
type clientLog struct{ log *service.Logger }

func (l clientLog) Level() kgo.LogLevel { return kgo.LogLevelWarn }

func (l clientLog) Log(_ kgo.LogLevel, msg string, keyvals ...any) {
	l.log.With(keyvals...).Debug(msg)
}

var _ kgo.Logger = clientLog{}
