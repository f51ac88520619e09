package app

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/urfave/cli/v2"

	"github.com/shop-connect/shop-connect/internal/contract"
)

// contractTool runs a subcommand of `shop-connect contract`.
func contractTool(args ...string) (string, error) {
	var output bytes.Buffer
	tool := &cli.App{Writer: &output, Commands: []*cli.Command{contractCommand()}, ExitErrHandler: func(*cli.Context, error) {}}
	err := tool.Run(append([]string{name, "contract"}, args...))
	return output.String(), err
}

func TestTheReferenceOfContractsIsThatOfTheFiles(t *testing.T) {
	want, err := contractTool("reference", "../../pipelines/contracts")
	if err != nil {
		t.Fatal(err)
	}
	page, err := os.ReadFile("../../docs/contracts.md")
	if err != nil || string(page) != want {
		t.Errorf("run `make generate`: the page differs (%v)", err)
	}
	schema, err := contractTool("schema")
	if err != nil {
		t.Fatal(err)
	}
	file, err := os.ReadFile(filepath.Join("../../pipelines/contracts", contract.SchemaFile))
	if err != nil || string(file) != schema {
		t.Errorf("run `make generate`: the schema differs (%v)", err)
	}
}

func TestLintReportsEveryFaultOfEveryContract(t *testing.T) {
	if output, err := contractTool("lint", "../../pipelines/contracts"); err != nil || !strings.Contains(output, "are good") {
		t.Errorf("the shipped contracts: %s %v", output, err)
	}
	dir := t.TempDir()
	for file, text := range map[string]string{
		"orders.yaml":  "entity: orders\nversion: 1\nkey: id\nfields: [{name: id, type: string}, {name: buyer, type: string, references: buyers}, {name: shop, type: string, references: shops}]\n",
		"buyers.yaml":  "entity: buyers\nversion: 1\nkey: id\nfields: [{name: id, type: int64}]\n",
		"faulty1.yaml": "entity: faulty1\nversion: 0\nkey: id\nfields: [{name: id, type: string}]\n",
		"faulty2.yaml": "entity: faulty2\nversion: 1\nkey: id\nfields: [{name: id, type: text}]\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, file), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	says := func(wants ...string) {
		t.Helper()
		_, err := contractTool("lint", dir)
		for _, want := range wants {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("lint does not say %q: %v", want, err)
			}
		}
	}
	says("faulty1.yaml", "version:", "faulty2.yaml", `type: "text"`)
	for _, file := range []string{"faulty1.yaml", "faulty2.yaml"} {
		if err := os.Remove(filepath.Join(dir, file)); err != nil {
			t.Fatal(err)
		}
	}
	says(`no contract of "shops"`, `field "buyer": is string, the key of buyers is int64`)
}
