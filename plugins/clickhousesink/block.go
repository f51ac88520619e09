package clickhousesink

import (
	"encoding/binary"
	"maps"
	"slices"

	"github.com/ClickHouse/ch-go/proto"

	"github.com/shop-connect/shop-connect/internal/clock"
	"github.com/shop-connect/shop-connect/internal/columns"
	"github.com/shop-connect/shop-connect/internal/contract"
)

// block encodes columns in ClickHouse's Native format: the counts of columns and rows, then of each column
// its name, its type and its values. The column buffers of a batch have nearly that layout, so a
// block costs little more than a copy. The bytes are valid until the next block.
type block struct{ buf proto.Buffer }

func (b *block) begin(columns, rows int) {
	b.buf.Reset()
	b.buf.PutInt(columns)
	b.buf.PutInt(rows)
}

func (b *block) column(name, wire string) {
	b.buf.PutString(name)
	b.buf.PutString(wire)
}

// rows encodes a batch with its cancellations behind it, in the order of columns of tables.insertRows.
func (b *block) rows(batch *columns.Batch, nullable []bool, cfg *config, cancels []cancel) []byte {
	fields := batch.Contract.Fields
	count := len(fields) + 2
	for _, column := range []string{cfg.dayColumn, cfg.hourColumn, cfg.sliceColumn} {
		if column != "" {
			count++
		}
	}
	b.begin(count, batch.Len+len(cancels))
	for i := range fields {
		b.field(&fields[i], &batch.Columns[i], nullable[i], i == batch.Contract.Key, cancels)
	}
	if cfg.dayColumn != "" {
		b.column(cfg.dayColumn, typeDate)
		b.int32s(batch.Day)
		for _, c := range cancels {
			b.buf.PutInt32(c.day)
		}
	}
	if cfg.hourColumn != "" {
		b.column(cfg.hourColumn, typeUInt8)
		for _, at := range batch.Columns[batch.Contract.EventTime].Int {
			b.buf.PutByte(clock.Hour(at, cfg.shop)) // I6
		}
		for range cancels {
			b.buf.PutByte(0)
		}
	}
	if cfg.sliceColumn != "" {
		b.column(cfg.sliceColumn, typeUInt32)
		for row := range batch.Len {
			b.buf.PutUInt32(cfg.rowPlace(batch, row).slice)
		}
		for _, c := range cancels {
			b.buf.PutUInt32(c.slice)
		}
	}
	b.column(columnVersion, typeUInt64)
	b.versions(batch)
	for _, c := range cancels {
		b.buf.PutUInt64(c.version)
	}
	b.column(columnDeleted, typeUInt8)
	b.bools(batch.Deleted)
	for range cancels {
		b.buf.PutByte(1)
	}
	return b.buf.Buf
}

// field encodes a column of the contract; of a cancellation only the key has a value.
func (b *block) field(field *contract.Field, column *columns.Column, nullable, key bool, cancels []cancel) {
	wire := wireTypes[field.Type]
	if nullable {
		wire = "Nullable(" + wire + ")"
	}
	b.column(field.Name, wire)
	if nullable {
		b.bools(column.Null)
		for range cancels {
			b.buf.PutBool(!key)
		}
	}
	switch field.Type {
	case contract.String:
		b.texts(&column.Text, len(column.Null))
		for _, c := range cancels {
			if !key {
				c.key = ""
			}
			b.buf.PutString(c.key)
		}
	case contract.Date:
		for _, v := range column.Int {
			b.buf.PutInt32(int32(v))
		}
		for range cancels {
			b.buf.PutInt32(0)
		}
	case contract.Bool:
		for _, v := range column.Int {
			b.buf.PutByte(byte(v))
		}
		for range cancels {
			b.buf.PutByte(0)
		}
	default:
		b.int64s(column.Int)
		for range cancels {
			b.buf.PutInt64(0)
		}
	}
}

// index encodes a batch for the day index, in the order of columns of tables.insertIndex.
func (b *block) index(batch *columns.Batch, seenAt int64) []byte {
	key := batch.Contract.Key
	b.begin(4, batch.Len)
	b.column(batch.Contract.Fields[key].Name, typeString)
	b.texts(&batch.Columns[key].Text, batch.Len)
	b.column(columnIndexDay, typeDate)
	b.int32s(batch.Day)
	b.column(columnVersion, typeUInt64)
	b.versions(batch)
	b.column(columnIndexSeen, typeNanos)
	for range batch.Len {
		b.buf.PutInt64(seenAt)
	}
	return b.buf.Buf
}

// places encodes a set of places, in the order of columns of tables.insertDays.
func (b *block) places(places map[place]struct{}, sliced bool) []byte {
	at := slices.Collect(maps.Keys(places))
	if !sliced {
		b.begin(1, len(at))
	} else {
		b.begin(2, len(at))
	}
	b.column(columnIndexDay, typeDate)
	for _, p := range at {
		b.buf.PutInt32(p.day)
	}
	if sliced {
		b.column(columnSlice, typeUInt32)
		for _, p := range at {
			b.buf.PutUInt32(p.slice)
		}
	}
	return b.buf.Buf
}

func (b *block) versions(batch *columns.Batch) {
	for row := range batch.Len {
		b.buf.PutUInt64(rowVersion(batch, row))
	}
}

// rowVersion makes the later event of a key the higher version, and leaves the one above it to a
// cancellation: offsets grow along a partition, and all events of one key are in one.
func rowVersion(batch *columns.Batch, row int) uint64 { return 2 * uint64(batch.Position[row].Offset) }

func (b *block) texts(text *columns.Text, n int) {
	for i := range n {
		value := text.At(i)
		b.buf.Buf = append(binary.AppendUvarint(b.buf.Buf, uint64(len(value))), value...)
	}
}

func (b *block) int64s(values []int64) {
	for _, v := range values {
		b.buf.Buf = binary.LittleEndian.AppendUint64(b.buf.Buf, uint64(v))
	}
}

func (b *block) int32s(values []int32) {
	for _, v := range values {
		b.buf.Buf = binary.LittleEndian.AppendUint32(b.buf.Buf, uint32(v))
	}
}

func (b *block) bools(values []bool) {
	for _, v := range values {
		b.buf.PutBool(v)
	}
}
