package icebergsink

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/redpanda-data/benthos/v4/public/service"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/shop-connect/shop-connect/internal/record"
)

func TestRowsInBlocksAreTheRowsThatMessagesAre(t *testing.T) {
	s := newShop(t)
	out := s.sink()
	rows := []string{purchase("p-1", "2.55", "2024-01-01"), purchase("p-2", "2.55", "2024-01-02"), "not JSON", purchase("p-1", "3", "2024-01-03"), deletion("p-2")}
	block := &record.Block{}
	for i, row := range rows {
		block.Records = append(block.Records, &kgo.Record{
			Topic: "purchases", Offset: int64(i), Timestamp: time.UnixMilli(1_750_000_000_000 + int64(i)), Key: []byte("k"), Value: []byte(row),
		})
	}
	batch := service.MessageBatch{block.Message(), message("purchases", 1, 0, 1_750_000_000_000, purchase("p-3", "1", "2024-01-01"))}
	if err := out.WriteBatch(context.Background(), batch); err != nil {
		t.Fatal(err)
	}
	want := map[string]string{"p-1": "3.00 2024-01-03", "p-3": "1.00 2024-01-01"}
	s.expect(out, want)
	refused := s.refused()
	if len(refused) != 1 || !strings.Contains(reasons(refused[0]), "json") {
		t.Fatalf("refused: %v", refused)
	}
	if offset, _ := refused[0].MetaGet("kafka_offset"); offset != "2" {
		t.Errorf("the refused row is at offset %q", offset)
	}
	// redelivered as messages of the redpanda input: nothing is new
	write(t, out, 0, rows...)
	s.expect(out, want)
}
