package api

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"net/http"
	"slices"
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
	checks map[string]Check

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
	answer := healthAnswer{Status: http.StatusOK, Body: map[string]string{"status": statusHealthy}}
	for _, found := range ask(ctx, h.checks) {
		answer.Body[found.name] = found.state()
		if found.err != nil {
			answer.Status, answer.Body["status"] = http.StatusServiceUnavailable, statusUnhealthy
		}
	}
	return answer
}

// Check asks one thing that the API or its streams depend on. It must honour its context.
type Check = func(ctx context.Context) error

const (
	statusHealthy   = "healthy"
	statusDegraded  = "degraded"
	statusUnhealthy = "unhealthy"
)

var errNoAnswer = errors.New("no answer in time")

// outcome is what a check found.
type outcome struct {
	name string
	took time.Duration
	err  error
}

func (o outcome) state() string {
	if o.err != nil {
		return "unreachable"
	}
	return "connected"
}

// ask runs checks at once and returns what they found, by name, within checkTimeout even where one does
// not honour its context.
func ask(ctx context.Context, checks map[string]Check) []outcome {
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	answers := make(chan outcome, len(checks))
	found := make(map[string]outcome, len(checks))
	for name, check := range checks {
		found[name] = outcome{name, checkTimeout, errNoAnswer} // until it says otherwise
		go func() {
			begun := time.Now()
			err := check(ctx)
			answers <- outcome{name, time.Since(begun), err}
		}()
	}
	for range checks {
		select {
		case o := <-answers:
			found[o.name] = o
			continue
		case <-ctx.Done():
		}
		break
	}
	return slices.SortedFunc(maps.Values(found), func(a, b outcome) int { return cmp.Compare(a.name, b.name) })
}
