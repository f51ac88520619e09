package api

import (
	"context"
	"net/http"
	"sync"
	"time"

	"github.com/danielgtaylor/huma/v2"
)

const (
	healthPath = "/health"

	// checkTimeout bounds GET /health: what does not answer by then is away.
	checkTimeout = 2 * time.Second

	// checkInterval spares the dependencies: anybody may ask for /health, as often as they like.
	checkInterval = time.Second
)

// health runs the checks, at most once per interval whoever asks.
type health struct {
	checks map[string]func(ctx context.Context) error

	mu   sync.Mutex
	last healthAnswer
	at   time.Time
}

type healthAnswer struct {
	Status int
	Body   map[string]string
}

func (s *Server) registerHealth() {
	problems := s.ProblemResponses(map[string]string{"503": "Something that it depends on is away."})
	problems["503"].Content = map[string]*huma.MediaType{"application/json": {Schema: &huma.Schema{
		Type: huma.TypeObject, AdditionalProperties: &huma.Schema{Type: huma.TypeString},
	}}}
	huma.Register(s.huma, huma.Operation{
		OperationID: "health", Method: http.MethodGet, Path: healthPath, Tags: []string{"service"},
		Summary: "Check what the API depends on", Description: "Each dependency is asked, and is `connected` or `unreachable`.",
		Responses: problems,
	}, func(ctx context.Context, _ *struct{}) (*healthAnswer, error) {
		return s.health.check(ctx), nil
	})
}

func (h *health) check(ctx context.Context) *healthAnswer {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.at.IsZero() || time.Since(h.at) >= checkInterval {
		h.last, h.at = h.run(context.WithoutCancel(ctx)), time.Now()
	}
	answer := h.last
	return &answer
}

func (h *health) run(ctx context.Context) healthAnswer {
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	type outcome struct {
		name string
		err  error
	}
	outcomes := make(chan outcome, len(h.checks))
	for name, check := range h.checks {
		go func() { outcomes <- outcome{name, check(ctx)} }()
	}
	answer := healthAnswer{Status: http.StatusOK, Body: map[string]string{"status": "healthy"}}
	for name := range h.checks {
		answer.Body[name] = "unreachable" // until it says otherwise
	}
	for range h.checks {
		select {
		case o := <-outcomes:
			if o.err == nil {
				answer.Body[o.name] = "connected"
				continue
			}
		case <-ctx.Done():
		}
		answer.Status, answer.Body["status"] = http.StatusServiceUnavailable, "unhealthy"
	}
	return answer
}
