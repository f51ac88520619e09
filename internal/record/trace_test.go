package record_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"

	"github.com/shop-connect/shop-connect/internal/record"
)

func TestATraceGoesOnThroughRecords(t *testing.T) {
	ctx, span := sdktrace.NewTracerProvider().Tracer("test").Start(t.Context(), "request")
	defer span.End()
	headers := record.TraceHeaders(ctx)
	traces := record.Traces(nil, 8, []*kgo.Record{{}, {Headers: headers}, {}, {Headers: headers}})
	if len(traces) != 1 || trace.SpanContextFromContext(traces[0]).SpanID() != span.SpanContext().SpanID() {
		t.Errorf("traces %v", traces)
	}
}

func TestWhatIsNotTracedHasNoHeaders(t *testing.T) {
	ctx, span := sdktrace.NewTracerProvider(sdktrace.WithSampler(sdktrace.NeverSample())).Tracer("test").Start(t.Context(), "request")
	defer span.End()
	for _, ctx := range []context.Context{ctx, t.Context()} {
		if headers := record.TraceHeaders(ctx); headers != nil {
			t.Errorf("headers %v", headers)
		}
	}
}

func TestNoNumberOrNonsenseOfTracesIsTooMuch(t *testing.T) {
	var records []*kgo.Record
	for i := range 100 {
		value := fmt.Sprintf("00-0af7651916cd43dd8448eb211c80319c-b7ad6b71692%05x-01", i+1)
		records = append(records, &kgo.Record{Headers: []kgo.RecordHeader{{Key: "traceparent", Value: []byte("nonsense")}, {Key: "traceparent", Value: []byte(value)}}})
	}
	if n := len(record.Traces(nil, 8, records)); n != 8 {
		t.Errorf("%d traces", n)
	}
}
