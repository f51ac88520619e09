package record

import (
	"bytes"
	"encoding/json"
	"fmt"
	"iter"
	"unicode/utf8"

	"github.com/redpanda-data/benthos/v4/public/service"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/shop-connect/shop-connect/internal/columns"
)

// Block is rows that travel a stream as one message. A Benthos message costs 1–3 µs whatever it holds,
// several times what a row costs to read, check and write; a block spreads that over all its rows.
//
// As the content of its message a block is the JSON array of its rows, so that components that know
// nothing of blocks see all of them; processor split_rows makes it a message a row.
type Block struct {
	// Records are in the order of their partition, where they come from Kafka. Those on their way to it
	// have no Topic yet, and nothing but Key and Value counts of them. Nobody changes a record of a block:
	// several outputs may have it in hand.
	Records []*kgo.Record
	// TopicID is the id of the topic that the records come from, as Kafka gave it when the topic was created, zero
	// where that is not known. A topic that is deleted and created again has another.
	TopicID [16]byte
}

// MetaEntityID is the metadata that holds the business key of a row that has not been in Kafka yet.
const MetaEntityID = "entity_id"

// fromKafka reports whether a record has a place in Kafka.
func fromKafka(r *kgo.Record) bool { return r.Topic != "" }

var _ json.Marshaler = (*Block)(nil)

// Message returns a message that is the block. What is done to its content takes the block away.
func (b *Block) Message() *service.Message {
	msg := service.NewMessage(nil)
	msg.SetStructured(b)
	return msg
}

// MarshalJSON renders the rows as an array. One that is not JSON becomes a string in it.
func (b *Block) MarshalJSON() ([]byte, error) {
	var array bytes.Buffer
	array.WriteByte('[')
	for i, r := range b.Records {
		if i > 0 {
			array.WriteByte(',')
		}
		row := r.Value
		if !json.Valid(row) {
			var err error
			if row, err = json.Marshal(text(row)); err != nil {
				return nil, fmt.Errorf("rendering row %d: %w", i, err)
			}
		}
		array.Write(row)
	}
	array.WriteByte(']')
	return array.Bytes(), nil
}

// text is what JSON can say of any bytes: text as itself, others in base64.
func text(row []byte) any {
	if utf8.Valid(row) {
		return string(row)
	}
	return row
}

// BlockOf returns the block that a message is, nil if it is a row by itself.
func BlockOf(msg *service.Message) *Block {
	if !msg.HasStructured() {
		return nil
	}
	content, err := msg.AsStructured()
	if err != nil {
		return nil
	}
	block, _ := content.(*Block)
	return block
}

// Row is one row of a batch, whether it came in a block or as a message of its own.
type Row struct {
	Value []byte
	// Position is the row's place in Kafka, where Placed says that it has one that can be trusted.
	Position columns.Position
	Placed   bool

	message *service.Message
	record  *kgo.Record
}

// Rows returns the rows of a batch in their order. It fails where a message has no bytes.
func Rows(batch service.MessageBatch) iter.Seq2[Row, error] {
	return func(yield func(Row, error) bool) {
		for _, msg := range batch {
			block := BlockOf(msg)
			if block == nil {
				value, err := msg.AsBytes()
				row := Row{Value: value, message: msg}
				row.Position, row.Placed = Position(msg)
				if !yield(row, err) || err != nil {
					return
				}
				continue
			}
			for _, r := range block.Records {
				row := Row{Value: r.Value, Placed: fromKafka(r), record: r}
				if row.Placed {
					row.Position = positionOf(r)
				}
				if !yield(row, nil) {
					return
				}
			}
		}
	}
}

// Count returns how many rows a batch has.
func Count(batch service.MessageBatch) (rows int) {
	for _, msg := range batch {
		if block := BlockOf(msg); block != nil {
			rows += len(block.Records)
		} else {
			rows++
		}
	}
	return rows
}

// Tombstone reports whether the row is a record without a value, which says that its key is gone.
func (r *Row) Tombstone() (key []byte, is bool) {
	if r.record == nil || r.record.Value != nil || !fromKafka(r.record) {
		return nil, false
	}
	return r.record.Key, true
}

// Forged reports whether the row pretends to a place in Kafka that is not its own.
func (r *Row) Forged() bool { return r.message != nil && Forged(r.message) }

// Message returns the row as a message of its own, with the metadata that the redpanda input gives one,
// or with MetaEntityID where it has not been in Kafka yet.
func (r *Row) Message() *service.Message {
	if r.record == nil {
		return r.message.Copy()
	}
	msg := service.NewMessage(r.Value)
	for _, h := range r.record.Headers {
		msg.MetaSetMut(h.Key, string(h.Value))
	}
	if !fromKafka(r.record) {
		msg.MetaSetMut(MetaEntityID, string(r.record.Key))
		return msg
	}
	// after the headers, so that none of them can pretend to be the row's place
	msg.MetaSetMut(metaKey, string(r.record.Key))
	msg.MetaSetMut(metaTopic, r.record.Topic)
	msg.MetaSetMut(metaPartition, int(r.record.Partition))
	msg.MetaSetMut(metaOffset, r.record.Offset)
	msg.MetaSetMut(metaTimestampMS, r.record.Timestamp.UnixMilli())
	return msg
}

func positionOf(r *kgo.Record) columns.Position {
	// milliseconds, as every way into the system measures them
	return columns.Position{Topic: r.Topic, Partition: r.Partition, Offset: r.Offset, Timestamp: r.Timestamp.UnixMilli() * 1000}
}
