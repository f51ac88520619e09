package api

import "github.com/danielgtaylor/huma/v2"

// uuidPattern leaves out the spellings of a UUID that the format lets pass and PostgreSQL does not, such as
// urn:uuid:… . The tags of fields repeat it.
const uuidPattern = "^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$"

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
func (optionalUUID) Schema(huma.Registry) *huma.Schema {
	return orEmpty(&huma.Schema{Type: huma.TypeString, Format: "uuid", Pattern: uuidPattern})
}

// Schema documents a day or nothing.
func (optionalDay) Schema(huma.Registry) *huma.Schema {
	return orEmpty(&huma.Schema{Type: huma.TypeString, Format: "date"})
}

func orEmpty(given *huma.Schema) *huma.Schema {
	given.PrecomputeMessages()
	return &huma.Schema{AnyOf: []*huma.Schema{given, {Type: huma.TypeString, Enum: []any{""}}}}
}
