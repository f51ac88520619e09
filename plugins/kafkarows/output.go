package kafkarows

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
	"sync"
	"time"

	"github.com/redpanda-data/benthos/v4/public/service"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/shop-connect/shop-connect/internal/quarantine"
	"github.com/shop-connect/shop-connect/internal/record"
)

const (
	fieldTopic           = "topic"
	fieldRefusedTopic    = "refused_topic"
	fieldKey             = "key"
	fieldHeaders         = "headers"
	fieldCompression     = "compression"
	fieldDeliveryTimeout = "record_delivery_timeout"
	fieldMaxMessageBytes = "max_message_bytes"
	fieldMaxBuffered     = "max_buffered_records"
	fieldMaxBufferedMiB  = "max_buffered_mib"
)

// metaRefused begins the names of the metadata that a refused row takes along as headers.
const metaRefused = "refused_"

var compressions = map[string]kgo.CompressionCodec{
	"none": kgo.NoCompression(), "lz4": kgo.Lz4Compression(), "snappy": kgo.SnappyCompression(),
	"zstd": kgo.ZstdCompression(), "gzip": kgo.GzipCompression(),
}

func init() { service.MustRegisterBatchOutput("kafka_rows", OutputSpec(), newOutput) }

// OutputSpec documents output kafka_rows.
func OutputSpec() *service.ConfigSpec {
	return service.NewConfigSpec().
		Categories("Services").
		Summary("Writes rows to Kafka, one record each, and acknowledges a batch once all of them are durable there.").
		Description(`
Rows come as messages, or many as one message, as input `+"`jwt_http`"+` sends them. All in-sync replicas must have a
record before it counts (acks=all), and a retry within the client writes none twice (idempotent producer). Where one
record of a batch is not taken, the whole batch is rejected, with an error that says why.

Nothing lingers for company: many batches in flight fill Kafka's requests by themselves.`).
		Fields(connectionFields()...).
		Fields(
			service.NewInterpolatedStringField(fieldTopic).Description("The topic to write to."),
			service.NewInterpolatedStringField(fieldRefusedTopic).
				Description("The topic of refused rows: messages with the metadata `"+quarantine.MetaReasons+"`. Their metadata `refused_*` become headers. Left out, a batch with a refused row is rejected.").
				Optional().Example("purchases.rejected"),
			service.NewInterpolatedStringField(fieldKey).
				Description("The key of records that come as messages of their own. Left out, it is the metadata `"+record.MetaEntityID+"`, else `kafka_key`, else `"+quarantine.MetaSource+"`. Rows of blocks have theirs.").
				Optional(),
			service.NewStringListField(fieldHeaders).
				Description("Metadata that become headers of records that come as messages of their own, by name. Rows of blocks have theirs.").
				Default([]any{}).Example([]string{"traceparent"}),
			service.NewStringEnumField(fieldCompression, "none", "lz4", "snappy", "zstd", "gzip").
				Description("How records are compressed. On a fast network it costs more than all the rest.").Default("none"),
			service.NewDurationField(fieldDeliveryTimeout).
				Description("How long Kafka may take to acknowledge a batch before it is rejected. Keep it below the timeout of an input that somebody waits at.").
				Default("10s"),
			service.NewIntField(fieldMaxMessageBytes).
				Description("The most bytes that Kafka takes as one batch of records, as the topic's `max.message.bytes` has it.").
				Default(1<<20).Advanced(),
			service.NewIntField(fieldMaxBuffered).
				Description("How many records are on their way at once; writers wait for room.").Default(100_000).Advanced(),
			service.NewIntField(fieldMaxBufferedMiB).
				Description("How many MiB of records are on their way at once; writers wait for room.").Default(128).Advanced(),
			service.NewOutputMaxInFlightField(),
		)
}

// outputConfig is the parsed YAML.
type outputConfig struct {
	connection
	topic           *service.InterpolatedString
	refusedTopic    *service.InterpolatedString // nil where refused rows have no place
	key             *service.InterpolatedString // nil for the key that the metadata has
	headers         []string
	compression     kgo.CompressionCodec
	deliveryTimeout time.Duration
	maxMessageBytes int32
	maxRecords      int
	maxBytes        int
	maxInFlight     int
}

// parseOutput reports every fault of the config at once.
func parseOutput(conf *service.ParsedConfig) (c outputConfig, err error) {
	var faults []error
	check := func(err error) {
		if err != nil {
			faults = append(faults, err)
		}
	}
	positive := func(field string, most int) int {
		v, err := conf.FieldInt(field)
		check(err)
		if err == nil && (v <= 0 || v > most) {
			check(fmt.Errorf("field %s: must be from 1 to %d, is %d", field, most, v))
		}
		return v
	}
	interpolated := func(field string) *service.InterpolatedString {
		if !conf.Contains(field) {
			return nil
		}
		v, err := conf.FieldInterpolatedString(field)
		check(err)
		return v
	}
	c.connection, err = parseConnection(conf)
	check(err)
	c.topic, c.refusedTopic, c.key = interpolated(fieldTopic), interpolated(fieldRefusedTopic), interpolated(fieldKey)
	c.headers, err = conf.FieldStringList(fieldHeaders)
	check(err)
	name, err := conf.FieldString(fieldCompression)
	check(err)
	codec, known := compressions[name]
	if err == nil && !known {
		check(fmt.Errorf("field %s: %q is unknown; use none, lz4, snappy, zstd or gzip", fieldCompression, name))
	}
	c.compression = codec
	c.deliveryTimeout, err = conf.FieldDuration(fieldDeliveryTimeout)
	check(err)
	if err == nil && c.deliveryTimeout < time.Second {
		check(fmt.Errorf("field %s: must be at least 1s, is %v", fieldDeliveryTimeout, c.deliveryTimeout))
	}
	c.maxMessageBytes = int32(positive(fieldMaxMessageBytes, 1<<30))
	if c.maxMessageBytes > 0 && c.maxMessageBytes < 512 {
		check(fmt.Errorf("field %s: must be at least 512, is %d", fieldMaxMessageBytes, c.maxMessageBytes))
	}
	c.maxRecords = positive(fieldMaxBuffered, math.MaxInt32)
	c.maxBytes = positive(fieldMaxBufferedMiB, 1<<20) << 20
	c.maxInFlight, err = conf.FieldMaxInFlight()
	check(err)
	return c, errors.Join(faults...)
}

// output writes batches side by side.
type output struct {
	outputConfig
	deliveries sync.Pool

	mu     sync.RWMutex
	client *kgo.Client
}

var _ service.BatchOutput = (*output)(nil)

// newOutput does no I/O.
func newOutput(conf *service.ParsedConfig, _ *service.Resources) (service.BatchOutput, service.BatchPolicy, int, error) {
	c, err := parseOutput(conf)
	if err != nil {
		return nil, service.BatchPolicy{}, 0, err
	}
	return &output{outputConfig: c}, service.BatchPolicy{}, c.maxInFlight, nil
}

// connectTimeout bounds one attempt to reach Kafka; the stream tries again.
const connectTimeout = 10 * time.Second

// Connect asks Kafka whether it is there, so that a wrong address or password is an error at start.
func (o *output) Connect(ctx context.Context) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.client != nil {
		return nil
	}
	client, err := kgo.NewClient(append(o.options(),
		kgo.RequiredAcks(kgo.AllISRAcks()), // I1
		kgo.RecordPartitioner(kgo.StickyKeyPartitioner(nil)),
		kgo.ProducerLinger(0),
		kgo.ProducerBatchCompression(o.compression),
		kgo.ProducerBatchMaxBytes(o.maxMessageBytes),
		kgo.RecordDeliveryTimeout(o.deliveryTimeout),
		kgo.ProduceRequestTimeout(o.deliveryTimeout),
		kgo.MaxBufferedRecords(o.maxRecords),
		kgo.MaxBufferedBytes(o.maxBytes),
		kgo.AllowAutoTopicCreation(), // where the broker does; as all of Connect's Kafka outputs
	)...)
	if err != nil {
		return fmt.Errorf("opening Kafka: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	if err := client.Ping(ctx); err != nil {
		client.Close()
		return fmt.Errorf("reaching Kafka at %s: %w; is it running, and are %s, %s and %s right?",
			strings.Join(o.brokers, ","), err, fieldBrokers, fieldTLS, fieldSASL)
	}
	o.client = client
	return nil
}

// WriteBatch returns once every row is durable in Kafka (I1), or an error of one that is not. Rows of a
// batch that is rejected may be there all the same.
func (o *output) WriteBatch(ctx context.Context, batch service.MessageBatch) error {
	o.mu.RLock()
	client := o.client
	o.mu.RUnlock()
	if client == nil {
		return service.ErrNotConnected
	}
	d, _ := o.deliveries.Get().(*delivery)
	if d == nil {
		d = newDelivery()
	}
	if err := o.fill(d, batch); err != nil {
		d.reset()
		o.deliveries.Put(d)
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, o.deliveryTimeout)
	defer cancel()
	err, finished := d.write(ctx, client)
	if finished {
		d.reset()
		o.deliveries.Put(d)
	}
	return o.explain(err)
}

// Close lets go of Kafka. What is not acknowledged by now is rejected.
func (o *output) Close(context.Context) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.client != nil {
		o.client.Close()
		o.client = nil
	}
	return nil
}
