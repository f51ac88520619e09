package jwthttp

import (
	"bufio"
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"slices"
	"strconv"
	"time"

	"github.com/google/uuid"

	"github.com/shop-connect/shop-connect/internal/clock"
	"github.com/shop-connect/shop-connect/internal/columns"
	"github.com/shop-connect/shop-connect/internal/contract"
)

// filler adds to a row what the contract has a value for when the client leaves it out.
type filler struct {
	fields []contract.Field
	key    int
	gaps   []gap
	names  map[string]bool // of the fields with a gap

	added int // bytes that all gaps together add at most
	now   []byte
	arena []byte
	// random is read many ids at a time: the kernel is slower than all the rest of an id.
	random *bufio.Reader
}

// gap is a field that is filled, with the bytes that go before its value.
type gap struct {
	field  int
	kind   contract.Missing
	prefix []byte
}

// maxValue is the length of the longest value that is added, a UUID.
const maxValue = 36

// Rows that are completed share arenas that grow up to this size.
const maxArena = 64 << 10

func newFiller(c *contract.Contract) filler {
	f := filler{fields: c.Fields, key: c.Key, names: map[string]bool{}, random: bufio.NewReader(rand.Reader)}
	for i := range c.Fields {
		field := &c.Fields[i]
		if field.Missing == contract.MissingNull {
			continue
		}
		f.gaps = append(f.gaps, gap{field: i, kind: field.Missing, prefix: []byte(strconv.Quote(field.Name) + `:"`)})
		f.names[field.Name] = true
		f.added += len(f.gaps[len(f.gaps)-1].prefix) + maxValue + 2 // comma and quote
	}
	return f
}

// begin prepares for a body: all its rows arrive at one moment. The arena is not used again, because
// messages point into it.
func (f *filler) begin(now time.Time) {
	f.now = append(f.now[:0], clock.String(now.UnixMicro())...)
	f.arena = nil
}

// excuse drops the reasons that complete will deal with: a required field may be left out where the
// contract says what stands in for it.
func (f *filler) excuse(row *columns.Decoder, reasons []contract.Reason) []contract.Reason {
	if len(reasons) == 0 || row.Deleted() {
		return reasons
	}
	kept := reasons[:0]
	for _, r := range reasons {
		if r.Rule != contract.RuleRequired || !f.names[r.Field] {
			kept = append(kept, r)
		}
	}
	return kept
}

// complete returns a valid row with its gaps filled, and its key, which is valid as long as the decoder
// holds the row. What is added goes to the end, where it wins over a null of the same name.
func (f *filler) complete(row *columns.Decoder, raw []byte) (whole, id []byte) {
	id = f.id(row)
	if row.Deleted() {
		return raw, id
	}
	for i := range f.gaps {
		g := &f.gaps[i]
		if row.Has(g.field) {
			continue
		}
		if whole == nil {
			whole = append(f.room(len(raw)), bytes.TrimRight(raw[:len(raw)-1], " \t\r\n")...)
		}
		if whole[len(whole)-1] != '{' {
			whole = append(whole, ',')
		}
		whole = append(whole, g.prefix...)
		if g.kind == contract.MissingNow {
			whole = append(whole, f.now...)
		} else {
			start := len(whole)
			whole = f.appendID(whole)
			if g.field == f.key {
				id = whole[start:]
			}
		}
		whole = append(whole, '"')
	}
	if whole == nil {
		return raw, id
	}
	whole = append(whole, '}')
	f.arena = f.arena[:len(f.arena)+len(whole)]
	return slices.Clip(whole), id
}

func (f *filler) id(row *columns.Decoder) []byte {
	if f.fields[f.key].Type == contract.String {
		return row.Text(f.key)
	}
	return []byte(f.fields[f.key].Format(row.Int(f.key)))
}

// appendID adds an id that is ordered by time, because ClickHouse and Parquet keep neighbours best; within
// a process each is above the one before.
func (f *filler) appendID(b []byte) []byte {
	id := uuid.Must(uuid.NewV7FromReader(f.random))
	for i, part := range [...][]byte{id[:4], id[4:6], id[6:8], id[8:10], id[10:]} {
		if i > 0 {
			b = append(b, '-')
		}
		b = hex.AppendEncode(b, part)
	}
	return b
}

// room returns space in the arena for a row of so many bytes with all its gaps filled.
func (f *filler) room(row int) []byte {
	need := row + f.added
	if cap(f.arena)-len(f.arena) < need {
		f.arena = make([]byte, 0, max(need, min(4*cap(f.arena), maxArena)))
	}
	return f.arena[len(f.arena):]
}
