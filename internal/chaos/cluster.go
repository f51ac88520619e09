package chaos

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/shop-connect/shop-connect/internal/env"
	"github.com/shop-connect/shop-connect/internal/provision"
	"github.com/shop-connect/shop-connect/internal/reconcile"
)

// refuseOthersData makes sure that a cluster holds no purchases: all that is in it is compared with what this
// run sends, and what this run sends would stay among somebody's sales.
func (w *world) refuseOthersData(ctx context.Context) error {
	if err := provision.All(ctx, w.vars); err != nil {
		return err
	}
	client, err := kgo.NewClient(kgo.SeedBrokers(strings.Split(w.vars[env.KafkaBrokers], ",")...))
	if err != nil {
		return fmt.Errorf("reading %s: %w", env.KafkaBrokers, err)
	}
	defer client.Close()
	var faults []error
	ends, err := kadm.NewClient(client).ListEndOffsets(ctx, topicPurchases, rejectedTopic())
	if err != nil {
		return fmt.Errorf("asking Kafka for its ends: %w", err)
	}
	ends.Each(func(o kadm.ListedOffset) {
		if o.Offset > 0 {
			faults = append(faults, fmt.Errorf("topic %s, partition %d, has had %d records", o.Topic, o.Partition, o.Offset))
		}
	})
	layers, err := reconcile.Count(ctx, w.vars)
	if err != nil {
		return err
	}
	for layer, rows := range map[string]int64{
		"RAW": layers.Raw.Rows, "STAGE": layers.Stage.Rows, "ClickHouse": layers.ClickHouse.Rows, "Iceberg": layers.Iceberg.Rows,
	} {
		if rows > 0 {
			faults = append(faults, fmt.Errorf("%s holds %d purchases", layer, rows))
		}
	}
	if len(faults) > 0 {
		return fmt.Errorf("chaos needs a cluster without purchases, and this one has some: %w", errors.Join(faults...))
	}
	return nil
}
