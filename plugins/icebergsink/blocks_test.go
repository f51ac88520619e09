package icebergsink

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
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

func blockOf(id [16]byte, from int, rows ...string) service.MessageBatch {
	block := &record.Block{TopicID: id}
	for i, row := range rows {
		block.Records = append(block.Records, &kgo.Record{
			Topic: "purchases", Offset: int64(from + i), Timestamp: time.UnixMilli(1_750_000_000_000 + int64(from+i)), Value: []byte(row),
		})
	}
	return service.MessageBatch{block.Message()}
}

func TestATopicThatWasCreatedAgainIsKnownByItsID(t *testing.T) {
	first, second := [16]byte{1}, [16]byte{2}
	s := newShop(t)
	write(t, s.sink(), 0, purchases(0, 5)...) // by an input that knows no ids
	out := s.sink()
	if err := out.WriteBatch(t.Context(), blockOf(first, 5, purchases(5, 10)...)); err != nil {
		t.Fatal(err)
	}
	// The stream was away: the topic is new, and longer already than the old one was.
	again := s.sink()
	if err := again.WriteBatch(t.Context(), blockOf(second, 10, purchases(10, 20)...)); err == nil {
		t.Fatal("records of another topic of the same name were taken in")
	}
	err := again.Connect(t.Context())
	for _, want := range []string{`topic "purchases"`, "created again", uuid.UUID(first).String(), "accept_topics: [" + uuid.UUID(second).String() + "]"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v does not say %q", err, want)
		}
	}
	if n := len(s.rows(out)); n != 10 {
		t.Errorf("%d rows, want 10", n)
	}

	// Somebody means it: all of the new topic counts, whatever offsets the old one had.
	s.yaml = "accept_topics: [" + uuid.UUID(second).String() + "]"
	accepting := s.sink()
	if err := accepting.WriteBatch(t.Context(), blockOf(second, 0, append(purchases(10, 20), purchase("p-3", "9", "2024-02-01"))...)); err != nil {
		t.Fatal(err)
	}
	rows := s.rows(accepting)
	if len(rows) != 20 || rows["p-3"] != "9.00 2024-02-01" {
		t.Errorf("%d rows, want 20, and p-3 is %q", len(rows), rows["p-3"])
	}
	// The table knows it from now on, and a redelivery as such.
	s.yaml = ""
	later := s.sink()
	if err := later.WriteBatch(t.Context(), blockOf(second, 0, purchases(10, 20)...)); err != nil {
		t.Fatal(err)
	}
	if taken := later.offsets["purchases"][0]; taken.end() != 11 {
		t.Errorf("taken in %v, want 0 to 11", taken.spans)
	}
	// A writer that has not noticed is stopped as well.
	if err := out.WriteBatch(t.Context(), blockOf(first, 10, purchases(30, 31)...)); err == nil {
		t.Error("records of the old topic were taken in")
	}
}
