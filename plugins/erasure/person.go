package erasure

import (
	"bytes"
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/shop-connect/shop-connect/internal/contract"
	"github.com/shop-connect/shop-connect/internal/store"
)

const (
	entityCustomers = "customers"

	columnCustomer = "customer_id"
	columnEmail    = "email"
	columnPhone    = "phone"
	columnLastName = "last_name"
)

// person knows a person's rows when it sees them.
type person struct {
	id    int64
	clues store.Clues
	// learnt says that clues were added since they were kept last.
	learnt bool
	// fields are the names that the contract of each entity has.
	fields map[string][]string
}

func newPerson(e *store.Erasure, contracts map[string]*contract.Contract) *person {
	p := &person{id: e.CustomerID, clues: e.Clues, fields: map[string][]string{}}
	for entity, c := range contracts {
		for i := range c.Fields {
			p.fields[entity] = append(p.fields[entity], c.Fields[i].Name)
		}
		p.fields[entity] = append(p.fields[entity], "deleted")
	}
	return p
}

// bare is what is left of a row of the person: their number, and that it is gone.
func (p *person) bare() []byte {
	return append(strconv.AppendInt([]byte(`{"customer_id":`), p.id, 10), `,"deleted":true}`...)
}

// nobody is what is left of a row that did not say whose it was.
var nobody = []byte(`{"deleted":true}`)

// members reads a JSON object of a row; ok is false for anything else.
func members(value []byte) (found map[string]json.RawMessage, ok bool) {
	if trimmed := bytes.TrimLeft(value, " \t\r\n"); len(trimmed) == 0 || trimmed[0] != '{' {
		return nil, false
	}
	return found, json.Unmarshal(value, &found) == nil
}

// numberOf reads a customer's number, also one that an older producer wrote as a text.
func numberOf(raw json.RawMessage) (id int64, ok bool) {
	text := strings.Trim(string(raw), `" `)
	if id, err := strconv.ParseInt(text, 10, 64); err == nil {
		return id, true
	}
	f, err := strconv.ParseFloat(text, 64)
	return int64(f), err == nil && f == float64(int64(f))
}

// rewrite returns what is to be kept of the bytes of a row, and whether that is other than they are.
//
// A row of customers with the person's number keeps nothing but that. A row of another entity that refers to
// them, such as a purchase, keeps what the contract of its entity knows, and so not what its producer wrote
// beside it. A row that does not say whose it is is the person's where it holds an e-mail address of theirs,
// or a telephone number together with the family name.
func (p *person) rewrite(entity string, value []byte) (kept []byte, changed bool) {
	row, isObject := members(value)
	id, readable := int64(0), false
	if isObject {
		id, readable = numberOf(row[columnCustomer])
	}
	switch {
	case readable && id != p.id:
		return value, false
	case readable && entity == entityCustomers:
		p.learn(row)
		if isBare(row) {
			return value, false
		}
		return p.bare(), true
	case readable:
		return p.within(entity, row, value)
	case !p.hasClue(value):
		return value, false
	case entity == entityCustomers || !isObject:
		return nobody, true
	}
	kept, _ = p.within(entity, row, value)
	if p.hasClue(kept) { // in a field that the contract has, where nobody expects it
		return nobody, true
	}
	return kept, true
}

// bareMembers are what a deletion may say.
var bareMembers = []string{columnCustomer, "deleted", "updated_at"}

func isBare(row map[string]json.RawMessage) bool {
	for name := range row {
		if !slices.Contains(bareMembers, name) {
			return false
		}
	}
	return true
}

// within cuts a row down to the fields of its contract, in their order.
func (p *person) within(entity string, row map[string]json.RawMessage, value []byte) (kept []byte, changed bool) {
	extra := false
	for name := range row {
		extra = extra || !slices.Contains(p.fields[entity], name)
	}
	if !extra {
		return value, false
	}
	kept = []byte{'{'}
	for _, name := range p.fields[entity] {
		if raw, there := row[name]; there {
			if len(kept) > 1 {
				kept = append(kept, ',')
			}
			kept = append(append(append(kept, strconv.Quote(name)...), ':'), raw...)
		}
	}
	return append(kept, '}'), true
}

// learn takes in what a record of the person says, for records that say less.
func (p *person) learn(row map[string]json.RawMessage) {
	text := func(name string) (s string) {
		_ = json.Unmarshal(row[name], &s) // what is no text is no clue
		return s
	}
	p.know(text(columnEmail), text(columnPhone), text(columnLastName))
}

func (p *person) know(email, phone, lastName string) {
	if len(email) < minClue {
		email = ""
	}
	if len(phone) < minClue {
		phone = ""
	}
	p.learnt = p.clues.Add(email, phone, lastName) || p.learnt
}

// minClue is how long a clue is at least: a shorter one is found in anybody's bytes.
const minClue = 6

// hasClue reports whether bytes hold what the person is recognised by, in whatever form of JSON.
func (p *person) hasClue(value []byte) bool {
	if len(p.clues.Emails)+len(p.clues.Phones) == 0 {
		return false
	}
	texts := []string{strings.ToLower(string(value))}
	if bytes.IndexByte(value, '\\') >= 0 {
		texts = append(texts, strings.ToLower(string(unescape(value))))
	}
	for _, text := range texts {
		if holds(text, p.clues.Emails) || holds(text, p.clues.Phones) && holds(text, p.clues.Names) {
			return true
		}
	}
	return false
}

func holds(text string, clues []string) bool {
	return slices.ContainsFunc(clues, func(clue string) bool { return strings.Contains(text, clue) })
}

// unescape writes out the escapes of JSON strings, wherever they stand: of broken bytes nobody knows what is
// a string.
func unescape(value []byte) []byte {
	out := make([]byte, 0, len(value))
	for i := 0; i < len(value); i++ {
		if value[i] != '\\' || i+1 == len(value) {
			out = append(out, value[i])
			continue
		}
		i++
		if value[i] != 'u' || i+4 >= len(value) {
			out = append(out, value[i]) // \/ and the like; no clue has what \n and its kind stand for
			continue
		}
		first, err := strconv.ParseUint(string(value[i+1:i+5]), 16, 16)
		if err != nil {
			out = append(out, 'u')
			continue
		}
		i += 4
		r := rune(first)
		if utf16.IsSurrogate(r) && i+6 < len(value) && value[i+1] == '\\' && value[i+2] == 'u' {
			if second, err := strconv.ParseUint(string(value[i+3:i+7]), 16, 16); err == nil {
				if both := utf16.DecodeRune(r, rune(second)); both != utf8.RuneError {
					r, i = both, i+6
				}
			}
		}
		out = utf8.AppendRune(out, r)
	}
	return out
}
