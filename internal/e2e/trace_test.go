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
	const traced = "0af7651916cd43dd8448eb211c80319c"
	request, err := http.NewRequest(http.MethodPost, c.url+"/purchases/bulk-kafka",
		strings.NewReader(`{"purchases":[{"product_id":"lamp","customer_id":1,"seller_id":1,"quantity":1,"price_at_time":2.5}]}`))
	if err != nil {
		t.Fatal(err)
	}
	request.Header = http.Header{"Content-Type": {"application/json"}, "Authorization": {"Bearer " + c.token},
		"Traceparent": {"00-" + traced + "-b7ad6b7169203331-01"}}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
	if response.StatusCode != http.StatusOK {
		t.Fatal(response.Status)
	}
	wanted := []string{"POST /api/v1/purchases/bulk-kafka", "process purchases-raw", "process purchases-clickhouse", "process purchases-iceberg"}
	eventually(t, 60*time.Second, "the spans of every layer are collected", func() (bool, string) {
		received.mu.Lock()
		defer received.mu.Unlock()
		for _, name := range wanted {
			if !slices.Contains(received.names[traced], name) {
				return false, fmt.Sprint(received.names)
			}
		}
		return true, ""
	})
	received.mu.Lock()
	defer received.mu.Unlock()
	if len(received.names) != 1 {
		t.Errorf("what nobody asked to trace is traced: %v", received.names)
	}
}
