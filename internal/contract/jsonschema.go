package contract

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"
)

// SchemaFile is the JSON Schema's file in the folder of the contracts. Their first line names it, so that
// editors complete keys, explain them and mark faults.
const SchemaFile = "contract.schema.json"

// schema is a JSON Schema, as far as contracts need one. The order of its keys is that of the struct.
type schema struct {
	Schema      string             `json:"$schema,omitempty"`
	Title       string             `json:"title,omitempty"`
	Description string             `json:"description,omitempty"`
	Type        any                `json:"type,omitempty"`
	Enum        []string           `json:"enum,omitempty"`
	Minimum     *int               `json:"minimum,omitempty"`
	MinItems    int                `json:"minItems,omitempty"`
	MinLength   int                `json:"minLength,omitempty"`
	Required    []string           `json:"required,omitempty"`
	Properties  map[string]*schema `json:"properties,omitempty"`
	Items       *schema            `json:"items,omitempty"`
	Additional  *bool              `json:"additionalProperties,omitempty"`
	AllOf       []condition        `json:"allOf,omitempty"`
}

// condition is what a key asks of the type beside it.
type condition struct {
	If   *schema `json:"if"`
	Then *schema `json:"then"`
}

// JSONSchema renders the JSON Schema of contract files, from the same declarations that Parse reads them by.
func JSONSchema() ([]byte, error) {
	root := object(reflect.TypeFor[document]())
	root.Schema = "http://json-schema.org/draft-07/schema#"
	root.Title = "Contract of an entity"
	root.Description = "What a valid row of an entity is, from the API to the lake."
	root.Required = []string{"entity", "version", "key", "fields"}
	one := 1
	root.Properties["version"].Minimum = &one

	field := root.Properties["fields"].Items
	field.Required = []string{"name", "type"}
	field.Properties["name"].MinLength = 1
	for name, values := range choices {
		field.Properties[name].Enum = values
	}
	for _, name := range sortedKeys(fits) {
		types := &schema{}
		for _, t := range fits[name] {
			types.Enum = append(types.Enum, t.String())
		}
		field.AllOf = append(field.AllOf, condition{
			If:   &schema{Required: []string{name}},
			Then: &schema{Properties: map[string]*schema{"type": types}},
		})
	}
	var text bytes.Buffer
	enc := json.NewEncoder(&text)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(root); err != nil {
		return nil, fmt.Errorf("rendering the JSON Schema of contracts: %w", err)
	}
	return text.Bytes(), nil
}

// object describes a struct by its tags.
func object(t reflect.Type) *schema {
	closed := false
	s := &schema{Type: "object", Properties: map[string]*schema{}, Additional: &closed}
	for f := range t.Fields() {
		property := value(f.Type)
		property.Description = f.Tag.Get("doc")
		s.Properties[f.Tag.Get("yaml")] = property
	}
	return s
}

func value(t reflect.Type) *schema {
	switch t.Kind() {
	case reflect.Bool:
		return &schema{Type: "boolean"}
	case reflect.Int:
		return &schema{Type: "integer"}
	case reflect.Slice:
		s := &schema{Type: "array", MinItems: 1}
		if s.Items = value(t.Elem()); t.Elem().Kind() == reflect.Struct {
			s.Items = object(t.Elem())
		}
		return s
	default:
		// bounds are written as YAML numbers and dates too
		return &schema{Type: []string{"string", "number"}}
	}
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for key := range m {
		keys = append(keys, key)
	}
	slices.SortFunc(keys, strings.Compare)
	return keys
}
