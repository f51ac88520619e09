package provision

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/shop-connect/shop-connect/internal/env"
)

// topic is a Kafka topic as the streams need it. Its number of partitions is the number of replicas that
// can share its work; it is for good, since a key must stay in its partition.
type topic struct {
	name       string
	partitions int32
	compacted  bool // keeps the last event of each key for ever, and not all of them for a time
}

// Rejected is what the topic of set-aside records of a topic is called.
func Rejected(topic string) string { return topic + ".rejected" }

var topics = []topic{
	{name: "purchases", partitions: 6},
	{name: "products", partitions: 3, compacted: true},
	{name: "customers", partitions: 3, compacted: true},
	{name: "sellers", partitions: 3, compacted: true},
	{name: Rejected("purchases"), partitions: 1},
	{name: Rejected("products"), partitions: 1},
	{name: Rejected("customers"), partitions: 1},
	{name: Rejected("sellers"), partitions: 1},
}

const (
	brokerDefault = -1 // replication is the cluster's own business
	cleanupPolicy = "cleanup.policy"
)

func createTopics(ctx context.Context, vars map[string]string) error {
	client, err := kgo.NewClient(kgo.SeedBrokers(strings.Split(vars[env.KafkaBrokers], ",")...))
	if err != nil {
		return fmt.Errorf("reading %s: %w", env.KafkaBrokers, err)
	}
	defer client.Close()
	admin := kadm.NewClient(client)
	for _, t := range topics {
		if err := createTopic(ctx, admin, t); err != nil {
			return fmt.Errorf("topic %s: %w", t.name, err)
		}
	}
	return nil
}

func createTopic(ctx context.Context, admin *kadm.Client, t topic) error {
	var configs map[string]*string
	if t.compacted {
		configs = map[string]*string{cleanupPolicy: kadm.StringPtr("compact")}
	}
	_, err := admin.CreateTopic(ctx, t.partitions, brokerDefault, configs, t.name)
	if !errors.Is(err, kerr.TopicAlreadyExists) {
		return err
	}
	if !t.compacted {
		return nil
	}
	// A producer that came first made the topic with the cluster's defaults.
	answers, err := admin.AlterTopicConfigs(ctx, []kadm.AlterConfig{{Name: cleanupPolicy, Value: configs[cleanupPolicy]}}, t.name)
	if err != nil {
		return err
	}
	_, err = answers.On(t.name, func(r *kadm.AlterConfigsResponse) error { return r.Err })
	return err
}
