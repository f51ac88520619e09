package api_test

import (
	"net/http"
	"testing"

	"go.opentelemetry.io/otel/codes"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"

	"github.com/shop-connect/shop-connect/api"
	"github.com/shop-connect/shop-connect/internal/auth"
)

func TestARequestIsASpanOfTheClientsTrace(t *testing.T) {
	spans := tracetest.NewSpanRecorder()
	s := newServer(t, func(c *api.Config) { c.Tracer = sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(spans)) })
	var inside trace.SpanContext
	if _, err := s.Mount(api.Route{Method: "POST", Path: "/things/{id}", Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		inside = trace.SpanContextFromContext(r.Context())
		w.WriteHeader(http.StatusServiceUnavailable)
	})}); err != nil {
		t.Fatal(err)
	}
	header := tokenOf(t, "ann", auth.ScopeWrite)
	header.Set("Traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
	do(s, "POST", "/things/secret-id/", "", header)
	ended := spans.Ended()
	if len(ended) != 1 {
		t.Fatalf("%d spans", len(ended))
	}
	span := ended[0]
	if span.Name() != "POST /things/{id}" || span.SpanKind() != trace.SpanKindServer || span.Status().Code != codes.Error {
		t.Errorf("span %s, %s, %s", span.Name(), span.SpanKind(), span.Status().Code)
	}
	if id := span.SpanContext().TraceID().String(); id != "0af7651916cd43dd8448eb211c80319c" || span.Parent().SpanID().String() != "b7ad6b7169203331" {
		t.Errorf("trace %s, parent %s", id, span.Parent().SpanID())
	}
	if inside.SpanID() != span.SpanContext().SpanID() {
		t.Error("the handler's context is not that of the span")
	}
}

func TestTracesNameNoPaths(t *testing.T) {
	spans := tracetest.NewSpanRecorder()
	s := newServer(t, func(c *api.Config) { c.Tracer = sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(spans)) })
	do(s, "GET", "/nothing/hidden?token=hidden", "", nil)
	for _, span := range spans.Ended() {
		if span.Name() != "GET" {
			t.Errorf("span %q", span.Name())
		}
	}
	if len(spans.Ended()) != 1 {
		t.Errorf("%d spans", len(spans.Ended()))
	}
}
