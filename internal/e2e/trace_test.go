package e2e

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	"google.golang.org/protobuf/proto"
)

// spans collects the names of the spans that reach it, by trace.
type spans struct {
	mu    sync.Mutex
	names map[string][]string
}

func (s *spans) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	request := &collector.ExportTraceServiceRequest{}
	body, err := io.ReadAll(r.Body)
	if err != nil || proto.Unmarshal(body, request) != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, of := range request.ResourceSpans {
		for _, scope := range of.ScopeSpans {
			for _, span := range scope.Spans {
				id := fmt.Sprintf("%x", span.TraceId)
				s.names[id] = append(s.names[id], span.Name)
			}
		}
	}
}

func TestATraceGoesFromTheRequestThroughKafkaToEverySink(t *testing.T) {
	received := &spans{names: map[string][]string{}}
	server := httptest.NewServer(received)
	defer server.Close()
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", server.URL)
	t.Setenv("OTEL_SAMPLE_RATIO", "0")
	up, _ := withUp(t)
	c := newClient(t, up)
	const bulk, single = "0af7651916cd43dd8448eb211c80319c", "1bf7651916cd43dd8448eb211c80319d"
	ask := func(trace string, status int, path, body string) {
		t.Helper()
		request, err := http.NewRequest(http.MethodPost, c.url+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		request.Header = http.Header{"Content-Type": {"application/json"}, "Authorization": {"Bearer " + c.token}}
		if trace != "" {
			request.Header.Set("Traceparent", "00-"+trace+"-b7ad6b7169203331-01")
		}
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
		if response.StatusCode != status {
			t.Fatal(path, response.Status)
		}
	}
	ask("", http.StatusCreated, "/products", `{"id":"traced-lamp","name":"Lamp","category":"home","price":2.5,"stock":3}`)
	ask(bulk, http.StatusOK, "/purchases/bulk-kafka", `{"purchases":[{"product_id":"lamp","customer_id":1,"seller_id":1,"quantity":1,"price_at_time":2.5}]}`)
	ask(single, http.StatusCreated, "/purchases", `{"product_id":"traced-lamp","customer_id":1,"seller_id":1,"quantity":1}`)
	sinks := []string{"process purchases-raw", "process purchases-clickhouse", "process purchases-iceberg"}
	wanted := map[string][]string{
		bulk:   append([]string{"POST /api/v1/purchases/bulk-kafka"}, sinks...),
		single: append([]string{"POST /api/v1/purchases"}, sinks...), // through the outbox
	}
	eventually(t, 60*time.Second, "the spans of every layer are collected", func() (bool, string) {
		received.mu.Lock()
		defer received.mu.Unlock()
		for trace, names := range wanted {
			for _, name := range names {
				if !slices.Contains(received.names[trace], name) {
					return false, fmt.Sprint(received.names)
				}
			}
		}
		return true, ""
	})
	received.mu.Lock()
	defer received.mu.Unlock()
	if len(received.names) != len(wanted) {
		t.Errorf("what nobody asked to trace is traced: %v", received.names)
	}
}
