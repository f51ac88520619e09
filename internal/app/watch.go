package app

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/redpanda-data/benthos/v4/public/service"
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
	log     *slog.Logger

	// seen holds what was last tried of each stream, running what runs.
	seen, running map[string]source
}

// source is a pipeline's file with the contracts it names: a change of either changes the stream.
type source struct{ yaml, contracts string }

func newPipelines(dir string, streams streamsAPI, env *service.Environment, log *slog.Logger) *pipelines {
	return &pipelines{
		dir: dir, streams: streams, log: log,
		linter: env.CoreConfigSchema("", "").NewStreamConfigLinter(),
		seen:   map[string]source{}, running: map[string]source{},
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

// apply brings the streams up to date with the files, each one as far as it goes.
func (p *pipelines) apply(ctx context.Context) error {
	files, err := p.read()
	if err != nil {
		return err
	}
	var faults []error
	for id, file := range files {
		if p.seen[id] == file {
			continue
		}
		p.seen[id] = file
		faults = append(faults, p.replace(ctx, id, file))
	}
	for id := range p.seen {
		if _, kept := files[id]; kept {
			continue
		}
		if err := p.streams.remove(ctx, id); err != nil {
			faults = append(faults, err)
			continue
		}
		p.log.Info("pipeline " + id + " stopped: its file is gone")
		delete(p.seen, id)
		delete(p.running, id)
	}
	return errors.Join(faults...)
}

// replace starts or replaces a stream. Connect removes the old stream before it constructs the new
// one, so a failure brings the old one back.
func (p *pipelines) replace(ctx context.Context, id string, file source) error {
	if err := p.lint(id, file); err != nil {
		return err
	}
	old, replaces := p.running[id]
	err := p.streams.put(ctx, id, file.yaml, replaces)
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
		faults[i] = fmt.Errorf("%s:%d: %s", p.path(id), lint.Line, lint.What)
	}
	return errors.Join(faults...)
}

func (p *pipelines) path(id string) string { return filepath.Join(p.dir, id+".yaml") }

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
		if strings.HasSuffix(path, testSuffix) {
			continue
		}
		content, err := os.ReadFile(path)
		if errors.Is(err, os.ErrNotExist) {
			continue // renamed away between two calls
		}
		if err != nil {
			return nil, fmt.Errorf("reading pipeline: %w", err)
		}
		named, err := namedContracts(content, contracts)
		if err != nil {
			return nil, err
		}
		files[strings.TrimSuffix(filepath.Base(path), ".yaml")] = source{string(content), named}
	}
	return files, nil
}

func namedContracts(pipeline []byte, contracts []string) (string, error) {
	var named strings.Builder
	for _, path := range contracts {
		if !bytes.Contains(pipeline, []byte("/"+filepath.Base(path))) {
			continue
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return "", fmt.Errorf("reading contract: %w", err)
		}
		named.Write(text)
	}
	return named.String(), nil
}

// streamsAPI is Connect's REST API for streams.
type streamsAPI struct {
	url, user, password string
}

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
	return s.call(ctx, http.MethodDelete, "/streams/"+id+"?timeout=30s", "")
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
	if response.StatusCode >= http.StatusBadRequest {
		return fmt.Errorf("%s %s: %s: %s", method, path, response.Status, bytes.TrimSpace(text))
	}
	return nil
}
