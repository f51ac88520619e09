package app

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/shop-connect/shop-connect/internal/env"
)

// shipped returns the YAML of every stream of the project.
func shipped(t *testing.T) map[string]string {
	t.Helper()
	streams := map[string]string{}
	for _, folder := range []string{"pipelines", "streams"} {
		paths, err := filepath.Glob(filepath.Join("..", "..", folder, "*.yaml"))
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range paths {
			if strings.HasSuffix(path, testSuffix) {
				continue
			}
			content, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			streams[filepath.Join(folder, filepath.Base(path))] = string(content)
		}
	}
	if len(streams) < 10 {
		t.Fatalf("only %d streams are found", len(streams))
	}
	return streams
}

// setServers names servers that are not there: constructing a stream must not need them.
func setServers(t *testing.T) {
	t.Helper()
	for name, value := range map[string]string{
		env.KafkaBrokers: "127.0.0.1:1", env.S3Endpoint: "http://127.0.0.1:1", env.S3Region: "us-east-1", env.S3AccessKey: "key",
		env.S3SecretKey: "secret", env.PostgresDSN: "postgres://user:password@127.0.0.1:1/shop", env.ClickHouseDSN: "http://user:password@127.0.0.1:1/analytics",
		env.ContractsDir:    filepath.Join("..", "..", "pipelines", "contracts"),
		"PARAM_CUSTOMER_ID": "17", // whom to erase has no default
	} {
		t.Setenv(name, value)
	}
}

// construct makes the components of a stream and lets go of them before they connect.
func construct(yaml string) error {
	builder := Environment().NewStreamBuilder()
	if err := builder.SetYAML(yaml); err != nil {
		return err
	}
	// what it says of servers that are away is not what is tested
	if err := builder.SetLoggerYAML("level: none"); err != nil {
		return err
	}
	stream, err := builder.Build()
	if err != nil {
		return err
	}
	ended, cancel := context.WithCancel(context.Background())
	cancel()
	if err := stream.Run(ended); err != nil && !errors.Is(err, context.Canceled) {
		return err
	}
	return nil
}

func TestEveryStreamIsConstructedWithoutItsServers(t *testing.T) {
	setServers(t)
	for name, yaml := range shipped(t) {
		t.Run(name, func(t *testing.T) {
			if err := construct(yaml); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestAStreamWithAFaultIsNotConstructed(t *testing.T) {
	setServers(t)
	for name, yaml := range shipped(t) {
		broken := strings.ReplaceAll(yaml, "/purchases.yaml", "/nowhere.yaml")
		if broken == yaml {
			continue
		}
		t.Run(name, func(t *testing.T) {
			if err := construct(broken); err == nil || !strings.Contains(err.Error(), "nowhere.yaml") {
				t.Errorf("a contract that is not there: %v", err)
			}
		})
	}
}

func TestEveryStreamHasAHeaderLabelsAndATest(t *testing.T) {
	for name, yaml := range shipped(t) {
		t.Run(name, func(t *testing.T) {
			id := strings.TrimSuffix(filepath.Base(name), ".yaml")
			if !strings.HasPrefix(yaml, "# "+id+": ") {
				t.Errorf("it does not begin with a comment that says what %s does", id)
			}
			if _, err := os.Stat(filepath.Join("..", "..", strings.TrimSuffix(name, ".yaml")+testSuffix)); err != nil {
				t.Errorf("it has no test beside it: %v", err)
			}
			lints, err := Environment().FullConfigSchema("", "").NewStreamConfigLinter().
				SetRequireLabels(true).SetSkipEnvVarCheck(true).LintYAML([]byte(yaml))
			if err != nil {
				t.Fatal(err)
			}
			for _, lint := range lints {
				t.Errorf("line %d: %s", lint.Line, lint.What)
			}
		})
	}
}

func TestComponentsThatExecuteAreNotThere(t *testing.T) {
	for _, yaml := range []string{
		"pipeline: {processors: [{command: {name: id}}]}", "pipeline: {processors: [{subprocess: {name: id}}]}",
		"input: {subprocess: {name: id}}", "output: {subprocess: {name: id}}", "output: {file: {path: owned}}",
		"pipeline: {processors: [{awk: {codec: none, program: 'BEGIN { system(\"id\") }'}}]}", "pipeline: {processors: [{crash: x}]}",
		"input: {csv: {paths: [/etc/passwd]}}", "input: {parquet: {paths: [a]}}", "input: {socket: {network: unix, address: a}}",
		"pipeline: {processors: [{mapping: 'root = file(\"/etc/passwd\")'}]}", "pipeline: {processors: [{mapping: 'root = env(\"JWT_SECRET\")'}]}",
	} {
		if err := Environment().NewStreamBuilder().SetYAML(yaml); err == nil {
			t.Errorf("%s is accepted", yaml)
		}
	}
}
