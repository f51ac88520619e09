package api_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/shop-connect/shop-connect/api"
)

func TestHealthIsCheckedForReal(t *testing.T) {
	var kafka atomic.Pointer[error]
	s := newServer(t, func(c *api.Config) {
		c.Checks = map[string]func(context.Context) error{
			"database": func(context.Context) error { return nil },
			"kafka": func(context.Context) error {
				if err := kafka.Load(); err != nil {
					return *err
				}
				return nil
			},
		}
	})
	w := do(s, "GET", "/health", "", nil)
	if w.Code != 200 || strings.TrimSpace(w.Body.String()) != `{"database":"connected","kafka":"connected","status":"healthy"}` {
		t.Errorf("answer is %d %s", w.Code, w.Body)
	}
	away := errors.New("dial 10.0.0.7: refused")
	kafka.Store(&away)
	for deadline := time.Now().Add(5 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		w = do(s, "GET", "/health", "", nil)
		if w.Code == 503 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("answer is still %d %s", w.Code, w.Body)
		}
	}
	if strings.TrimSpace(w.Body.String()) != `{"database":"connected","kafka":"unreachable","status":"unhealthy"}` {
		t.Errorf("answer is %s", w.Body)
	}
}

func TestHealthAnswersInBoundedTime(t *testing.T) {
	release := make(chan struct{})
	defer close(release)
	s := newServer(t, func(c *api.Config) {
		c.Checks = map[string]func(context.Context) error{"kafka": func(context.Context) error { <-release; return nil }}
	})
	start := time.Now()
	if w := do(s, "GET", "/health", "", nil); w.Code != 503 || time.Since(start) > 10*time.Second {
		t.Errorf("answer is %d after %v", w.Code, time.Since(start))
	}
}

func TestServeFinishesRequestsInFlight(t *testing.T) {
	s := newServer(t, nil)
	begun, release := make(chan struct{}), make(chan struct{})
	if _, err := s.Mount(api.Route{Method: "GET", Path: "/slow", Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		close(begun)
		<-release
		_, _ = io.WriteString(w, "done")
	})}); err != nil {
		t.Fatal(err)
	}
	if err := s.Listen(); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	served, answered := make(chan error, 1), make(chan string, 1)
	go func() { served <- s.Serve(ctx) }()
	go func() {
		resp, err := http.Get("http://" + s.Addr().String() + "/slow")
		if err != nil {
			answered <- err.Error()
			return
		}
		defer resp.Body.Close()
		body, _ := io.ReadAll(resp.Body)
		answered <- string(body)
	}()
	<-begun
	stop()
	close(release)
	if got := <-answered; got != "done" {
		t.Errorf("the request in flight got %q", got)
	}
	if err := <-served; err != nil {
		t.Error(err)
	}
}

func TestTakenPortIsSaidAtOnce(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	s := newServer(t, func(c *api.Config) { c.Address = taken.Addr().String() })
	if err := s.Listen(); err == nil || !strings.Contains(err.Error(), "api.address") {
		t.Errorf("error is %v", err)
	}
}
