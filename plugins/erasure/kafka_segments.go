package erasure

import (
	"context"
	"fmt"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/kversion"
)

const (
	segmentTime  = "segment.ms"
	segmentBytes = "segment.bytes"
)

// roll ends the segments that partitions of a topic write to, so that records which are removed go with whole
// files. Something has to be written behind them for that, which no consumer sees: the end of a transaction that
// wrote nothing. It also keeps the partition's offsets where they are, whatever becomes of a broker without a
// single record of it.
func (k *kafka) roll(ctx context.Context, topic string, partitions ends) (err error) {
	settings, err := k.settings(ctx, topic)
	if err != nil {
		return err
	}
	// brokers end a segment by its age; the embedded one goes by its size alone, of which others take no such bound
	if err := k.set(ctx, topic, segmentTime, "1"); err != nil {
		return err
	}
	_ = k.set(ctx, topic, segmentBytes, "1")
	defer func() {
		for _, name := range []string{segmentTime, segmentBytes} {
			if restored := k.restore(context.WithoutCancel(ctx), topic, settings[name]); err == nil {
				err = restored
			}
		}
	}()
	id := "shop-connect-erasure-" + topic
	// later versions of these requests are for brokers among each other
	client, err := kgo.NewClient(append(k.options, kgo.MaxVersions(kversion.V3_0_0()))...)
	if err != nil {
		return fmt.Errorf("making a Kafka client: %w", err)
	}
	defer client.Close()
	begin := kmsg.NewPtrInitProducerIDRequest()
	begin.TransactionalID, begin.TransactionTimeoutMillis = &id, 30_000
	begun, err := begin.RequestWith(ctx, client)
	if err == nil {
		err = kerr.ErrorForCode(begun.ErrorCode)
	}
	if err != nil {
		return fmt.Errorf("beginning a transaction: %w", err)
	}
	add := kmsg.NewPtrAddPartitionsToTxnRequest()
	add.TransactionalID, add.ProducerID, add.ProducerEpoch = id, begun.ProducerID, begun.ProducerEpoch
	written := kmsg.NewAddPartitionsToTxnRequestTopic()
	written.Topic = topic
	for partition := range partitions {
		written.Partitions = append(written.Partitions, partition)
	}
	add.Topics = append(add.Topics, written)
	added, err := add.RequestWith(ctx, client)
	if err == nil {
		for _, t := range added.Topics {
			for _, p := range t.Partitions {
				if err == nil {
					err = kerr.ErrorForCode(p.ErrorCode)
				}
			}
		}
	}
	if err != nil {
		return fmt.Errorf("beginning a transaction in topic %q: %w", topic, err)
	}
	end := kmsg.NewPtrEndTxnRequest()
	end.TransactionalID, end.ProducerID, end.ProducerEpoch = id, begun.ProducerID, begun.ProducerEpoch
	ended, err := end.RequestWith(ctx, client)
	if err == nil {
		err = kerr.ErrorForCode(ended.ErrorCode)
	}
	if err != nil {
		return fmt.Errorf("ending a transaction in topic %q: %w", topic, err)
	}
	return nil
}

func (k *kafka) settings(ctx context.Context, topic string) (map[string]kadm.Config, error) {
	configs, err := k.admin.DescribeTopicConfigs(ctx, topic)
	if err != nil {
		return nil, fmt.Errorf("reading the settings of topic %q: %w", topic, err)
	}
	settings := map[string]kadm.Config{}
	for _, resource := range configs {
		if resource.Err != nil {
			return nil, fmt.Errorf("reading the settings of topic %q: %w", topic, resource.Err)
		}
		for _, c := range resource.Configs {
			settings[c.Key] = c
		}
	}
	return settings, nil
}

func (k *kafka) set(ctx context.Context, topic, name, value string) error {
	return k.alter(ctx, topic, kadm.AlterConfig{Name: name, Value: &value})
}

// restore makes a setting of a topic what it was: its own, or the broker's.
func (k *kafka) restore(ctx context.Context, topic string, c kadm.Config) error {
	switch {
	case c.Key == "":
		return nil
	case c.Source == kmsg.ConfigSourceDynamicTopicConfig && c.Value != nil:
		return k.set(ctx, topic, c.Key, *c.Value)
	}
	return k.alter(ctx, topic, kadm.AlterConfig{Op: kadm.DeleteConfig, Name: c.Key})
}

func (k *kafka) alter(ctx context.Context, topic string, c kadm.AlterConfig) error {
	answers, err := k.admin.AlterTopicConfigs(ctx, []kadm.AlterConfig{c}, topic)
	if err == nil {
		_, err = answers.On(topic, func(r *kadm.AlterConfigsResponse) error { return r.Err })
	}
	if err != nil {
		return fmt.Errorf("setting %s of topic %q: %w", c.Name, topic, err)
	}
	return nil
}
