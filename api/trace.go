package api

import (
	"net/http"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"
)

// requestTracer gives requests their spans, as children of the client's where it names one (traceparent).
// What streams and PostgreSQL's outbox do for a request goes on in its span, which its context holds.
type requestTracer struct{ tracer trace.Tracer }

// newRequestTracer returns nil where nobody collects traces: then a request costs nothing more.
func newRequestTracer(provider trace.TracerProvider) *requestTracer {
	if _, off := provider.(noop.TracerProvider); off || provider == nil {
		return nil
	}
	return &requestTracer{provider.Tracer("shop-connect/api")}
}

// begin opens the span of a request.
func (t *requestTracer) begin(r *http.Request) *http.Request {
	if t == nil {
		return r
	}
	ctx := propagation.TraceContext{}.Extract(r.Context(), propagation.HeaderCarrier(r.Header))
	ctx, _ = t.tracer.Start(ctx, r.Method, trace.WithSpanKind(trace.SpanKindServer))
	return r.WithContext(ctx)
}

// end closes it. Names are route patterns, never paths, for the reason that metrics have.
func (t *requestTracer) end(w *response, r *http.Request) {
	if t == nil {
		return
	}
	span := trace.SpanFromContext(r.Context())
	if route := routeLabel(r); route != noRouteLabel {
		span.SetName(route)
		span.SetAttributes(attribute.String("http.route", route))
	}
	span.SetAttributes(
		attribute.String("http.request.method", r.Method),
		attribute.Int("http.response.status_code", w.status),
		attribute.String("request.id", RequestID(w)),
	)
	if w.status >= http.StatusInternalServerError {
		span.SetStatus(codes.Error, http.StatusText(w.status))
	}
	span.End()
}
