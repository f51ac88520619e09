package record_test

import (
	"slices"
	"testing"
	"time"

	"github.com/redpanda-data/benthos/v4/public/service"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/shop-connect/shop-connect/internal/columns"
	"github.com/shop-connect/shop-connect/internal/record"
)

func block(values ...string) *record.Block {
	b := &record.Block{}
	for i, value := range values {
		b.Records = append(b.Records, &kgo.Record{
			Topic: "purchases", Partition: 3, Offset: int64(41 + i), Timestamp: time.UnixMilli(1_700_000_000_000),
			Key: []byte("k"), Value: []byte(value), Headers: []kgo.RecordHeader{{Key: "kafka_offset", Value: []byte("7")}},
		})
	}
	return b
}

func TestRowsOfABatchComeInOrderWhetherInBlocksOrAlone(t *testing.T) {
	batch := service.MessageBatch{block("1", "2").Message(), service.NewMessage([]byte("3")), block("4").Message()}
	var values []string
	var placed []bool
	for row, err := range record.Rows(batch) {
		if err != nil {
			t.Fatal(err)
		}
		values, placed = append(values, string(row.Value)), append(placed, row.Placed)
	}
	if !slices.Equal(values, []string{"1", "2", "3", "4"}) || !slices.Equal(placed, []bool{true, true, false, true}) {
		t.Errorf("rows %q, placed %v", values, placed)
	}
	if n := record.Count(batch); n != 4 {
		t.Errorf("%d rows", n)
	}
}

func TestARowOfABlockKnowsItsPlaceWhateverItsHeadersSay(t *testing.T) {
	want := columns.Position{Topic: "purchases", Partition: 3, Offset: 41, Timestamp: 1_700_000_000_000_000}
	for row, err := range record.Rows(service.MessageBatch{block("{}").Message()}) {
		if err != nil || row.Position != want {
			t.Fatalf("position %+v, %v", row.Position, err)
		}
		msg := row.Message()
		if pos, ok := record.Position(msg); !ok || pos != want {
			t.Errorf("as a message of its own it is at %+v, %v", pos, ok)
		}
		if key, _ := msg.MetaGet("kafka_key"); key != "k" {
			t.Errorf("its key is %q", key)
		}
	}
}

func TestARowOnItsWayToKafkaHasNoPlaceThere(t *testing.T) {
	b := &record.Block{Records: []*kgo.Record{{Key: []byte("p-1"), Value: []byte("{}")}}}
	for row, err := range record.Rows(service.MessageBatch{b.Message()}) {
		if err != nil || row.Placed {
			t.Fatalf("row %+v, %v", row, err)
		}
		msg := row.Message()
		if _, ok := record.Position(msg); ok {
			t.Error("as a message of its own it has a place")
		}
		if id, _ := msg.MetaGet(record.MetaEntityID); id != "p-1" {
			t.Errorf("its id is %q", id)
		}
	}
}

func TestABlockIsTheArrayOfItsRowsToWhoeverKnowsNoBlocks(t *testing.T) {
	content, err := block(`{"a": 1}`, "not JSON", "\xff").Message().AsBytes()
	if want := `[{"a":1},"not JSON","/w=="]`; err != nil || string(content) != want {
		t.Errorf("content %s, %v; want %s", content, err, want)
	}
}

func TestAMappedBlockIsAMessageLikeOthers(t *testing.T) {
	msg := block("1", "2").Message()
	msg.SetBytes([]byte("{}"))
	if record.BlockOf(msg) != nil {
		t.Error("a message whose content was replaced is still the block")
	}
}
