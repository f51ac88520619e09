package app

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/redpanda-data/benthos/v4/public/service"

	"github.com/shop-connect/shop-connect/internal/contract"
)

const (
	watchInterval = 500 * time.Millisecond
	testSuffix    = "_benthos_test.yaml"
)

// pipelines keeps the running streams equal to the YAML files of a folder. It compares contents, so
// that every way of saving a file is noticed, an editor's rename as well as a write in place. A file
// with a fault leaves the stream that runs as it is.
type pipelines struct {
	dir     string
	streams streamsAPI
	linter  *service.StreamConfigLinter
	names   names
	log     *slog.Logger
	// adopt refuses contracts that what is stored does not fit; it is nil where nothing is stored.
	adopt func(context.Context, []*contract.Contract) error

	// seen holds what was last tried of each stream, running what runs.
	seen, running map[string]source
	// told holds the fault last reported of each stream, so that it is said once.
	told map[string]string
}

// source is a pipeline's file with the contracts it names: a change of either changes the stream.
type source struct {
	yaml, contracts string
	parsed          []*contract.Contract
	// fault is why the file, or a contract it names, cannot be used.
	fault error
}

func (s source) equal(other source) bool {
	return s.yaml == other.yaml && s.contracts == other.contracts
}

func newPipelines(dir string, streams streamsAPI, env *service.Environment, log *slog.Logger) *pipelines {
	return &pipelines{
		dir: dir, streams: streams, log: log,
		linter: env.CoreConfigSchema("", "").NewStreamConfigLinter(),
		names:  newNames(env),
		seen:   map[string]source{}, running: map[string]source{}, told: map[string]string{},
	}
}

// check reads every pipeline and returns the faults of all of them.
func (p *pipelines) check() error {
	files, err := p.read()
	if err != nil {
		return err
	}
	if len(files) == 0 {
		return fmt.Errorf("reading pipelines: no *.yaml in %q; start in the project's folder or give --pipelines", p.dir)
	}
	var faults []error
	for id, file := range files {
		if file.fault != nil {
			faults = append(faults, file.fault)
			continue
		}
		faults = append(faults, p.lint(id, file))
	}
	return errors.Join(faults...)
}

// watch applies changes until the context ends.
func (p *pipelines) watch(ctx context.Context) {
	ticker := time.NewTicker(watchInterval)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			if err := p.apply(ctx); err != nil {
				p.log.Error("pipelines: " + err.Error())
			}
		}
	}
}

// apply brings the streams up to date with the files, each one as far as it goes. A fault is returned
// once, not at every look.
func (p *pipelines) apply(ctx context.Context) error {
	files, err := p.read()
	if err != nil {
		return p.news("", err)
	}
	faults := []error{p.news("", nil)}
	for _, id := range downstreamFirst(files) {
		file := files[id]
		if file.fault == nil && p.seen[id].equal(file) {
			continue
		}
		err := p.replace(ctx, id, file)
		p.seen[id] = file
		faults = append(faults, p.news(id, err))
	}
	for id := range p.seen {
		if _, kept := files[id]; kept {
			continue
		}
		if _, runs := p.running[id]; runs {
			if err := p.streams.remove(ctx, id); err != nil {
				faults = append(faults, p.news(id, err))
				continue
			}
			p.log.Info("pipeline " + id + " stopped: its file is gone")
		}
		delete(p.seen, id)
		delete(p.running, id)
		delete(p.told, id)
	}
	return errors.Join(faults...)
}

// downstreamFirst orders streams so that a contract's new field is known to every sink before the API
// takes rows that have it; a sink stores what its own contract names.
func downstreamFirst(files map[string]source) []string {
	ids := slices.Sorted(maps.Keys(files))
	slices.SortStableFunc(ids, func(a, b string) int {
		return cmp.Compare(strings.Count(files[a].yaml, ingestionInput), strings.Count(files[b].yaml, ingestionInput))
	})
	return ids
}

// ingestionInput is what the YAML of a stream has that takes rows from the API.
const ingestionInput = "jwt_http:"

// news returns a fault unless it was the last one told of this stream.
func (p *pipelines) news(id string, fault error) error {
	if fault == nil {
		delete(p.told, id)
		return nil
	}
	if p.told[id] == fault.Error() {
		return nil
	}
	p.told[id] = fault.Error()
	return fault
}

// replace starts or replaces a stream. Whatever can be known to be wrong is found before the stream that
// runs is touched: Connect removes it before it constructs the new one. Should that fail all the same,
// the old one is brought back.
func (p *pipelines) replace(ctx context.Context, id string, file source) error {
	if file.fault != nil {
		return file.fault
	}
	if err := p.lint(id, file); err != nil {
		return err
	}
	if p.adopt != nil {
		if err := p.adopt(ctx, file.parsed); err != nil {
			return fmt.Errorf("%s: %w", p.path(id), err)
		}
	}
	old, replaces := p.running[id]
	err := p.streams.put(ctx, id, file.yaml, replaces)
	if replaces && errors.Is(err, errNoStream) {
		// somebody has removed it over the REST API
		err = p.streams.put(ctx, id, file.yaml, false)
	}
	if err == nil {
		p.running[id] = file
		if replaces {
			p.log.Info("pipeline " + id + " replaced")
		}
		return nil
	}
	delete(p.running, id)
	if replaces {
		if again := p.streams.put(ctx, id, old.yaml, false); again != nil {
			return errors.Join(err, fmt.Errorf("bringing back the old stream: %w", again))
		}
		p.running[id] = old
	}
	return err
}

func (p *pipelines) lint(id string, file source) error {
	lints, err := p.linter.LintYAML([]byte(file.yaml))
	if err != nil {
		return fmt.Errorf("%s: %w", p.path(id), err)
	}
	faults := make([]error, len(lints))
	for i, lint := range lints {
		faults[i] = fmt.Errorf("%s:%d: %s%s", p.path(id), lint.Line, lint.What, p.names.meant(lint.What))
	}
	return errors.Join(faults...)
}

func (p *pipelines) path(id string) string { return filepath.Join(p.dir, id+".yaml") }

// streamID is what a file must be called to be a stream; hidden files are those of editors.
var streamID = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_-]*$`)

// read returns every pipeline of the folder by its stream's id.
func (p *pipelines) read() (map[string]source, error) {
	paths, err := filepath.Glob(filepath.Join(p.dir, "*.yaml"))
	if err != nil {
		return nil, fmt.Errorf("listing pipelines: %w", err)
	}
	contracts, err := filepath.Glob(filepath.Join(p.dir, "contracts", "*.yaml"))
	if err != nil {
		return nil, fmt.Errorf("listing contracts: %w", err)
	}
	files := make(map[string]source, len(paths))
	for _, path := range paths {
		id := strings.TrimSuffix(filepath.Base(path), ".yaml")
		if strings.HasSuffix(path, testSuffix) || strings.HasPrefix(id, ".") {
			continue
		}
		if file, found := readSource(id, path, contracts); found {
			files[id] = file
		}
	}
	return files, nil
}

// readSource reads a pipeline and the contracts it names; found is false for a file that is renamed away
// in this moment.
func readSource(id, path string, contracts []string) (file source, found bool) {
	if !streamID.MatchString(id) {
		return source{fault: fmt.Errorf("%s: name it with letters, digits, _ and - only", path)}, true
	}
	content, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return source{}, false
	}
	if err != nil {
		return source{fault: fmt.Errorf("reading pipeline: %w", err)}, true
	}
	file.yaml = string(content)
	if !strings.Contains(file.yaml, "input:") {
		// a file being written, or none of ours: Connect would read standard input
		file.fault = fmt.Errorf("%s: it has no input", path)
	}
	for _, path := range contracts {
		if !bytes.Contains(content, []byte("/"+filepath.Base(path))) {
			continue
		}
		text, err := os.ReadFile(path)
		var parsed *contract.Contract
		if err == nil {
			file.contracts += string(text)
			parsed, err = contract.Parse(text)
		}
		if err != nil {
			file.fault = errors.Join(file.fault, fmt.Errorf("%s: %w", path, err))
			continue
		}
		file.parsed = append(file.parsed, parsed)
	}
	return file, true
}

// streamsAPI is Connect's REST API for streams.
type streamsAPI struct {
	url, user, password string
}

// errNoStream is the answer about a stream that is not there.
var errNoStream = errors.New("there is no such stream")

// put creates a stream, or replaces the one that runs under the id.
func (s streamsAPI) put(ctx context.Context, id, config string, replaces bool) error {
	method := http.MethodPost
	if replaces {
		method = http.MethodPut
	}
	return s.call(ctx, method, "/streams/"+id, config)
}

// remove waits a bounded time for the stream to finish what it has in hand.
func (s streamsAPI) remove(ctx context.Context, id string) error {
	err := s.call(ctx, http.MethodDelete, "/streams/"+id+"?timeout=30s", "")
	if errors.Is(err, errNoStream) {
		return nil
	}
	return err
}

// ready reports whether every component of every stream is connected.
func (s streamsAPI) ready(ctx context.Context) error {
	return s.call(ctx, http.MethodGet, "/ready", "")
}

func (s streamsAPI) call(ctx context.Context, method, path, body string) error {
	request, err := http.NewRequestWithContext(ctx, method, s.url+path, strings.NewReader(body))
	if err != nil {
		return fmt.Errorf("calling the streams API: %w", err)
	}
	request.SetBasicAuth(s.user, s.password)
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return fmt.Errorf("calling the streams API: %w", err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		return fmt.Errorf("reading the answer of the streams API: %w", err)
	}
	if response.StatusCode == http.StatusNotFound {
		return fmt.Errorf("%s %s: %w", method, path, errNoStream)
	}
	if response.StatusCode >= http.StatusBadRequest {
		return fmt.Errorf("%s %s: %s: %s", method, path, response.Status, bytes.TrimSpace(text))
	}
	return nil
}
