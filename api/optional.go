package api

import "github.com/danielgtaylor/huma/v2"

// A parameter of a query that is empty is one that is not given: forms send those that nobody filled in.
type (
	optionalUUID string
	optionalDay  string
)

var (
	_ huma.SchemaProvider = optionalUUID("")
	_ huma.SchemaProvider = optionalDay("")
)

// Schema documents a UUID or nothing.
func (optionalUUID) Schema(huma.Registry) *huma.Schema { return orEmpty("uuid") }

// Schema documents a day or nothing.
func (optionalDay) Schema(huma.Registry) *huma.Schema { return orEmpty("date") }

func orEmpty(format string) *huma.Schema {
	return &huma.Schema{AnyOf: []*huma.Schema{
		{Type: huma.TypeString, Format: format}, {Type: huma.TypeString, Enum: []any{""}},
	}}
}
