package otlptracer

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/redpanda-data/benthos/v4/public/service"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	"google.golang.org/protobuf/proto"
)

func build(t *testing.T, yaml string) (trace.TracerProvider, error) {
	t.Helper()
	conf, err := Spec().ParseYAML(yaml, nil)
	if err != nil {
		t.Fatal(err)
	}
	return newTracer(conf)
}

func TestWithoutAnEndpointNothingIsTraced(t *testing.T) {
	tracer, err := build(t, "{}")
	if err != nil {
		t.Fatal(err)
	}
	if _, span := tracer.Tracer("test").Start(t.Context(), "request"); span.IsRecording() {
		t.Error("a span is recorded for nobody")
	}
}

func TestSpansReachTheCollector(t *testing.T) {
	received := make(chan *collector.ExportTraceServiceRequest, 1)
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		request := &collector.ExportTraceServiceRequest{}
		if err != nil || proto.Unmarshal(body, request) != nil || r.URL.Path != tracesPath || r.Header.Get("X-Key") != "k" {
			t.Errorf("%s %v: %d bytes, %v", r.URL.Path, r.Header, len(body), err)
		}
		received <- request
	}))
	defer server.Close()
	tracer, err := build(t, "{endpoint: "+server.URL+", headers: {X-Key: k}, service: shop, sample_ratio: 1}")
	if err != nil {
		t.Fatal(err)
	}
	_, span := tracer.Tracer("test").Start(t.Context(), "request")
	span.End()
	if err := tracer.(*sdktrace.TracerProvider).Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	spans := (<-received).ResourceSpans[0]
	if name := spans.ScopeSpans[0].Spans[0].Name; name != "request" {
		t.Errorf("span %q", name)
	}
	if of := spans.Resource.Attributes[0]; of.Key != "service.name" || of.Value.GetStringValue() != "shop" {
		t.Errorf("it is of %v", of)
	}
}

func TestEveryFaultOfTheConfigIsReported(t *testing.T) {
	_, err := build(t, "{endpoint: 'collector:4318', sample_ratio: 2}")
	for _, want := range []string{"endpoint", "http://host:port", "sample_ratio"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not in: %v", want, err)
		}
	}
}

var _ service.OtelTracerProviderConstructor = newTracer
