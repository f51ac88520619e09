package api

import (
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"time"

	"github.com/redpanda-data/benthos/v4/public/service"
)

// The metrics of the API, among those of Connect. Their labels are route patterns, never paths, so that
// clients cannot make up series.
const (
	metricRequests = "api_requests_total"
	metricDuration = "api_request_duration_seconds"
	metricInFlight = "api_requests_in_flight"

	labelRoute  = "route"
	labelStatus = "status"

	// noRouteLabel stands for all paths that there are not.
	noRouteLabel = "none"
)

// observer tells operators of each request. It never sees tokens or bodies.
type observer struct {
	log      *slog.Logger
	requests *service.MetricCounter
	duration *service.MetricTimer
	inFlight *service.MetricGauge
}

func newObserver(log *slog.Logger, m *service.Metrics) observer {
	return observer{
		log:      log,
		requests: m.NewCounter(metricRequests, labelRoute, labelStatus),
		duration: m.NewTimer(metricDuration, labelRoute), // in seconds where Connect's timers are histograms
		inFlight: m.NewGauge(metricInFlight),
	}
}

// NewAccessLog writes one line of JSON a request.
func NewAccessLog(w io.Writer) *slog.Logger {
	return slog.New(slog.NewJSONHandler(w, &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.LevelKey || a.Key == slog.MessageKey {
			return slog.Attr{} // the same in every line
		}
		return a
	}}))
}

// routeLabel is the pattern of the route that a request was answered by.
func routeLabel(r *http.Request) string {
	if r.Pattern == "" || r.Pattern == "/" {
		return noRouteLabel
	}
	return r.Pattern
}

func (o *observer) observe(w *response, r *http.Request, begun time.Time) {
	took := time.Since(begun)
	route := routeLabel(r)
	o.requests.Incr(1, route, strconv.Itoa(w.status))
	o.duration.Timing(took.Nanoseconds(), route)
	if o.log == nil {
		return
	}
	client, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		client = r.RemoteAddr
	}
	o.log.LogAttrs(context.WithoutCancel(r.Context()), slog.LevelInfo, "",
		slog.String("id", RequestID(w)), slog.String("method", r.Method), slog.String("route", route),
		slog.Int("status", w.status), slog.Int64("bytes", w.bytes),
		slog.Float64("duration_ms", float64(took.Microseconds())/1000),
		slog.String("client", client), slog.String("sub", w.token.claims.Subject))
}
