package app

import (
	"fmt"
	"io"
	"strings"

	"github.com/redpanda-data/benthos/v4/public/service"
	"github.com/urfave/cli/v2"
)

// ours are the components of plugins/, in the order of the flow. Those of Connect are documented there.
var ours = map[string][]string{
	"inputs":     {"jwt_http", "outbox", "kafka_rows", "s3_parquet", "raw_pending", "kafka_backlog", "outbox_backlog", "batch_run"},
	"processors": {"contract_check", "split_rows", "topic_lookup", "stage_validate", "postgres_export", "lake_compact", "lake_retention", "erase_customer", "iceberg_repair", "iceberg_upkeep"},
	"outputs":    {"kafka_rows", "s3_parquet", "s3_quarantine", "clickhouse_table", "iceberg_table"},
	"tracers":    {"otlp_http"},
}

func componentsCommand(environment *service.Environment) *cli.Command {
	return &cli.Command{
		Name:  "components",
		Usage: "Write the reference of our own components, from their specs",
		Action: func(c *cli.Context) error {
			return writeComponents(c.App.Writer, environment)
		},
	}
}

// writeComponents writes docs/components.md.
func writeComponents(w io.Writer, environment *service.Environment) error {
	var b strings.Builder
	b.WriteString(`# Components

<!-- written by: make generate -->

What YAML can say of the components that are our own, from their specs. Beside them are Connect's, as
documented there. What each promises, and why, is in the README of its folder in ` + "`plugins/`" + `.
`)
	for _, kind := range []struct {
		name string
		walk func(func(string, *service.ConfigView))
	}{
		{"inputs", environment.WalkInputs}, {"processors", environment.WalkProcessors}, {"outputs", environment.WalkOutputs}, {"tracers", environment.WalkTracers},
	} {
		views := map[string]*service.ConfigView{}
		kind.walk(func(name string, view *service.ConfigView) { views[name] = view })
		fmt.Fprintf(&b, "\n## %s\n", strings.ToUpper(kind.name[:1])+kind.name[1:])
		for _, name := range ours[kind.name] {
			view, there := views[name]
			if !there {
				return fmt.Errorf("writing the reference: there is no component %s among the %s", name, kind.name)
			}
			if err := writeComponent(&b, name, view); err != nil {
				return err
			}
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func writeComponent(b *strings.Builder, name string, view *service.ConfigView) error {
	data, err := view.TemplateData()
	if err != nil {
		return fmt.Errorf("writing the reference of %s: %w", name, err)
	}
	fmt.Fprintf(b, "\n### `%s`\n\n%s\n", name, strings.TrimSpace(data.Summary))
	if description := strings.TrimSpace(data.Description); description != "" {
		fmt.Fprintf(b, "\n%s\n", strings.ReplaceAll(description, "\n#", "\n####"))
	}
	if len(data.Fields) == 0 {
		return nil
	}
	b.WriteString("\n| field | type | default | is |\n|---|---|---|---|\n")
	for _, f := range data.Fields {
		value := "required"
		if f.DefaultMarshalled != "" {
			value = "`" + f.DefaultMarshalled + "`"
		}
		help := f.Description
		if len(f.Options) > 0 {
			help += " One of `" + strings.Join(f.Options, "`, `") + "`."
		}
		fmt.Fprintf(b, "| `%s` | %s | %s | %s |\n", f.FullName, f.Type, cell(value), cell(help))
	}
	return nil
}

// cell keeps a text within a cell of a table.
func cell(text string) string {
	return strings.ReplaceAll(strings.Join(strings.Fields(text), " "), "|", `\|`)
}
