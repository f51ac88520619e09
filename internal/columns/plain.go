package columns

import (
	"unicode/utf8"

	"github.com/shop-connect/shop-connect/internal/clock"
	"github.com/shop-connect/shop-connect/internal/contract"
	"github.com/shop-connect/shop-connect/internal/money"
)

// maxPlainInteger is how many digits an integer may have to become a string as it stands.
const maxPlainInteger = 18

// plain decodes the row that data begins with, in one pass and without copying, if it is an object as
// nearly all are: flat, without escapes, deletions or values that are refused for their type. It returns
// the row's length, or 0 for any other row, which the JSON library then reads from its beginning: what
// is refused, and in which words, is decided in one place.
func (d *Decoder) plain(data []byte) (length int) {
	d.begin()
	d.source = data
	i := blank(data, 0)
	if i == len(data) || data[i] != '{' {
		return 0
	}
	if i = blank(data, i+1); i < len(data) && data[i] == '}' {
		return i + 1
	}
	for member := 0; ; member++ {
		field, end := d.member(data, i, member)
		if end < 0 {
			return 0
		}
		if i = blank(data, end); i == len(data) {
			return 0
		}
		if i = d.plainValue(data, i, field); i < 0 {
			return 0
		}
		if i = blank(data, i); i == len(data) {
			return 0
		}
		switch data[i] {
		case '}':
			return i + 1
		case ',':
			i = blank(data, i+1)
		default:
			return 0
		}
	}
}

// label is the name of a member as it stands in a row, with its quotes and its colon, and the member's field, -1 if
// it is unknown.
type label struct {
	text  []byte
	field int
}

// What is remembered of the row before: more members, or longer ones, are looked up.
const (
	maxLabels    = 64
	maxLabelText = 128
)

// member reads the name of a member at i, and returns its field and where the colon ends, or -1. Rows of one producer
// have their members in one order: where the last row had a name, the next one has it too, and it need not be read.
func (d *Decoder) member(data []byte, i, member int) (field, end int) {
	if member < len(d.labels) {
		if l := &d.labels[member]; len(data)-i >= len(l.text) && string(data[i:i+len(l.text)]) == string(l.text) {
			return l.field, i + len(l.text)
		}
	}
	first, last := plainText(data, i)
	if last < 0 {
		return 0, -1
	}
	name := data[first:last]
	if end = blank(data, last+1); end == len(data) || data[end] != ':' {
		return 0, -1
	}
	end++
	field, known := d.index[string(name)]
	if !known {
		if string(name) == deletedField {
			return 0, -1
		}
		field = -1
	}
	if member < maxLabels && member <= len(d.labels) && end-i <= maxLabelText {
		if member == len(d.labels) {
			d.labels = append(d.labels, label{})
		}
		l := &d.labels[member]
		l.text, l.field = append(l.text[:0], data[i:end]...), field
	}
	return field, end
}

// plainValue decodes the value at i into a field's cell, or passes over it where the field is unknown.
// It returns where the value ends, or -1.
func (d *Decoder) plainValue(data []byte, i, field int) (end int) {
	var c cell
	var fault error
	kind, known := contract.String, field >= 0
	if known {
		kind = d.contract.Fields[field].Type
	}
	switch b := data[i]; {
	case b == '"':
		start, stop := plainText(data, i)
		if stop < 0 {
			return -1
		}
		text := data[start:stop]
		c.set, end = true, stop+1
		switch kind {
		case contract.String:
			c.start, c.end = start, stop
		case contract.Decimal:
			c.value, fault = money.Parse(text)
		case contract.Timestamp:
			c.value, fault = clock.Parse(text, d.shop)
		case contract.Date:
			c.value, fault = clock.ParseDate(text)
		default:
			return -1
		}
	case b == '-' || isDigit(b):
		var whole bool
		if end, whole = plainNumber(data, i); end < 0 {
			return -1
		}
		c.set = true
		switch {
		case !known:
		case kind == contract.Int64:
			c.value, fault = money.ParseInteger(data[i:end])
		case kind == contract.Decimal:
			c.value, fault = money.Parse(data[i:end])
		case kind == contract.String && d.contract.Fields[field].AcceptInteger && whole && b != '-' && end-i <= maxPlainInteger:
			c.start, c.end = i, end
		default:
			return -1
		}
	default:
		if end = d.plainWord(data, i, kind, known, &c); end < 0 {
			return -1
		}
	}
	if fault != nil {
		return -1
	}
	if known {
		d.cells[field] = c // of a repeated name the last value counts
	}
	return end
}

// plainWord decodes null, true or false.
func (d *Decoder) plainWord(data []byte, i int, kind contract.Type, known bool, c *cell) (end int) {
	switch rest := data[i:]; {
	case begins(rest, "null"):
		return i + len("null")
	case known && kind != contract.Bool:
		return -1
	case begins(rest, "true"):
		c.set, c.value = true, 1
		return i + len("true")
	case begins(rest, "false"):
		c.set = true
		return i + len("false")
	}
	return -1
}

func begins(data []byte, word string) bool {
	return len(data) >= len(word) && string(data[:len(word)]) == word
}

func isDigit(b byte) bool { return b-'0' < 10 }

// blank returns where white space ends.
func blank(data []byte, i int) int {
	for i < len(data) && (data[i] == ' ' || data[i] == '\n' || data[i] == '\t' || data[i] == '\r') {
		i++
	}
	return i
}

// stops marks the bytes that end a text or make it another than it stands there.
var stops = func() (t [256]bool) {
	for b := range t {
		t[b] = b < 0x20 || b == '"' || b == '\\' || b >= utf8.RuneSelf
	}
	return t
}()

// plainText returns where the content of the string at i begins and ends; end is -1 if it is no string,
// has an escape or is not UTF-8.
func plainText(data []byte, i int) (start, end int) {
	if i >= len(data) || data[i] != '"' {
		return 0, -1
	}
	start = i + 1
	ascii := true
	for i = start; i < len(data); i++ {
		b := data[i]
		if !stops[b] {
			continue
		}
		switch {
		case b >= utf8.RuneSelf:
			ascii = false
		case b == '"':
			if !ascii && !utf8.Valid(data[start:i]) {
				return 0, -1
			}
			return start, i
		default:
			return 0, -1
		}
	}
	return 0, -1
}

// plainNumber returns where the number at i ends, -1 if it is none, and whether it is an integer as it
// stands.
func plainNumber(data []byte, i int) (end int, whole bool) {
	if data[i] == '-' {
		i++
	}
	switch {
	case i < len(data) && data[i] == '0':
		i++
	default:
		if i = plainDigits(data, i); i < 0 {
			return -1, false
		}
	}
	whole = true
	if i < len(data) && data[i] == '.' {
		whole = false
		if i = plainDigits(data, i+1); i < 0 {
			return -1, false
		}
	}
	if i < len(data) && data[i]|0x20 == 'e' {
		whole = false
		if i++; i < len(data) && (data[i] == '+' || data[i] == '-') {
			i++
		}
		i = plainDigits(data, i)
	}
	return i, whole
}

// plainDigits returns where the digits at i end, -1 if there is none.
func plainDigits(data []byte, i int) int {
	start := i
	for i < len(data) && isDigit(data[i]) {
		i++
	}
	if i == start {
		return -1
	}
	return i
}
