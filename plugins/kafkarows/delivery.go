package kafkarows

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"github.com/redpanda-data/benthos/v4/public/service"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/shop-connect/shop-connect/internal/quarantine"
	"github.com/shop-connect/shop-connect/internal/record"
)

// delivery is a batch on its way. It is used again for another batch once Kafka has answered all of its
// records, because at 400,000 rows a second the records alone are 60 MB.
type delivery struct {
	records []kgo.Record
	left    atomic.Int64
	failed  atomic.Pointer[failure]
	// done has room for its one signal: the last promise never waits.
	done    chan struct{}
	promise func(*kgo.Record, error)
}

// failure is the first record of a batch that was not taken.
type failure struct {
	topic string
	err   error
}

func (f *failure) Error() string { return f.err.Error() }
func (f *failure) Unwrap() error { return f.err }

func newDelivery() *delivery {
	d := &delivery{done: make(chan struct{}, 1)}
	d.promise = d.settle // once: a method value is an allocation
	return d
}

// settle is called by the client for each record.
func (d *delivery) settle(r *kgo.Record, err error) {
	if err != nil {
		d.failed.CompareAndSwap(nil, &failure{topic: r.Topic, err: err})
	}
	if d.left.Add(-1) == 0 {
		d.done <- struct{}{}
	}
}

// reset lets go of the rows.
func (d *delivery) reset() {
	clear(d.records)
	d.records = d.records[:0]
	d.failed.Store(nil)
}

// write hands all records to the client and waits for its answers. A delivery that is not finished is
// the client's, which tries on, and must not be used again.
func (d *delivery) write(ctx context.Context, client *kgo.Client) (err error, finished bool) {
	if len(d.records) == 0 {
		return nil, true
	}
	d.left.Store(int64(len(d.records)))
	for i := range d.records {
		client.Produce(ctx, &d.records[i], d.promise)
	}
	select {
	case <-d.done:
		if f := d.failed.Load(); f != nil {
			return f, true
		}
		return nil, true
	case <-ctx.Done():
		return &failure{topic: d.records[0].Topic, err: ctx.Err()}, false
	}
}

// fill makes a record of each row. The client writes into its records, and a row may be in the hands of
// several outputs: hence copies, of all but the bytes.
func (o *output) fill(d *delivery, batch service.MessageBatch) error {
	now := time.Now()
	for _, msg := range batch {
		block := record.BlockOf(msg)
		if block == nil {
			r, err := o.row(msg)
			if err != nil {
				return err
			}
			r.Timestamp = now
			d.records = append(d.records, r)
			continue
		}
		topic, err := o.topic.TryString(msg)
		if err != nil {
			return fmt.Errorf("interpolating %s: %w", fieldTopic, err)
		}
		for _, r := range block.Records {
			d.records = append(d.records, kgo.Record{Topic: topic, Key: r.Key, Value: r.Value, Headers: r.Headers, Timestamp: now})
		}
	}
	return nil
}

// row is the record of a message that is one row.
func (o *output) row(msg *service.Message) (r kgo.Record, err error) {
	if r.Value, err = msg.AsBytes(); err != nil {
		return r, fmt.Errorf("reading a message: %w", err)
	}
	for _, name := range o.headers {
		if value, ok := msg.MetaGet(name); ok {
			r.Headers = append(r.Headers, kgo.RecordHeader{Key: name, Value: []byte(value)})
		}
	}
	topic := o.topic
	if _, refused := msg.MetaGetImmut(quarantine.MetaReasons); refused {
		// I4: a refused row is kept, and never among the good ones
		if topic = o.refusedTopic; topic == nil {
			return r, fmt.Errorf("writing rows: a row is refused, and there is no place for it; set %s", fieldRefusedTopic)
		}
		err := msg.MetaWalk(func(name, value string) error {
			if strings.HasPrefix(name, metaRefused) {
				r.Headers = append(r.Headers, kgo.RecordHeader{Key: name, Value: []byte(value)})
			}
			return nil
		})
		if err != nil {
			return r, fmt.Errorf("reading metadata: %w", err)
		}
	}
	if r.Topic, err = topic.TryString(msg); err != nil {
		return r, fmt.Errorf("interpolating %s: %w", fieldTopic, err)
	}
	r.Key, err = o.keyOf(msg)
	return r, err
}

// keyMetadata is where a message's key is, in the order that it is looked for.
var keyMetadata = []string{record.MetaEntityID, "kafka_key", quarantine.MetaSource}

func (o *output) keyOf(msg *service.Message) ([]byte, error) {
	if o.key != nil {
		key, err := o.key.TryBytes(msg)
		if err != nil {
			return nil, fmt.Errorf("interpolating %s: %w", fieldKey, err)
		}
		return key, nil
	}
	for _, name := range keyMetadata {
		if key, ok := msg.MetaGet(name); ok {
			return []byte(key), nil
		}
	}
	return nil, nil
}

// explain says what to do about rows that are not taken.
func (o *output) explain(err error) error {
	var f *failure
	if !errors.As(err, &f) {
		return err
	}
	var advice string
	switch {
	case errors.Is(err, kerr.MessageTooLarge):
		advice = fmt.Sprintf("a row is larger than Kafka takes; raise max.message.bytes of the topic and %s here, or let the input refuse such rows", fieldMaxMessageBytes)
	case errors.Is(err, kerr.UnknownTopicOrPartition), errors.Is(err, kerr.UnknownTopicID):
		advice = "the topic is not there, and Kafka does not make it; create it, or mend " + fieldTopic
	case errors.Is(err, kerr.TopicAuthorizationFailed), errors.Is(err, kerr.ClusterAuthorizationFailed):
		advice = "let this user write to the topic, with idempotence, or change " + fieldSASL
	case errors.Is(err, kgo.ErrRecordTimeout), errors.Is(err, context.DeadlineExceeded):
		advice = fmt.Sprintf("Kafka did not acknowledge within %v; is it running, with all in-sync replicas, and reachable at %s?", o.deliveryTimeout, strings.Join(o.brokers, ","))
	case errors.Is(err, context.Canceled), errors.Is(err, kgo.ErrClientClosed):
		advice = "the stream is stopping; send the rows again"
	default:
		advice = "send the rows again once Kafka is well"
	}
	return fmt.Errorf("writing to topic %q: %w; %s", f.topic, f.err, advice)
}
