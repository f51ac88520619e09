package app

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/shop-connect/shop-connect/api"
	"github.com/shop-connect/shop-connect/internal/store"
)

// rawGroupSuffix ends the name of the consumer group that brings the topic of an entity to RAW.
const rawGroupSuffix = "-raw"

// pendingOf counts what waits before each layer.
func pendingOf(ledger *store.Store, kafka *kgo.Client, entities []string) func(context.Context) (api.Pending, error) {
	return func(ctx context.Context) (p api.Pending, err error) {
		if p.OutboxEvents, _, err = ledger.OutboxLeft(ctx, math.MaxInt64); err != nil {
			return p, err
		}
		if p.RawObjects, err = ledger.CountPendingRaw(ctx, rawBucket); err != nil {
			return p, err
		}
		p.KafkaRecords, err = beforeRaw(ctx, kadm.NewClient(kafka), entities)
		return p, err
	}
}

// beforeRaw returns how many records of the topics their groups have not committed. Of a topic that no
// group has read, that is all of them.
func beforeRaw(ctx context.Context, kafka *kadm.Client, entities []string) (records int64, err error) {
	there, err := kafka.ListTopics(ctx)
	if err != nil {
		return 0, fmt.Errorf("asking Kafka for its topics: %w", err)
	}
	// not every contract is of what comes in through a topic
	entities = slices.DeleteFunc(slices.Clone(entities), func(entity string) bool { return !there.Has(entity) })
	if len(entities) == 0 {
		return 0, nil
	}
	begins, err := kafka.ListStartOffsets(ctx, entities...)
	if err != nil {
		return 0, fmt.Errorf("asking Kafka for the beginnings of topics: %w", err)
	}
	ends, err := kafka.ListEndOffsets(ctx, entities...)
	if err != nil {
		return 0, fmt.Errorf("asking Kafka for the ends of topics: %w", err)
	}
	for _, entity := range entities {
		committed, err := kafka.FetchOffsets(ctx, entity+rawGroupSuffix)
		if err != nil && !errors.Is(err, kerr.GroupIDNotFound) {
			return 0, fmt.Errorf("asking Kafka for the offsets of %s: %w", entity+rawGroupSuffix, err)
		}
		for partition, end := range ends[entity] {
			if end.Err != nil {
				return 0, fmt.Errorf("asking Kafka for the end of %s: %w", entity, end.Err)
			}
			at := begins[entity][partition].Offset
			if c, known := committed.Lookup(entity, partition); known {
				at = max(at, c.At)
			}
			records += max(0, end.Offset-at)
		}
	}
	return records, nil
}
