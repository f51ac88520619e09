package api

import (
	"context"
	"errors"
	"maps"
	"net"
	"net/http"
	"reflect"
	"sync"
	"syscall"
	"time"

	"github.com/danielgtaylor/huma/v2"
)

const healthDetailPath = "/api/v1/health"

// StreamLag is how far a stream is behind the topic that it reads.
type StreamLag struct {
	Group string `json:"group" doc:"The stream's consumer group." example:"purchases-raw"`
	State string `json:"state" doc:"The group's state in Kafka; Empty is a stream that does not run." example:"Stable"`
	Topic string `json:"topic" example:"purchases"`
	Lag   int64  `json:"lag" doc:"Records of the topic that the stream has not committed yet."`
}

// dependency is one thing that is depended on, as the extended check shows it to anybody: where it is
// and what it said is for the log.
type dependency struct {
	Name      string  `json:"name" example:"kafka"`
	State     string  `json:"state" enum:"connected,unreachable"`
	LatencyMS float64 `json:"latency_ms" doc:"How long it took to answer."`
	Error     string  `json:"error,omitempty" doc:"Why it counts as unreachable."`
	Required  bool    `json:"required" doc:"Whether the API itself needs it; what it does not need, its streams do."`
}

// healthDetail is the answer of the extended check.
type healthDetail struct {
	Status       string       `json:"status" enum:"healthy,degraded,unhealthy" doc:"Degraded: the API takes requests, but something behind its streams is away, or their lag is not known."`
	CheckedAt    time.Time    `json:"checked_at"`
	Dependencies []dependency `json:"dependencies"`
	Streams      []StreamLag  `json:"streams" doc:"Empty while Kafka does not say."`
}

type healthDetailAnswer struct {
	Status int
	Body   healthDetail
}

// detailedHealth runs the extended check, at most once per interval whoever asks.
type detailedHealth struct {
	mu      sync.Mutex
	last    healthDetailAnswer
	failing map[string]bool
}

func (s *Server) registerHealthDetail() {
	schema := s.huma.OpenAPI().Components.Schemas.Schema(reflect.TypeFor[healthDetail](), true, "")
	huma.Register(s.huma, huma.Operation{
		OperationID: "health-detail", Method: http.MethodGet, Path: healthDetailPath, Tags: []string{"service"},
		Summary:     "Check every dependency, and how far the streams are behind",
		Description: "Answers within seconds, whatever is away.",
		Responses: map[string]*huma.Response{"503": {
			Description: "Something that the API cannot do without is away.",
			Content:     map[string]*huma.MediaType{"application/json": {Schema: schema}},
		}},
	}, func(ctx context.Context, _ *struct{}) (*healthDetailAnswer, error) {
		return s.checkDetail(context.WithoutCancel(ctx)), nil
	})
}

func (s *Server) checkDetail(ctx context.Context) *healthDetailAnswer {
	h := &s.detailedHealth
	h.mu.Lock()
	defer h.mu.Unlock()
	if time.Since(h.last.Body.CheckedAt) >= checkInterval {
		h.last = s.askForDetail(ctx)
	}
	answer := h.last
	return &answer
}

const lagCheck = "lag"

func (s *Server) askForDetail(ctx context.Context) healthDetailAnswer {
	answer := healthDetailAnswer{Status: http.StatusOK, Body: healthDetail{
		Status: statusHealthy, Dependencies: []dependency{}, Streams: []StreamLag{},
	}}
	checks := map[string]Check{}
	maps.Copy(checks, s.config.StreamChecks)
	maps.Copy(checks, s.config.Checks)
	lags := make(chan []StreamLag, 1)
	if s.config.Lag != nil {
		checks[lagCheck] = func(ctx context.Context) error {
			found, err := s.config.Lag(ctx)
			lags <- found
			return err
		}
	}
	for _, o := range ask(ctx, checks) {
		s.noteChange(o)
		_, required := s.config.Checks[o.name]
		switch {
		case o.err != nil && required:
			answer.Status, answer.Body.Status = http.StatusServiceUnavailable, statusUnhealthy
		case o.err != nil && answer.Body.Status == statusHealthy:
			answer.Body.Status = statusDegraded
		}
		if o.name == lagCheck {
			if o.err == nil {
				answer.Body.Streams = append(answer.Body.Streams, <-lags...)
			}
			continue
		}
		answer.Body.Dependencies = append(answer.Body.Dependencies, dependency{
			Name: o.name, State: o.state(), Required: required,
			LatencyMS: float64(o.took.Microseconds()) / 1000, Error: publicReason(o.err),
		})
	}
	answer.Body.CheckedAt = time.Now().UTC()
	return answer
}

// noteChange tells operators once what it does not tell everybody.
func (s *Server) noteChange(o outcome) {
	failing := s.detailedHealth.failing
	if o.err != nil && !failing[o.name] {
		s.log.Warn("a check of health does not pass", "check", o.name, "cause", o.err)
	}
	failing[o.name] = o.err != nil
}

// publicReason says no more of a cause than anybody may know.
func publicReason(err error) string {
	var name *net.DNSError
	switch {
	case err == nil:
		return ""
	case errors.Is(err, errNoAnswer), errors.Is(err, context.DeadlineExceeded):
		return "did not answer within " + checkTimeout.String()
	case errors.Is(err, syscall.ECONNREFUSED):
		return "refuses connections"
	case errors.As(err, &name):
		return "its name has no address"
	}
	return "answers with an error, which the log has"
}
