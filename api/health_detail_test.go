package api_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/shop-connect/shop-connect/api"
)

type healthDetail struct {
	Status       string
	Dependencies []struct {
		Name, State, Error string
		LatencyMS          float64 `json:"latency_ms"`
		Required           bool
	}
	Streams []api.StreamLag
}

func detailOf(t *testing.T, w *httptest.ResponseRecorder) (d healthDetail) {
	t.Helper()
	if err := json.Unmarshal(w.Body.Bytes(), &d); err != nil {
		t.Fatal(err)
	}
	return d
}

func passes(context.Context) error { return nil }

func TestHealthDetailShowsEveryDependencyAndTheLagOfStreams(t *testing.T) {
	s := newServer(t, func(c *api.Config) {
		c.Checks = map[string]api.Check{"database": passes, "kafka": passes}
		c.StreamChecks = map[string]api.Check{"s3": passes}
		c.Lag = func(context.Context) ([]api.StreamLag, error) {
			return []api.StreamLag{{Group: "purchases-raw", State: "Stable", Topic: "purchases", Lag: 7}}, nil
		}
	})
	w := do(s, "GET", "/api/v1/health/", "", nil)
	got := detailOf(t, w)
	if w.Code != 200 || got.Status != "healthy" || len(got.Dependencies) != 3 || len(got.Streams) != 1 || got.Streams[0].Lag != 7 {
		t.Fatalf("answer is %d %+v", w.Code, got)
	}
	for i, want := range []string{"database", "kafka", "s3"} {
		if d := got.Dependencies[i]; d.Name != want || d.State != "connected" || d.Error != "" || d.Required != (want != "s3") {
			t.Errorf("dependency is %+v", d)
		}
	}
}

func TestHealthDetailTellsWhatTheAPICanDoWithout(t *testing.T) {
	refused := fmt.Errorf("dialing 10.0.0.7:9000 as admin: %w", syscall.ECONNREFUSED)
	for _, tc := range []struct {
		name                string
		database, s3, lag   error
		code                int
		status, says, place string
	}{
		{"all is there", nil, nil, nil, 200, "healthy", "", ""},
		{"the lake is away", nil, refused, nil, 200, "degraded", "refuses connections", "s3"},
		{"the database is away", refused, nil, nil, 503, "unhealthy", "refuses connections", "database"},
		{"the lag is not known", nil, nil, errors.New("no coordinator"), 200, "degraded", "", ""},
		{"another error", nil, errors.New("secret of the store"), nil, 200, "degraded", "the log", "s3"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var log bytes.Buffer
			s := newServer(t, func(c *api.Config) {
				c.Checks = map[string]api.Check{"database": func(context.Context) error { return tc.database }}
				c.StreamChecks = map[string]api.Check{"s3": func(context.Context) error { return tc.s3 }}
				c.Lag = func(context.Context) ([]api.StreamLag, error) { return nil, tc.lag }
				c.Logger = slog.New(slog.NewTextHandler(&log, nil))
			})
			w := do(s, "GET", "/api/v1/health", "", nil)
			text := w.Body.String()
			got := detailOf(t, w)
			if w.Code != tc.code || got.Status != tc.status {
				t.Errorf("answer is %d %+v", w.Code, got)
			}
			for _, d := range got.Dependencies {
				if d.Name == tc.place && (d.State != "unreachable" || !strings.Contains(d.Error, tc.says)) {
					t.Errorf("dependency is %+v", d)
				}
			}
			if strings.Contains(text, "10.0.0.7") || strings.Contains(text, "secret") {
				t.Errorf("the answer tells of the inside: %s", text)
			}
			if bad := errors.Join(tc.database, tc.s3, tc.lag); (bad != nil) != strings.Contains(log.String(), "cause=") {
				t.Errorf("the log says %s", log.String())
			}
		})
	}
}

func TestHealthDetailAnswersInBoundedTimeAndAsksOncePerSecond(t *testing.T) {
	release := make(chan struct{})
	defer close(release)
	var asked atomic.Int32
	s := newServer(t, func(c *api.Config) {
		c.StreamChecks = map[string]api.Check{"s3": passes, "clickhouse": func(context.Context) error {
			asked.Add(1)
			<-release
			return nil
		}}
		c.Lag = func(context.Context) ([]api.StreamLag, error) { <-release; return nil, nil }
	})
	begun := time.Now()
	w := do(s, "GET", "/api/v1/health", "", nil)
	got := detailOf(t, w)
	if time.Since(begun) > 10*time.Second || got.Status != "degraded" || got.Dependencies[0].Error != "did not answer within 2s" || got.Dependencies[1].State != "connected" {
		t.Errorf("answer is %+v after %v", got, time.Since(begun))
	}
	for range 20 {
		do(s, "GET", "/api/v1/health", "", nil)
	}
	if n := asked.Load(); n != 1 {
		t.Errorf("21 requests asked %d times", n)
	}
}
