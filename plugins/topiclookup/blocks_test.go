package topiclookup_test

import (
	"testing"

	"github.com/redpanda-data/benthos/v4/public/service"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/shop-connect/shop-connect/internal/record"
)

func TestRowsOfABlockAreJoinedAndKeepTheirPlace(t *testing.T) {
	addr, produce := startKafka(t)
	produce("7", pen)
	original := &kgo.Record{Topic: "purchases", Partition: 2, Offset: 5, Value: []byte(`{"product_id":"7"}`)}
	block := &record.Block{Records: []*kgo.Record{original, {Topic: "purchases", Partition: 2, Offset: 6, Value: []byte("not JSON")}}}
	batch := newBatchStream(t, addr)(service.MessageBatch{block.Message(), service.NewMessage([]byte(`{"product_id":"8"}`))})
	var got []string
	for row, err := range record.Rows(batch) {
		if err != nil {
			t.Fatal(err)
		}
		if i := len(got); i < 2 && (!row.Placed || row.Position.Offset != int64(5+i)) {
			t.Errorf("row %d is at %+v", i, row.Position)
		}
		got = append(got, string(row.Value))
	}
	check(t, got, `{"product_id":"7","product_category":"office","product_name":"pen \"fine\""}`, "not JSON", `{"product_id":"8",`+nothing+`}`)
	if string(original.Value) != `{"product_id":"7"}` {
		t.Errorf("the record that others may hold is now %s", original.Value)
	}
}
