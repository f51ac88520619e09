package record

import (
	"context"
	"maps"

	"github.com/twmb/franz-go/pkg/kgo"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
)

// headerTrace is the header by which a trace goes on through Kafka (W3C Trace Context).
const headerTrace = "traceparent"

// TraceHeaders are the headers of records that continue the trace of ctx; none where nobody collects it.
func TraceHeaders(ctx context.Context) []kgo.RecordHeader {
	parent := traceParent(ctx)
	if parent == "" {
		return nil
	}
	return []kgo.RecordHeader{{Key: headerTrace, Value: []byte(parent)}}
}

// WithTrace adds to the headers of an event, which may be nil, the one that continues the trace of ctx.
// They stay as they are where nobody collects it.
func WithTrace(ctx context.Context, headers map[string]string) map[string]string {
	parent := traceParent(ctx)
	if parent == "" {
		return headers
	}
	with := map[string]string{headerTrace: parent}
	maps.Copy(with, headers)
	return with
}

func traceParent(ctx context.Context) string {
	if !trace.SpanContextFromContext(ctx).IsSampled() {
		return ""
	}
	carrier := propagation.MapCarrier{}
	propagation.TraceContext{}.Inject(ctx, carrier)
	return carrier[headerTrace]
}

// Traces appends the traces that records continue, each once, as contexts of their parent spans, until there
// are most of them.
func Traces(traces []context.Context, most int, records []*kgo.Record) []context.Context {
	var last string
	for _, r := range records {
		if len(traces) >= most {
			break
		}
		for _, h := range r.Headers {
			// rows of one request are neighbours
			if h.Key != headerTrace || string(h.Value) == last {
				continue
			}
			last = string(h.Value)
			ctx := propagation.TraceContext{}.Extract(context.Background(), propagation.MapCarrier{headerTrace: last})
			if parent := trace.SpanContextFromContext(ctx); parent.IsSampled() && !among(traces, parent) {
				traces = append(traces, ctx)
			}
		}
	}
	return traces
}

func among(traces []context.Context, parent trace.SpanContext) bool {
	for _, ctx := range traces {
		if other := trace.SpanContextFromContext(ctx); other.SpanID() == parent.SpanID() && other.TraceID() == parent.TraceID() {
			return true
		}
	}
	return false
}
