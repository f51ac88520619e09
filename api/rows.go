package api

import (
	"encoding/json"
	"mime"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/shop-connect/shop-connect/internal/columns"
	"github.com/shop-connect/shop-connect/internal/contract"
)

// RowBody is the body of a request that is one row of an entity. It stays bytes until its contract reads
// it: huma's own reading knows another set of rules than the sinks behind this API. Its name is exported because
// huma passes over embedded fields of unexported types.
type RowBody struct {
	ContentType string `header:"Content-Type" hidden:"true"`
	RawBody     []byte `contentType:"application/json"`
}

// parse reads the row; problem is nil where the contract has been asked what it thinks of it.
func (b *RowBody) parse(c *contract.Contract, shop *time.Location) (*row, *Problem) {
	if kind, _, err := mime.ParseMediaType(b.ContentType); err != nil || kind != mimeJSON {
		return nil, NewProblem(http.StatusUnsupportedMediaType, "the header Content-Type must be "+mimeJSON)
	}
	if !json.Valid(b.RawBody) {
		return nil, NewProblem(http.StatusBadRequest, "the body must be well-formed JSON")
	}
	return newRowReader(c, shop).read(b.RawBody), nil
}

// row is one row as its contract reads it, with what the contract has against it.
type row struct {
	contract *contract.Contract
	values   *columns.Decoder
	members  map[string]json.RawMessage
	reasons  []contract.Reason
}

// rowReader reads row after row; one is valid until the next is read.
type rowReader struct {
	contract *contract.Contract
	values   *columns.Decoder
}

func newRowReader(c *contract.Contract, shop *time.Location) *rowReader {
	return &rowReader{contract: c, values: columns.NewDecoder(c, columns.Valid, shop)}
}

func (r *rowReader) read(raw []byte) *row {
	v := &row{contract: r.contract, values: r.values, reasons: slices.Clone(r.values.Decode(raw))}
	if len(v.reasons) > 0 && v.reasons[0].Rule == contract.RuleJSON {
		return v
	}
	// the decoder does not tell a null from what is not there
	if err := json.Unmarshal(raw, &v.members); err != nil {
		v.refuse("", contract.RuleJSON, "must be a JSON object")
	}
	if v.values.Deleted() {
		v.reasons = nil
		v.refuse("deleted", contract.RuleType, "must not be set; use DELETE to delete")
	}
	return v
}

func (r *row) refuse(field, rule, message string) {
	r.reasons = append(r.reasons, contract.Reason{Field: field, Rule: rule, Message: message})
}

// require asks for fields that the contract leaves open.
func (r *row) require(fields ...string) {
	for _, name := range fields {
		if !r.has(name) && !slices.ContainsFunc(r.reasons, func(x contract.Reason) bool { return x.Field == name }) {
			r.refuse(name, contract.RuleRequired, "is required")
		}
	}
}

// excuse drops the reason that fields are missing, of those that the function accepts.
func (r *row) excuse(accept func(field string) bool) {
	r.reasons = slices.DeleteFunc(r.reasons, func(x contract.Reason) bool {
		return x.Rule == contract.RuleRequired && accept(x.Field)
	})
}

// excuseAbsent makes the row a subset: what is not there stays as it is. A null is there.
func (r *row) excuseAbsent() {
	r.excuse(func(field string) bool { return !r.names(field) })
}

// givenByShop refuses a row that says what only the shop says.
func (r *row) givenByShop(field string) {
	r.excuse(func(name string) bool { return name == field })
	if r.has(field) {
		r.refuse(field, contract.RuleType, "is given by the shop; leave it out")
	}
}

// keyIs lets a row name its own key in a request that names it too, as long as they agree.
func (r *row) keyIs(key string) {
	field := &r.contract.Fields[r.contract.Key]
	r.excuse(func(name string) bool { return name == field.Name })
	if !r.has(field.Name) {
		return
	}
	named := string(r.values.Text(r.contract.Key))
	if field.Type != contract.String {
		named = field.Format(r.values.Int(r.contract.Key))
	}
	if named != key {
		r.refuse(field.Name, contract.RuleType, "must be that of the path, or left out")
	}
}

// problem is what the client is told of a row that is refused, nil for one that is not.
func (r *row) problem() error {
	if len(r.reasons) == 0 {
		return nil
	}
	faults := make([]Fault, len(r.reasons))
	for i, reason := range r.reasons {
		faults[i] = Fault{Location: strings.TrimSuffix("body."+reason.Field, "."), Message: reason.Message}
	}
	return NewProblem(http.StatusUnprocessableEntity, "the body breaks the contract of "+r.contract.Entity, faults...)
}

// names reports whether the row has a member of that name, be it null.
func (r *row) names(field string) bool { _, ok := r.members[field]; return ok }

func (r *row) has(field string) bool { return r.values.Has(r.contract.Index(field)) }

func (r *row) text(field string) string {
	if !r.has(field) {
		return ""
	}
	return string(r.values.Text(r.contract.Index(field)))
}

func (r *row) optionalText(field string) *string {
	if !r.has(field) {
		return nil
	}
	v := r.text(field)
	return &v
}

func (r *row) integer(field string) int64 { return r.values.Int(r.contract.Index(field)) }

// money reads an amount, exactly (I5).
func (r *row) money(field string) Money { return Money(r.integer(field)) }

// time reads a time, zero where there is none (I6).
func (r *row) time(field string) time.Time {
	if !r.has(field) {
		return time.Time{}
	}
	return time.UnixMicro(r.integer(field)).UTC()
}

// setText changes a text that the row names.
func (r *row) setText(field string, into *string) {
	if r.has(field) {
		*into = r.text(field)
	}
}

// setOptionalText changes a text that the row names; a null takes it away.
func (r *row) setOptionalText(field string, into **string) {
	if r.names(field) {
		*into = r.optionalText(field)
	}
}
