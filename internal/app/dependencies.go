package app

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/minio/minio-go/v7"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/shop-connect/shop-connect/api"
	"github.com/shop-connect/shop-connect/internal/env"
	"github.com/shop-connect/shop-connect/internal/objectstore"
)

// rejectedSuffix ends the name of the topic of an entity's refused rows.
const rejectedSuffix = ".rejected"

// openObjects connects to nothing yet.
func openObjects(vars map[string]string) (*minio.Client, error) {
	return objectstore.Config{
		Endpoint: vars[env.S3Endpoint], Region: vars[env.S3Region], AccessKey: vars[env.S3AccessKey], SecretKey: vars[env.S3SecretKey],
	}.Client()
}

// rawBucket is the bucket of RAW.
const rawBucket = "shop-raw-data"

// pingObjects asks for a bucket that every stream of the lake writes to.
func pingObjects(objects *minio.Client) api.Check {
	return func(ctx context.Context) error {
		there, err := objects.BucketExists(ctx, rawBucket)
		if err == nil && !there {
			err = fmt.Errorf("there is no bucket %s; `shop-connect provision` makes it", rawBucket)
		}
		return err
	}
}

// lagOf asks Kafka how far each consumer group of the shop's topics is behind them. Others that share
// the brokers are not the shop's.
func lagOf(kafka *kgo.Client, entities []string) func(context.Context) ([]api.StreamLag, error) {
	ours := func(topic string) bool { return slices.Contains(entities, strings.TrimSuffix(topic, rejectedSuffix)) }
	return func(ctx context.Context) ([]api.StreamLag, error) {
		groups, err := kadm.NewClient(kafka).Lag(ctx)
		if err != nil {
			return nil, fmt.Errorf("asking Kafka for the lag of consumer groups: %w", err)
		}
		var found []api.StreamLag
		for _, name := range slices.Sorted(maps.Keys(groups)) {
			group := groups[name]
			if err := group.Error(); err != nil {
				return nil, fmt.Errorf("asking Kafka for the lag of %s: %w", name, err)
			}
			for _, topic := range group.Lag.TotalByTopic().Sorted() {
				if ours(topic.Topic) {
					found = append(found, api.StreamLag{Group: name, State: group.State, Topic: topic.Topic, Lag: topic.Lag})
				}
			}
		}
		return found, nil
	}
}
