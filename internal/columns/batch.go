// Package columns turns rows that are JSON bytes into columns, once, where a sink needs them.
//
// A record stays the bytes it came as on its whole way through a stream; a sink decodes a batch by
// its contract straight into the buffers that its library writes from.
package columns

import (
	"strconv"
	"time"

	"github.com/shop-connect/shop-connect/internal/clock"
	"github.com/shop-connect/shop-connect/internal/contract"
)

// Position is a record's place in Kafka. The zero value stands for a row that was never there.
type Position struct {
	Topic     string
	Partition int32
	Offset    int64
	// Timestamp is the record's own time, in microseconds since 1970 UTC.
	Timestamp int64
}

// AppendDerivedID writes the id of a record that came without one: its place in Kafka, so that a
// redelivery of the record is the same row (I3).
func AppendDerivedID(b []byte, pos Position) []byte {
	b = append(append(b, pos.Topic...), '-')
	b = append(strconv.AppendInt(b, int64(pos.Partition), 10), '-')
	return strconv.AppendInt(b, pos.Offset, 10)
}

// Column holds the values of one field. String fields use Text, all others Int, in the
// representation that contract.Type names. Null is true where a row has no value; Int holds 0 and
// Text an empty string there.
type Column struct {
	Null  []bool
	Nulls int
	Int   []int64
	Text  Text
}

// Text is a column of strings: value i is Data[Offsets[i]:Offsets[i+1]], the layout of Arrow.
type Text struct {
	Offsets []int32
	Data    []byte
}

// At returns value i without copying it.
func (t *Text) At(i int) []byte { return t.Data[t.Offsets[i]:t.Offsets[i+1]] }

// Batch is a number of rows of one contract, as columns.
type Batch struct {
	Contract *contract.Contract
	Len      int
	// Columns holds one column per field of the contract, in its order.
	Columns []Column
	// Deleted marks the rows that say an id is gone; of their fields only the key is sure to be there.
	Deleted []bool
	// Day is the business day of each row, in days since 1970: of its event time, or of its Kafka
	// timestamp where a deletion carries no time of its own.
	Day []int32
	// Position is where each row came from.
	Position []Position
	// Source is the index that the caller gave each row.
	Source []int
}

// NewBatch makes an empty batch with room for a number of rows.
func NewBatch(c *contract.Contract, capacity int) *Batch {
	b := &Batch{
		Contract: c, Columns: make([]Column, len(c.Fields)),
		Deleted: make([]bool, 0, capacity), Day: make([]int32, 0, capacity),
		Position: make([]Position, 0, capacity), Source: make([]int, 0, capacity),
	}
	for i := range b.Columns {
		col := &b.Columns[i]
		col.Null = make([]bool, 0, capacity)
		if c.Fields[i].Type == contract.String {
			col.Text.Offsets = append(make([]int32, 0, capacity+1), 0)
			col.Text.Data = make([]byte, 0, capacity*16)
		} else {
			col.Int = make([]int64, 0, capacity)
		}
	}
	return b
}

// Reset empties the batch and keeps its memory.
func (b *Batch) Reset() {
	b.Len = 0
	b.Deleted, b.Day = b.Deleted[:0], b.Day[:0]
	b.Position, b.Source = b.Position[:0], b.Source[:0]
	for i := range b.Columns {
		col := &b.Columns[i]
		col.Null, col.Nulls, col.Int = col.Null[:0], 0, col.Int[:0]
		if col.Text.Offsets != nil {
			col.Text.Offsets, col.Text.Data = col.Text.Offsets[:1], col.Text.Data[:0]
		}
	}
}

// Key returns the business key of a row without copying it.
func (b *Batch) Key(row int) []byte { return b.Columns[b.Contract.Key].Text.At(row) }

func (b *Batch) day(eventTime int64, hasTime bool, pos Position, shop *time.Location) int32 {
	if hasTime {
		return clock.Day(eventTime, shop)
	}
	return clock.Day(pos.Timestamp, shop)
}
