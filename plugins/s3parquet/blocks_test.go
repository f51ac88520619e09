package s3parquet_test

import (
	"slices"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/shop-connect/shop-connect/internal/record"
)

func TestBlocksOfRowsMakeTheObjectsThatMessagesMake(t *testing.T) {
	s, bucket := newBucket(t)
	out := raw(t, s, bucket)
	values := []string{purchase("a", "2023-11-09"), "not JSON", purchase("b", "2023-11-09")}
	block := &record.Block{}
	for i, value := range values {
		block.Records = append(block.Records, &kgo.Record{Topic: "purchases", Offset: int64(40 + i), Timestamp: kafkaTime, Value: []byte(value)})
	}
	write(t, out, block.Message(), sent(1, 7, purchase("c", "2023-11-09")))
	objects := s.objects(t, bucket)
	if got := offsets(t, objects["purchases/purchase_date=2023-11-09/purchases-0-40.parquet"]); !slices.Equal(got, []int64{40, 42}) {
		t.Errorf("the block's rows are at %v of %q", got, keys(objects))
	}
	if got := offsets(t, objects["purchases/purchase_date=2023-11-09/purchases-1-7.parquet"]); !slices.Equal(got, []int64{7}) {
		t.Errorf("the message beside it is at %v", got)
	}
	refused := refusedOf(bucket)
	if len(refused) != 1 {
		t.Fatalf("%d rows are refused", len(refused))
	}
	if content, _ := refused[0].AsBytes(); string(content) != "not JSON" {
		t.Errorf("refused is %q", content)
	}
	if offset, _ := refused[0].MetaGet("kafka_offset"); offset != "41" {
		t.Errorf("the refused row is at offset %q", offset)
	}
}
