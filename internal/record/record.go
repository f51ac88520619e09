// Package record is how Kafka records travel a stream: one by one as messages of the redpanda input, or
// many as one message, a Block; and what is known of their place in Kafka.
package record

import (
	"slices"
	"strconv"

	"github.com/redpanda-data/benthos/v4/public/service"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/shop-connect/shop-connect/internal/columns"
)

// The metadata that the redpanda input gives every message.
const (
	metaTopic       = "kafka_topic"
	metaPartition   = "kafka_partition"
	metaOffset      = "kafka_offset"
	metaTimestampMS = "kafka_timestamp_ms"
	metaKey         = "kafka_key"
	// metaHeaders lists the record's headers, where it has any.
	metaHeaders = "__rpcn_kafka_headers"
)

// Position returns a message's place in Kafka; ok is false for a message that comes from elsewhere, and
// for one whose place is not to be trusted: the input writes a record's headers over its own metadata, so
// a producer that names a header kafka_offset chooses what the offset seems to be.
func Position(msg *service.Message) (pos columns.Position, ok bool) {
	topic, found := msg.MetaGetImmut(metaTopic)
	if !found || Forged(msg) {
		return pos, false
	}
	if pos.Topic, ok = topic.(string); !ok {
		return pos, false
	}
	partition, ok1 := integer(msg, metaPartition)
	offset, ok2 := integer(msg, metaOffset)
	millis, _ := integer(msg, metaTimestampMS)
	pos.Partition, pos.Offset, pos.Timestamp = int32(partition), offset, millis*1000
	return pos, ok1 && ok2
}

// Forged reports whether a record has headers that pretend to be its place in Kafka.
func Forged(msg *service.Message) bool {
	list, _ := msg.MetaGetImmut(metaHeaders)
	headers, _ := list.([]kgo.RecordHeader)
	return slices.ContainsFunc(headers, func(h kgo.RecordHeader) bool {
		switch h.Key {
		case metaTopic, metaPartition, metaOffset, metaTimestampMS:
			return true
		}
		return false
	})
}

// integer reads a number that the input set, or that a mapping or a stream test wrote as text.
func integer(msg *service.Message, key string) (int64, bool) {
	v, found := msg.MetaGetImmut(key)
	if !found {
		return 0, false
	}
	switch v := v.(type) {
	case int:
		return int64(v), true
	case int64:
		return v, true
	case string:
		n, err := strconv.ParseInt(v, 10, 64)
		return n, err == nil
	case float64:
		return int64(v), float64(int64(v)) == v
	}
	return 0, false
}
