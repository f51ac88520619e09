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

	"github.com/shop-connect/shop-connect/internal/nearest"
	"github.com/shop-connect/shop-connect/internal/runparam"
)

// DefaultDir is the folder of the batch streams where nothing says otherwise.
const DefaultDir = "streams"

const (
	extension  = ".yaml"
	testSuffix = "_benthos_test.yaml"
	paramRunID = "run_id"
)

// parameter is ${PARAM_NAME} or ${PARAM_NAME:default}.
var parameter = regexp.MustCompile(`\$\{PARAM_([A-Z0-9_]+)(:[^}]*)?\}`)

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

// UnknownName is the error of a name that no batch stream has.
type UnknownName struct {
	Name  string
	Known []string
}

func (e *UnknownName) Error() string {
	if e.Name == "" {
		return "name a batch stream: " + strings.Join(e.Known, ", ")
	}
	text := fmt.Sprintf("there is no batch stream %.80q", e.Name)
	if meant := nearest.Of(e.Name, slices.Values(e.Known)); meant != "" {
		text += "; did you mean " + meant + "?"
	} else {
		text += "."
	}
	return text + " There are " + strings.Join(e.Known, ", ")
}

// ErrNoStreams is returned where a folder has no batch stream at all.
var ErrNoStreams = errors.New("there is no batch stream")

// Find returns the path of a batch stream by its name, which is one of Names and thus no path of its own.
func Find(dir, name string) (string, error) {
	names, err := Names(dir)
	if err != nil {
		return "", err
	}
	if len(names) == 0 {
		return "", fmt.Errorf("%w in %q: start in the project's folder, or name the folder with --streams or STREAMS_DIR", ErrNoStreams, dir)
	}
	if !slices.Contains(names, name) {
		return "", &UnknownName{Name: name, Known: names}
	}
	return filepath.Join(dir, name+extension), nil
}

// stream is a batch stream with its parameters in place.
type stream struct {
	yaml string
	// name is that of its batch_run, by which the ledger knows it.
	name string
	// queues says that a second start waits for the first to end.
	queues bool
}

// batchRun is what a batch stream says of itself.
type batchRun struct {
	Name    string            `yaml:"name"`
	OnBusy  string            `yaml:"on_busy"`
	Accepts map[string]string `yaml:"accepts"`
}

// ParamFault is what is wrong with one parameter of a request.
type ParamFault struct {
	Name, Message string
}

// ParamFaults is all that is wrong with the parameters of a request.
type ParamFaults []ParamFault

func (f ParamFaults) Error() string {
	texts := make([]string, len(f))
	for i, fault := range f {
		texts[i] = fmt.Sprintf("parameter %q: %s", fault.Name, fault.Message)
	}
	return strings.Join(texts, "\n")
}

// load reads a batch stream and puts parameters in. What is not given is left to the server, which
// takes its own environment's value or the default in the file.
func load(path string, params map[string]string) (stream, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return stream{}, fmt.Errorf("reading batch stream: %w", err)
	}
	// parsed before anything of the request is in it
	var doc struct {
		Input struct {
			BatchRun *batchRun `yaml:"batch_run"`
		} `yaml:"input"`
	}
	if err := yaml.Unmarshal(text, &doc); err != nil {
		return stream{}, fmt.Errorf("%s: parsing YAML: %w", path, err)
	}
	run := doc.Input.BatchRun
	if run == nil {
		return stream{}, fmt.Errorf("%s: its input must be a `batch_run`, else nobody could tell how it ends", path)
	}
	rendered, err := render(string(text), run.Accepts, params)
	if err != nil {
		return stream{}, fmt.Errorf("%s: %w", filepath.Base(path), err)
	}
	return stream{yaml: rendered, name: run.Name, queues: run.OnBusy == "queue"}, nil
}

func render(text string, rules, params map[string]string) (string, error) {
	declared, needed := declaredIn(text)
	if !slices.Contains(declared, paramRunID) {
		return "", errors.New("its `batch_run` must have `id: \"${PARAM_RUN_ID:}\"`, else nobody could find its run")
	}
	declared = slices.DeleteFunc(declared, func(name string) bool { return name == paramRunID })
	var faults ParamFaults
	for _, name := range needed {
		if _, given := params[name]; !given {
			faults = append(faults, ParamFault{name, "has no default: give it"})
		}
	}
	for _, name := range slices.Sorted(maps.Keys(params)) {
		if name != paramRunID && !slices.Contains(declared, name) {
			faults = append(faults, ParamFault{name, unknownParam(declared)})
		} else if err := runparam.Check(rules[name], params[name]); err != nil {
			faults = append(faults, ParamFault{name, err.Error()})
		}
	}
	if len(faults) > 0 {
		return "", faults
	}
	return parameter.ReplaceAllStringFunc(text, func(found string) string {
		if value, given := params[paramName(found)]; given {
			return value
		}
		return found
	}), nil
}

func unknownParam(declared []string) string {
	if len(declared) == 0 {
		return "there is none of this name, nor any other"
	}
	return "there is none of this name: there are " + strings.Join(declared, ", ")
}

// declaredIn returns the parameters that a text has places for, and those of them that have no default.
func declaredIn(text string) (declared, needed []string) {
	for _, found := range parameter.FindAllStringSubmatch(text, -1) {
		name := strings.ToLower(found[1])
		declared = append(declared, name)
		if found[2] == "" {
			needed = append(needed, name)
		}
	}
	slices.Sort(declared)
	slices.Sort(needed)
	return slices.Compact(declared), slices.Compact(needed)
}

func paramName(found string) string { return strings.ToLower(parameter.FindStringSubmatch(found)[1]) }
