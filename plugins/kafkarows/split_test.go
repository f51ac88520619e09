package kafkarows

import (
	"testing"

	"github.com/redpanda-data/benthos/v4/public/service"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/shop-connect/shop-connect/internal/record"
)

func TestSplittingGivesAMessageARowInOneBatch(t *testing.T) {
	fromKafka := (&record.Block{Records: []*kgo.Record{{Topic: "purchases", Partition: 2, Offset: 7, Key: []byte("k"), Value: []byte("3")}}}).Message()
	alone := service.NewMessage([]byte("4"))
	split, err := splitter{}.ProcessBatch(t.Context(), service.MessageBatch{rowsBlock("1", "2"), fromKafka, alone})
	if err != nil || len(split) != 1 || len(split[0]) != 4 {
		t.Fatalf("%v, %v", split, err)
	}
	for i, want := range []struct{ value, meta, key string }{
		{"1", record.MetaEntityID, "k-0"}, {"2", record.MetaEntityID, "k-1"}, {"3", "kafka_key", "k"}, {"4", record.MetaEntityID, ""},
	} {
		value, err := split[0][i].AsBytes()
		if key, _ := split[0][i].MetaGet(want.meta); err != nil || string(value) != want.value || key != want.key {
			t.Errorf("row %d is %s with %s %q, %v", i, value, want.meta, key, err)
		}
	}
	if pos, ok := record.Position(split[0][2]); !ok || pos.Offset != 7 || pos.Partition != 2 {
		t.Errorf("position %+v, %v", pos, ok)
	}
	if empty, err := (splitter{}).ProcessBatch(t.Context(), service.MessageBatch{rowsBlock()}); err != nil || len(empty) != 0 {
		t.Errorf("of no rows it makes %v, %v", empty, err)
	}
}
