package kafkarows

import (
	"context"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"

	"github.com/shop-connect/shop-connect/internal/record"
)

// maxTraces bounds how many requests of a batch have their traces continued: a batch may hold rows of
// thousands.
const maxTraces = 32

// follower continues the traces that rows bring along, from the moment they go into the stream until its
// output has them.
type follower struct {
	tracer trace.Tracer
	group  string
}

// newFollower returns nil where nobody collects traces.
func newFollower(provider trace.TracerProvider, group string) *follower {
	if _, off := provider.(noop.TracerProvider); off || provider == nil {
		return nil
	}
	return &follower{provider.Tracer("shop-connect/kafka_rows"), group}
}

// begin opens a span in each trace; end closes them.
func (f *follower) begin(shares []share) (end func(error)) {
	if f == nil {
		return func(error) {}
	}
	var traces []context.Context
	rows := 0
	for _, s := range shares {
		traces = record.Traces(traces, maxTraces, s.records)
		rows += len(s.records)
	}
	spans := make([]trace.Span, len(traces))
	for i, ctx := range traces {
		_, spans[i] = f.tracer.Start(ctx, "process "+f.group, trace.WithSpanKind(trace.SpanKindConsumer), trace.WithAttributes(
			attribute.String("messaging.system", "kafka"),
			attribute.String("messaging.consumer.group.name", f.group),
			attribute.Int("messaging.batch.message_count", rows),
		))
	}
	return func(err error) {
		for _, span := range spans {
			if err != nil {
				span.SetStatus(codes.Error, err.Error())
			}
			span.End()
		}
	}
}
