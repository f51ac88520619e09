package provision

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/shop-connect/shop-connect/internal/env"
)

// Topic is a Kafka topic as the streams need it. Its number of partitions is the number of replicas that
// can share its work; it is for good, since a key must stay in its partition.
type Topic struct {
	Name       string
	Partitions int32
	Config     map[string]string
}

var (
	// erasable keeps the last event of each key for ever, and those before it for some days at most: what an
	// erased person was is behind a tombstone.
	erasable = map[string]string{"cleanup.policy": "compact", "max.compaction.lag.ms": day, "segment.ms": day, "delete.retention.ms": day}
	// versioned keeps, besides, every event for a time, so that a purchase that comes late is joined with what
	// was true when it was made. Customers are not among them: what is erased of one must go at once.
	versioned = map[string]string{"cleanup.policy": "compact", "min.compaction.lag.ms": strconv.FormatInt((31 * 24 * time.Hour).Milliseconds(), 10)}
	// roomy has room for a record of the largest size that other topics take, with the reasons why it was
	// refused on top: what cannot be set aside would stop its stream (I4).
	roomy = map[string]string{"max.message.bytes": strconv.Itoa(8 << 20), "segment.ms": day}
)

// day is the milliseconds of one.
const day = "86400000"

// Rejected is what the topic of set-aside records of a topic is called.
func Rejected(topic string) string { return topic + ".rejected" }

var topics = []Topic{
	{Name: "purchases", Partitions: 6},
	{Name: "products", Partitions: 3, Config: versioned},
	{Name: "customers", Partitions: 3, Config: erasable},
	{Name: "sellers", Partitions: 3, Config: versioned},
	{Name: Rejected("purchases"), Partitions: 1, Config: roomy},
	{Name: Rejected("products"), Partitions: 1, Config: roomy},
	{Name: Rejected("customers"), Partitions: 1, Config: roomy},
	{Name: Rejected("sellers"), Partitions: 1, Config: roomy},
}

// Topics are those that the streams need.
func Topics() []Topic { return slices.Clone(topics) }

// brokerDefault leaves replication to the cluster.
const brokerDefault = -1

func createTopics(ctx context.Context, vars map[string]string) error {
	client, err := kgo.NewClient(kgo.SeedBrokers(strings.Split(vars[env.KafkaBrokers], ",")...))
	if err != nil {
		return fmt.Errorf("reading %s: %w", env.KafkaBrokers, err)
	}
	defer client.Close()
	admin := kadm.NewClient(client)
	for _, t := range topics {
		if err := createTopic(ctx, admin, t); err != nil {
			return fmt.Errorf("topic %s: %w", t.Name, err)
		}
	}
	return nil
}

func createTopic(ctx context.Context, admin *kadm.Client, t Topic) error {
	configs := make(map[string]*string, len(t.Config))
	var changes []kadm.AlterConfig
	for name, value := range t.Config {
		configs[name] = &value
		changes = append(changes, kadm.AlterConfig{Name: name, Value: &value})
	}
	_, err := admin.CreateTopic(ctx, t.Partitions, brokerDefault, configs, t.Name)
	switch {
	case !errors.Is(err, kerr.TopicAlreadyExists):
		return err
	case len(changes) == 0:
		return nil
	}
	// a producer that came first, or an earlier version, made the topic with other settings
	answers, err := admin.AlterTopicConfigs(ctx, changes, t.Name)
	if err != nil {
		return err
	}
	_, err = answers.On(t.Name, func(r *kadm.AlterConfigsResponse) error { return r.Err })
	return err
}
