package runs

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"gopkg.in/yaml.v3"
)

const (
	extension  = ".yaml"
	testSuffix = "_benthos_test.yaml"
	paramRunID = "run_id"
)

var (
	// parameter is ${PARAM_NAME} or ${PARAM_NAME:default}.
	parameter = regexp.MustCompile(`\$\{PARAM_([A-Z0-9_]+)(:[^}]*)?\}`)
	// harmless is what a value may consist of: it ends up in YAML that a server interpolates once more.
	harmless = regexp.MustCompile(`^[A-Za-z0-9._:/=+@-]*$`)
)

// Names lists the batch streams of a folder.
func Names(dir string) ([]string, error) {
	paths, err := filepath.Glob(filepath.Join(dir, "*"+extension))
	if err != nil {
		return nil, fmt.Errorf("listing batch streams: %w", err)
	}
	var names []string
	for _, path := range paths {
		if !strings.HasSuffix(path, testSuffix) {
			names = append(names, strings.TrimSuffix(filepath.Base(path), extension))
		}
	}
	return names, nil
}

// Find returns the path of a batch stream by its name.
func Find(dir, name string) (string, error) {
	names, err := Names(dir)
	if err != nil {
		return "", err
	}
	if slices.Contains(names, name) {
		return filepath.Join(dir, name+extension), nil
	}
	if len(names) == 0 {
		return "", fmt.Errorf("there is no batch stream in %q: start in the project's folder, or name the folder with --streams", dir)
	}
	if name == "" {
		return "", fmt.Errorf("name a batch stream: %s", strings.Join(names, ", "))
	}
	return "", fmt.Errorf("there is no batch stream %q: there are %s", name, strings.Join(names, ", "))
}

// stream is a batch stream with its parameters in place.
type stream struct {
	yaml string
	// name is that of its batch_run, by which the ledger knows it.
	name string
	// queues says that a second start waits for the first to end.
	queues bool
}

// load reads a batch stream and puts parameters in. What is not given is left to the server, which
// takes its own environment's value or the default in the file.
func load(path string, params map[string]string) (stream, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return stream{}, fmt.Errorf("reading batch stream: %w", err)
	}
	rendered, err := render(string(text), params)
	if err != nil {
		return stream{}, fmt.Errorf("%s: %w", path, err)
	}
	var doc struct {
		Input struct {
			BatchRun *struct {
				Name   string `yaml:"name"`
				OnBusy string `yaml:"on_busy"`
			} `yaml:"batch_run"`
		} `yaml:"input"`
	}
	if err := yaml.Unmarshal([]byte(rendered), &doc); err != nil {
		return stream{}, fmt.Errorf("%s: parsing YAML: %w", path, err)
	}
	if doc.Input.BatchRun == nil {
		return stream{}, fmt.Errorf("%s: its input must be a `batch_run`, else nobody could tell how it ends", path)
	}
	return stream{yaml: rendered, name: doc.Input.BatchRun.Name, queues: doc.Input.BatchRun.OnBusy == "queue"}, nil
}

func render(text string, params map[string]string) (string, error) {
	declared := map[string]bool{}
	var missing []string
	rendered := parameter.ReplaceAllStringFunc(text, func(found string) string {
		parts := parameter.FindStringSubmatch(found)
		name := strings.ToLower(parts[1])
		declared[name] = true
		value, given := params[name]
		switch {
		case given:
			return value
		case parts[2] == "" && !slices.Contains(missing, name):
			missing = append(missing, name)
		}
		return found
	})
	var faults []error
	for _, name := range missing {
		faults = append(faults, fmt.Errorf("parameter %q has no default: give it", name))
	}
	if !declared[paramRunID] {
		faults = append(faults, errors.New("its input must be a `batch_run` with `id: \"${PARAM_RUN_ID:}\"`, else nobody could tell how it ends"))
	}
	delete(declared, paramRunID)
	for _, name := range slices.Sorted(maps.Keys(params)) {
		if !declared[name] && name != paramRunID {
			faults = append(faults, fmt.Errorf("there is no parameter %q: there are %s", name, strings.Join(slices.Sorted(maps.Keys(declared)), ", ")))
		}
		if value := params[name]; !harmless.MatchString(value) || strings.Contains(value, "..") {
			faults = append(faults, fmt.Errorf("parameter %q: %q may hold letters, digits and ._:/=+@- only, and no two dots together", name, value))
		}
	}
	return rendered, errors.Join(faults...)
}
