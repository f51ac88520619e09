package record_test

import (
	"testing"

	"github.com/redpanda-data/benthos/v4/public/service"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/shop-connect/shop-connect/internal/columns"
	"github.com/shop-connect/shop-connect/internal/record"
)

// fromKafka makes a message as the redpanda input does: its own metadata, then the headers over it.
func fromKafka(headers ...kgo.RecordHeader) *service.Message {
	msg := service.NewMessage(nil)
	msg.MetaSetMut("kafka_topic", "purchases")
	msg.MetaSetMut("kafka_partition", 3)
	msg.MetaSetMut("kafka_offset", 41)
	msg.MetaSetMut("kafka_timestamp_ms", int64(1_700_000_000_000))
	for _, h := range headers {
		msg.MetaSetMut(h.Key, string(h.Value))
	}
	if len(headers) > 0 {
		msg.MetaSetMut("__rpcn_kafka_headers", headers)
	}
	return msg
}

func TestAMessageKnowsItsPlaceInKafka(t *testing.T) {
	want := columns.Position{Topic: "purchases", Partition: 3, Offset: 41, Timestamp: 1_700_000_000_000_000}
	for _, msg := range []*service.Message{fromKafka(), fromKafka(kgo.RecordHeader{Key: "trace", Value: []byte("1")})} {
		if pos, ok := record.Position(msg); !ok || pos != want {
			t.Errorf("position %+v, %v", pos, ok)
		}
	}
}

func TestAPlaceFromElsewhereIsNone(t *testing.T) {
	if _, ok := record.Position(service.NewMessage(nil)); ok {
		t.Error("a message that was never in Kafka has a place in it")
	}
	for _, name := range []string{"kafka_topic", "kafka_partition", "kafka_offset", "kafka_timestamp_ms"} {
		if pos, ok := record.Position(fromKafka(kgo.RecordHeader{Key: name, Value: []byte("7")})); ok {
			t.Errorf("a header %s made the place %+v", name, pos)
		}
	}
}
