// Package otlptracer is the tracer `otlp_http`: it sends the spans of requests, streams and sinks to an
// OpenTelemetry collector, where one is configured, and costs nothing where none is.
package otlptracer

import (
	"errors"
	"fmt"
	"net/url"
	"time"

	"github.com/redpanda-data/benthos/v4/public/service"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	sdk "go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"
)

const (
	fieldEndpoint = "endpoint"
	fieldHeaders  = "headers"
	fieldService  = "service"
	fieldRatio    = "sample_ratio"
	fieldTimeout  = "timeout"
)

// tracesPath is where a collector takes spans, if its endpoint names no path of its own.
const tracesPath = "/v1/traces"

// Spec documents the component.
func Spec() *service.ConfigSpec {
	return service.NewConfigSpec().
		Summary("Sends spans to an OpenTelemetry collector over OTLP/HTTP.").
		Description("A request's span is that of its `traceparent` header where it has one, and goes on through Kafka, as a header of the records, to the sinks. "+
			"Spans are sent in the background; a collector that is away costs spans, never rows.").
		Fields(
			service.NewStringField(fieldEndpoint).Description("The collector, such as http://collector:4318. Empty turns tracing off.").Default(""),
			service.NewStringMapField(fieldHeaders).Description("Headers of each request to the collector, such as its credentials.").Default(map[string]any{}).Secret(),
			service.NewStringField(fieldService).Description("What this program is called in traces.").Default("shop-connect"),
			service.NewFloatField(fieldRatio).Description("Which share of the requests is traced that come without a `traceparent`; one that comes with it is traced as that says.").Default(0.01),
			service.NewDurationField(fieldTimeout).Description("How long the collector may take for spans sent to it.").Default("10s").Advanced(),
		)
}

func init() {
	service.MustRegisterOtelTracerProvider("otlp_http", Spec(), newTracer)
}

func newTracer(conf *service.ParsedConfig) (trace.TracerProvider, error) {
	endpoint, err := conf.FieldString(fieldEndpoint)
	if err != nil || endpoint == "" {
		return noop.NewTracerProvider(), err
	}
	headers, headersErr := conf.FieldStringMap(fieldHeaders)
	name, nameErr := conf.FieldString(fieldService)
	ratio, ratioErr := conf.FieldFloat(fieldRatio)
	if ratioErr == nil && (ratio < 0 || ratio > 1) {
		ratioErr = fmt.Errorf("%s: %v must be from 0 to 1", fieldRatio, ratio)
	}
	timeout, timeoutErr := conf.FieldDuration(fieldTimeout)
	collector, collectorErr := collectorURL(endpoint)
	if err := errors.Join(collectorErr, headersErr, nameErr, ratioErr, timeoutErr); err != nil {
		return nil, err
	}
	return provider(collector, headers, name, ratio, timeout), nil
}

func collectorURL(endpoint string) (string, error) {
	u, err := url.Parse(endpoint)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" {
		return "", fmt.Errorf("%s: %q must be http://host:port or https://host:port", fieldEndpoint, endpoint)
	}
	if u.Path == "" || u.Path == "/" {
		u.Path = tracesPath
	}
	return u.String(), nil
}

func provider(collector string, headers map[string]string, name string, ratio float64, timeout time.Duration) *sdktrace.TracerProvider {
	exporter := otlptracehttp.NewUnstarted(
		otlptracehttp.WithEndpointURL(collector), otlptracehttp.WithHeaders(headers), otlptracehttp.WithTimeout(timeout),
	)
	return sdktrace.NewTracerProvider(
		sdktrace.WithBatcher(exporter),
		sdktrace.WithSampler(sdktrace.ParentBased(sdktrace.TraceIDRatioBased(ratio))),
		sdktrace.WithResource(sdk.NewSchemaless(attribute.String("service.name", name))),
	)
}
