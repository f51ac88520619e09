package contract_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/xeipuuv/gojsonschema"
	"gopkg.in/yaml.v3"

	"github.com/shop-connect/shop-connect/internal/contract"
)

const shipped = "../../pipelines/contracts"

// judge holds YAML text against the schema that editors use.
func judge(t *testing.T, text []byte) *gojsonschema.Result {
	t.Helper()
	schema, err := contract.JSONSchema()
	if err != nil {
		t.Fatal(err)
	}
	var document any
	if err := yaml.Unmarshal(text, &document); err != nil {
		t.Fatal(err)
	}
	asJSON, err := json.Marshal(document)
	if err != nil {
		t.Fatal(err)
	}
	result, err := gojsonschema.Validate(gojsonschema.NewBytesLoader(schema), gojsonschema.NewBytesLoader(asJSON))
	if err != nil {
		t.Fatal(err)
	}
	return result
}

func TestEditorsFindNoFaultInTheShippedContracts(t *testing.T) {
	paths, err := filepath.Glob(filepath.Join(shipped, "*.yaml"))
	if err != nil || len(paths) < 5 {
		t.Fatal(paths, err)
	}
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if first, _, _ := strings.Cut(string(text), "\n"); first != "# yaml-language-server: $schema="+contract.SchemaFile {
			t.Errorf("%s does not name its schema in the first line: %s", path, first)
		}
		if result := judge(t, text); !result.Valid() {
			t.Errorf("%s: %v", path, result.Errors())
		}
	}
}

func TestEditorsAndTheProgramRefuseTheSameKeys(t *testing.T) {
	for name, field := range map[string]string{
		"unknown key":           `{name: a, type: string, requird: true}`,
		"unknown type":          `{name: a, type: text}`,
		"no type":               `{name: a}`,
		"range of a string":     `{name: a, type: string, min: 1}`,
		"pattern of a number":   `{name: a, type: int64, pattern: x}`,
		"id of a number":        `{name: a, type: int64, missing: generated}`,
		"max_ahead of a string": `{name: a, type: string, max_ahead: 24h}`,
		"unknown choice":        `{name: a, type: string, references: products, unknown: ignore}`,
		"reference of a time":   `{name: a, type: timestamp, references: products}`,
	} {
		text := []byte("entity: a\nversion: 1\nkey: id\nfields:\n  - {name: id, type: string}\n  - " + field + "\n")
		if judge(t, text).Valid() {
			t.Errorf("%s: an editor finds no fault in %s", name, field)
		}
		if _, err := contract.Parse(text); err == nil {
			t.Errorf("%s: the program takes %s", name, field)
		}
	}
}

func TestTheSchemaFileIsThatOfTheProgram(t *testing.T) {
	schema, err := contract.JSONSchema()
	if err != nil {
		t.Fatal(err)
	}
	file, err := os.ReadFile(filepath.Join(shipped, contract.SchemaFile))
	if err != nil || string(file) != string(schema) {
		t.Errorf("run `make generate`: the file differs (%v)", err)
	}
}
