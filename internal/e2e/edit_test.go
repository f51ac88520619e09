package e2e

import (
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/shop-connect/shop-connect/internal/env"
	"github.com/shop-connect/shop-connect/internal/upproc"
)

// saveLikeAnEditor replaces a file by a new one of the same name.
func saveLikeAnEditor(t *testing.T, path, content string) {
	t.Helper()
	if err := os.WriteFile(path+"~", []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path+"~", path); err != nil {
		t.Fatal(err)
	}
}

// stream asks the streams REST API about one stream.
func stream(t *testing.T, up *upproc.Process, id string) (config string, active, found bool) {
	t.Helper()
	request, err := http.NewRequest(http.MethodGet, "http://"+up.Env[env.StreamsAddress]+"/streams/"+id, nil)
	if err != nil {
		t.Fatal(err)
	}
	request.SetBasicAuth(up.Env[env.StreamsUser], up.Env[env.StreamsPassword])
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if response.StatusCode == http.StatusNotFound {
		return "", false, false
	}
	var answer struct {
		Active bool            `json:"active"`
		Config json.RawMessage `json:"config"`
	}
	if err := json.NewDecoder(response.Body).Decode(&answer); err != nil {
		t.Fatal(err)
	}
	return string(answer.Config), answer.Active, true
}

const ticker = `# ticker: counts seconds; nobody needs it but a test.
input:
  label: seconds
  generate:
    interval: 1s
    mapping: root = "MAPPING"
output:
  label: nowhere
  drop: {}
`

func TestPipelinesFollowTheirFiles(t *testing.T) {
	up, pipelines := withUp(t)
	path := filepath.Join(pipelines, "ticker.yaml")
	runs := func(mapping string) func() (bool, string) {
		return func() (bool, string) {
			config, active, _ := stream(t, up, "ticker")
			return active && strings.Contains(config, mapping), config
		}
	}
	saveLikeAnEditor(t, path, strings.Replace(ticker, "MAPPING", "first", 1))
	eventually(t, 10*time.Second, "a new file runs", runs("first"))

	saveLikeAnEditor(t, path, strings.Replace(ticker, "MAPPING", "second", 1))
	eventually(t, 10*time.Second, "an edited file replaces its stream", runs("second"))

	// a fault leaves the old stream as it is: the next good edit proves that the faulty one was seen
	saveLikeAnEditor(t, path, strings.Replace(ticker, "interval", "intervall", 1))
	saveLikeAnEditor(t, filepath.Join(pipelines, "marker.yaml"), ticker)
	eventually(t, 10*time.Second, "the watcher has passed the fault", func() (bool, string) {
		_, active, _ := stream(t, up, "marker")
		return active, ""
	})
	if ok, config := runs("second")(); !ok {
		t.Errorf("a typo stopped the stream that ran: %s", config)
	}

	// so does a fault in a contract, for every stream that names it
	contract := filepath.Join(pipelines, "contracts", "purchases.yaml")
	good, err := os.ReadFile(contract)
	if err != nil {
		t.Fatal(err)
	}
	saveLikeAnEditor(t, contract, strings.Replace(string(good), "type:", "typ:", 1))
	saveLikeAnEditor(t, filepath.Join(pipelines, "marker2.yaml"), ticker)
	eventually(t, 10*time.Second, "the watcher has passed the faulty contract", func() (bool, string) {
		_, active, _ := stream(t, up, "marker2")
		return active, ""
	})
	for _, id := range []string{"purchases_ingest", "purchases_raw", "purchases_clickhouse"} {
		if _, active, _ := stream(t, up, id); !active {
			t.Errorf("a typo in a contract stopped %s", id)
		}
	}
	saveLikeAnEditor(t, contract, string(good))

	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	eventually(t, 40*time.Second, "a removed file ends its stream", func() (bool, string) {
		config, _, found := stream(t, up, "ticker")
		return !found, config
	})
}

func TestTheStreamsAPIAsksForCredentials(t *testing.T) {
	up, _ := withUp(t)
	for _, path := range []string{"/streams", "/ready", "/metrics", "/streams/purchases_raw"} {
		response, err := http.Get("http://" + up.Env[env.StreamsAddress] + path)
		if err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
		if response.StatusCode != http.StatusUnauthorized {
			t.Errorf("%s answers %s without credentials", path, response.Status)
		}
	}
	for _, component := range []string{
		"pipeline: {processors: [{command: {name: id}}]}",
		"pipeline: {processors: [{subprocess: {name: id}}]}",
		"output: {file: {path: /tmp/owned}}",
	} {
		request, err := http.NewRequest(http.MethodPost, "http://"+up.Env[env.StreamsAddress]+"/streams/evil?chilled=true",
			strings.NewReader("input: {generate: {mapping: 'root = 1', count: 1}}\n"+component))
		if err != nil {
			t.Fatal(err)
		}
		request.SetBasicAuth(up.Env[env.StreamsUser], up.Env[env.StreamsPassword])
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
		if response.StatusCode < 400 {
			t.Errorf("a stream with %s is taken: %s", component, response.Status)
		}
	}
}
