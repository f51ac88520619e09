package columns

import (
	"errors"
	"io"
	"math"
	"slices"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/go-faster/jx"

	"github.com/shop-connect/shop-connect/internal/clock"
	"github.com/shop-connect/shop-connect/internal/contract"
	"github.com/shop-connect/shop-connect/internal/money"
)

// Strictness says how much of the contract a row must obey to become columns.
type Strictness uint8

const (
	// Typed asks only that the values present have the contract's types: RAW keeps whatever was sent.
	Typed Strictness = iota
	// Valid asks for the whole contract.
	Valid
)

// deletedField marks a deletion event; it belongs to every entity and to no contract file.
const deletedField = "deleted"

// maxText bounds the text of one column of one batch: offsets are 32 bits, as in Arrow.
const maxText = math.MaxInt32

// ErrFull is returned for a row that would take a column past 2 GiB of text. Write the batch, reset
// it and append the row again.
var ErrFull = errors.New("appending row: the batch holds 2 GiB of text")

// Decoder decodes JSON rows of one contract. It is not safe for concurrent use.
type Decoder struct {
	contract   *contract.Contract
	strictness Strictness
	shop       *time.Location
	now        time.Time

	index map[string]int
	// labels are those of the row before, as far as it was plain.
	labels []label
	json   jx.Decoder
	// unescape reads a text once more, whose bytes had to be seen first.
	unescape jx.Decoder
	onField  func(d *jx.Decoder, key []byte) error
	cells    []cell
	arena    []byte
	source   []byte // what the texts of cells are in: the row itself, or arena
	deleted  bool
	reasons  []contract.Reason
}

// cell is a value of the row in hand, before it is known whether the row stays.
type cell struct {
	set        bool
	refused    bool
	value      int64
	start, end int
}

// NewDecoder makes a decoder. Times that name no zone, and business days, are those of shop.
func NewDecoder(c *contract.Contract, strictness Strictness, shop *time.Location) *Decoder {
	d := &Decoder{
		contract: c, strictness: strictness, shop: shop, now: time.Now(),
		index: make(map[string]int, len(c.Fields)), cells: make([]cell, len(c.Fields)),
	}
	for i := range c.Fields {
		d.index[c.Fields[i].Name] = i
	}
	d.onField = d.field
	return d
}

// SetNow fixes the moment that rules such as max_ahead are measured from in rows that come from nowhere in
// Kafka; call it once a batch.
func (d *Decoder) SetNow(now time.Time) { d.now = now }

// Append decodes one JSON object to the end of the batch. A row that is refused leaves the batch as
// it was and returns all its reasons; they are valid until the next call. The error is ErrFull or nil.
//
// Rules such as max_ahead are measured from the record's own timestamp, where it has one: every layer,
// and every replay, comes to the same verdict.
func (d *Decoder) Append(b *Batch, value []byte, pos Position, source int) ([]contract.Reason, error) {
	if pos.Timestamp != 0 {
		// timestamps are cut to milliseconds, and the API edge has judged by the microsecond
		d.now = time.UnixMicro(pos.Timestamp).Add(time.Millisecond)
	}
	if reasons := d.Decode(value); len(reasons) > 0 {
		return reasons, nil
	}
	return nil, d.commit(b, pos, source)
}

// Decode reads a row without appending it, and returns the reasons why it is refused.
func (d *Decoder) Decode(value []byte) []contract.Reason {
	if n := d.plain(value); n > 0 && blank(value, n) == len(value) {
		return d.judge()
	}
	return d.decode(value)
}

// DecodeFirst reads the row that data begins with like Decode, and returns how long it is. That is 0
// where the row is not plain, and nothing is known of it: find its end, and Decode it.
func (d *Decoder) DecodeFirst(data []byte) (length int, reasons []contract.Reason) {
	if length = d.plain(data); length == 0 {
		return 0, nil
	}
	return length, d.judge()
}

func (d *Decoder) begin() {
	clear(d.cells)
	d.arena, d.reasons, d.deleted = d.arena[:0], d.reasons[:0], false
}

// decode reads a row of any kind.
func (d *Decoder) decode(value []byte) []contract.Reason {
	d.begin()
	d.json.ResetBytes(value)
	if d.json.Next() != jx.Object {
		return d.refuse("", contract.RuleJSON, "must be a JSON object, is "+contract.Quote(value))
	}
	err := d.json.ObjBytes(d.onField)
	d.source = d.arena
	if err != nil {
		return d.refuse("", contract.RuleJSON, "must be well-formed JSON: "+err.Error())
	}
	// half a value behind it ends in io.EOF as well
	if next := d.json.Next(); next != jx.Invalid || !errors.Is(d.json.Skip(), io.EOF) {
		return d.refuse("", contract.RuleJSON, "must be one JSON object with nothing behind it")
	}
	return d.judge()
}

// judge holds a row that has been read against the contract.
func (d *Decoder) judge() []contract.Reason {
	if d.deleted {
		d.keepDeletion()
	} else if d.strictness == Valid {
		d.checkRules()
	}
	return d.reasons
}

// Deleted reports whether the row last decoded is a deletion.
func (d *Decoder) Deleted() bool { return d.deleted }

// Has reports whether the row last decoded has a value for a field.
func (d *Decoder) Has(field int) bool { return d.cells[field].set }

// Text returns a string value of the row last decoded, valid until the next call and as long as the row.
func (d *Decoder) Text(field int) []byte { return d.source[d.cells[field].start:d.cells[field].end] }

// Int returns a value of the row last decoded, for a field that is not a string.
func (d *Decoder) Int(field int) int64 { return d.cells[field].value }

func (d *Decoder) refuse(field, rule, message string) []contract.Reason {
	d.reasons = append(d.reasons, contract.Reason{Field: field, Rule: rule, Message: message})
	return d.reasons
}

// keepDeletion drops what a deletion says besides its key and time: the row is gone, and what it was
// is nobody's business (a deletion carries nothing else in RAW and STAGE).
func (d *Decoder) keepDeletion() {
	kept := d.reasons[:0]
	for _, r := range d.reasons {
		if i, known := d.index[r.Field]; known && (i == d.contract.Key || i == d.contract.EventTime) || r.Field == deletedField {
			kept = append(kept, r)
		}
	}
	d.reasons = kept
	for i := range d.cells {
		if i != d.contract.Key && i != d.contract.EventTime {
			d.cells[i] = cell{}
		}
	}
	field, key := &d.contract.Fields[d.contract.Key], &d.cells[d.contract.Key]
	if !key.set && !key.refused {
		d.refuse(field.Name, contract.RuleRequired, "is required in a deletion")
	}
	if d.strictness == Valid {
		d.checkRule(field, key)
	}
}

func (d *Decoder) checkRules() {
	for i := range d.contract.Fields {
		field, c := &d.contract.Fields[i], &d.cells[i]
		if !c.set && !c.refused && field.Required {
			d.reasons = append(d.reasons, field.Absent())
		}
		d.checkRule(field, c)
	}
}

// checkRule holds a value that is there against its field.
func (d *Decoder) checkRule(field *contract.Field, c *cell) {
	switch {
	case !c.set:
	case field.Type == contract.String:
		d.reasons = append(d.reasons, field.CheckText(d.source[c.start:c.end])...)
	default:
		if low, high, ok := field.Range(d.now); ok && (c.value < low || c.value > high) {
			d.reasons = append(d.reasons, field.OutOfRange(c.value))
		}
	}
}

func (d *Decoder) commit(b *Batch, pos Position, source int) error {
	for i := range b.Columns {
		if len(b.Columns[i].Text.Data)+d.cells[i].end-d.cells[i].start > maxText-256 {
			return ErrFull
		}
	}
	for i := range b.Columns {
		col, c := &b.Columns[i], &d.cells[i]
		null := !c.set
		if d.contract.Fields[i].Type != contract.String {
			col.Int = append(col.Int, c.value)
		} else {
			if c.set {
				col.Text.Data = append(col.Text.Data, d.source[c.start:c.end]...)
			} else if i == d.contract.Key && d.contract.Fields[i].Missing == contract.MissingGenerated {
				col.Text.Data, null = AppendDerivedID(col.Text.Data, pos), false
			}
			col.Text.Offsets = append(col.Text.Offsets, int32(len(col.Text.Data)))
		}
		col.Null = append(col.Null, null)
		if null {
			col.Nulls++
		}
	}
	var eventTime cell
	if d.contract.EventTime >= 0 {
		eventTime = d.cells[d.contract.EventTime]
	}
	b.Day = append(b.Day, b.day(eventTime.value, eventTime.set, pos, d.shop))
	b.Deleted = append(b.Deleted, d.deleted)
	b.Position = append(b.Position, pos)
	b.Source = append(b.Source, source)
	b.Len++
	return nil
}

// field decodes one member of the object. Errors are those of the JSON itself; a value that does not
// fit is a reason and lets the rest of the row be read. Of a repeated name the last value counts.
func (d *Decoder) field(json *jx.Decoder, key []byte) error {
	i, known := d.index[string(key)]
	if !known {
		if string(key) == deletedField {
			return d.deletedFlag(json)
		}
		return json.Skip()
	}
	field, c := &d.contract.Fields[i], &d.cells[i]
	if c.refused {
		d.forget(field.Name)
	}
	*c = cell{}
	kind := json.Next()
	if kind == jx.Null {
		return json.Skip()
	}
	var fault error
	var err error
	switch {
	case field.Type == contract.String && kind == jx.String:
		fault, err = d.text(json, c)
	case field.Type == contract.String && kind == jx.Number && field.AcceptInteger:
		fault, err = d.integerText(json, c)
	case (field.Type == contract.Int64 || field.Type == contract.Decimal) && kind == jx.Number:
		var num jx.Num
		if num, err = json.Num(); err == nil {
			c.value, fault = parseNumber(field.Type, num)
		}
	case field.Type == contract.Bool && kind == jx.Bool:
		var v bool
		if v, err = json.Bool(); v {
			c.value = 1
		}
	case kind == jx.String && field.Type != contract.Int64 && field.Type != contract.Bool:
		c.value, fault, err = d.quoted(json, field.Type)
	default:
		return d.wrongType(json, field, c)
	}
	if err != nil {
		return err
	}
	if fault != nil {
		c.refused = true
		d.reasons = append(d.reasons, contract.Reason{Field: field.Name, Rule: contract.RuleType, Message: fault.Error()})
		return nil
	}
	c.set = true
	return nil
}

// forget drops the reasons of a member that comes again. So a row has no more reasons than its contract
// has rules, whatever it repeats.
func (d *Decoder) forget(name string) {
	d.reasons = slices.DeleteFunc(d.reasons, func(r contract.Reason) bool { return r.Field == name })
}

var (
	errUTF8    = errors.New("must be valid UTF-8")
	errInteger = errors.New("must be a string or a whole number")
)

func (d *Decoder) text(json *jx.Decoder, c *cell) (fault, err error) {
	raw, err := json.Raw()
	if err != nil {
		return nil, err
	}
	c.start = len(d.arena)
	d.unescape.ResetBytes(raw)
	if d.arena, err = d.unescape.StrAppend(d.arena); err != nil {
		return nil, err
	}
	c.end = len(d.arena)
	if halfPair(raw) {
		return errSurrogate, nil
	}
	if !utf8.Valid(d.arena[c.start:c.end]) {
		return errUTF8, nil
	}
	return nil, nil
}

func (d *Decoder) integerText(json *jx.Decoder, c *cell) (fault, err error) {
	num, err := json.Num()
	if err != nil {
		return nil, err
	}
	v, fault := money.ParseInteger(num)
	if fault != nil {
		return errInteger, nil
	}
	c.start = len(d.arena)
	d.arena = strconv.AppendInt(d.arena, v, 10)
	c.end = len(d.arena)
	return nil, nil
}

// quoted reads a decimal, timestamp or date that is written as a JSON string.
func (d *Decoder) quoted(json *jx.Decoder, t contract.Type) (v int64, fault, err error) {
	start := len(d.arena)
	if d.arena, err = json.StrAppend(d.arena); err != nil {
		return 0, nil, err
	}
	text := d.arena[start:]
	d.arena = d.arena[:start]
	switch t {
	case contract.Decimal:
		v, fault = money.Parse(text)
	case contract.Timestamp:
		v, fault = clock.Parse(text, d.shop)
	default:
		v, fault = clock.ParseDate(text)
	}
	return v, fault, nil
}

func parseNumber(t contract.Type, num []byte) (int64, error) {
	if t == contract.Decimal {
		return money.Parse(num)
	}
	return money.ParseInteger(num)
}

var typeWanted = map[contract.Type]string{
	contract.String: "must be a string", contract.Int64: "must be a whole number",
	contract.Decimal: "must be a number or the text of one", contract.Timestamp: "must be a date and time in a string",
	contract.Date: "must be a date in a string", contract.Bool: "must be true or false",
}

func (d *Decoder) wrongType(json *jx.Decoder, field *contract.Field, c *cell) error {
	raw, err := json.Raw()
	if err != nil {
		return err
	}
	c.refused = true
	message := typeWanted[field.Type] + ", is " + contract.Quote(raw)
	d.reasons = append(d.reasons, contract.Reason{Field: field.Name, Rule: contract.RuleType, Message: message})
	return nil
}

func (d *Decoder) deletedFlag(json *jx.Decoder) error {
	d.forget(deletedField)
	d.deleted = false
	switch json.Next() {
	case jx.Bool:
		v, err := json.Bool()
		d.deleted = v
		return err
	case jx.Null:
		return json.Skip()
	}
	d.refuse(deletedField, contract.RuleType, "must be true or false")
	return json.Skip()
}
