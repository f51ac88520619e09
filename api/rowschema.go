package api

import (
	"cmp"
	"encoding/json"
	"math"
	"slices"

	"github.com/danielgtaylor/huma/v2"

	"github.com/shop-connect/shop-connect/internal/contract"
	"github.com/shop-connect/shop-connect/internal/money"
)

// RowSchema documents the rows of a contract, but for the fields that are left out. It says all that
// the contract does, so that a client which obeys the document is not refused; how far ahead a time may
// lie is the one rule that JSON Schema has no words for.
func RowSchema(c *contract.Contract, without ...string) *huma.Schema {
	rows := &huma.Schema{Type: huma.TypeObject, Properties: map[string]*huma.Schema{}}
	for i := range c.Fields {
		field := &c.Fields[i]
		if slices.Contains(without, field.Name) {
			continue
		}
		required := field.Required && field.Missing == contract.MissingNull
		rows.Properties[field.Name] = fieldSchema(field, !required)
		if required {
			rows.Required = append(rows.Required, field.Name)
		}
	}
	slices.Sort(rows.Required)
	return rows
}

// RowsSchema documents a list of rows of which each is judged by itself: one that is not as described is
// refused, and does no harm to the others.
func RowsSchema(row *huma.Schema, maxRows int) *huma.Schema {
	return &huma.Schema{Type: huma.TypeArray, MaxItems: &maxRows, Items: &huma.Schema{AnyOf: []*huma.Schema{
		row, {Description: "Anything else is refused, and set aside."},
	}}}
}

// rowFields documents the fields of a contract that a request must have, and may have, where that is not
// what the contract asks of others.
func rowFields(c *contract.Contract, required, optional []string) *huma.Schema {
	rows := &huma.Schema{Type: huma.TypeObject, Properties: map[string]*huma.Schema{}, Required: required}
	for i := range c.Fields {
		field := &c.Fields[i]
		needed := slices.Contains(required, field.Name)
		if needed || slices.Contains(optional, field.Name) {
			rows.Properties[field.Name] = fieldSchema(field, !needed)
		}
	}
	return rows
}

// fieldSchema documents one field; a null is the same as a field that is not there.
func fieldSchema(field *contract.Field, nullable bool) *huma.Schema {
	schema := valueSchema(field)
	schema.Description = field.Doc
	if nullable {
		return orNull(schema)
	}
	return schema
}

func valueSchema(field *contract.Field) *huma.Schema {
	limits := field.Limits()
	switch field.Type {
	case contract.Int64:
		return integerSchema(limits.Low, limits.High)
	case contract.Decimal:
		return amountSchema(limits.Low, limits.High)
	case contract.Timestamp:
		return &huma.Schema{Type: huma.TypeString, Format: "date-time"}
	case contract.Date:
		return &huma.Schema{Type: huma.TypeString, Format: "date"}
	case contract.Bool:
		return &huma.Schema{Type: huma.TypeBoolean}
	}
	text := textSchema(limits)
	if !field.AcceptInteger {
		return text
	}
	return &huma.Schema{AnyOf: []*huma.Schema{text, integerSchema(-math.MaxInt64, math.MaxInt64)}}
}

// noNUL is what contracts ask of every text.
const noNUL = `^[^\u0000]*$`

func textSchema(limits contract.Limits) *huma.Schema {
	schema := &huma.Schema{Type: huma.TypeString, Pattern: cmp.Or(limits.Pattern, noNUL)}
	if limits.MinLength > 0 {
		schema.MinLength = &limits.MinLength
	}
	if limits.MaxLength > 0 {
		schema.MaxLength = &limits.MaxLength
	}
	for _, value := range limits.Enum {
		schema.Enum = append(schema.Enum, value)
	}
	return schema
}

// Limits of 64 bits do not fit the floats that huma has for limits.
func integerSchema(low, high int64) *huma.Schema {
	return &huma.Schema{Type: huma.TypeInteger, Format: "int64", Extensions: map[string]any{"minimum": low, "maximum": high}}
}

// amountSchema documents an amount that is read, from low to high in ten-thousandths, as a number or as text.
func amountSchema(low, high int64) *huma.Schema {
	number := &huma.Schema{Type: huma.TypeNumber, Extensions: map[string]any{
		"minimum": amountLimit(low), "maximum": amountLimit(high), "multipleOf": json.Number("0.0001"),
	}}
	text := &huma.Schema{Type: huma.TypeString, Pattern: anyAmount}
	if low > 0 {
		text.Pattern = positiveAmount
	}
	return &huma.Schema{OneOf: []*huma.Schema{number, text}, Examples: []any{19.99}}
}

// The texts of amounts of at most 14 digits before the point and 4 behind it.
const (
	anyAmount      = `^[+-]?[0-9]{1,14}(\.[0-9]{1,4})?$`
	positiveAmount = `^\+?(0*[1-9][0-9]{0,13}(\.[0-9]{1,4})?|0+\.([1-9][0-9]{0,3}|0[1-9][0-9]{0,2}|00[1-9][0-9]?|000[1-9]))$`
)

// maxAmount is the largest amount that a client with floats can tell from one that is too large.
const maxAmount = 999_999_999_999_999_800

// amountLimit writes a limit the way clients hold it to theirs.
func amountLimit(v int64) json.Number {
	return json.Number(money.String(max(min(v, maxAmount), -maxAmount)))
}

// orNull documents that a null is the same as a field that is not there.
func orNull(schema *huma.Schema) *huma.Schema {
	null := &huma.Schema{Type: "null"}
	switch {
	case schema.AnyOf != nil:
		schema.AnyOf = append(schema.AnyOf, null)
	case schema.OneOf != nil:
		schema.OneOf = append(schema.OneOf, null)
	default:
		return &huma.Schema{AnyOf: []*huma.Schema{schema, null}, Description: schema.Description}
	}
	return schema
}
