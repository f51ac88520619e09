package api

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/danielgtaylor/huma/v2"
)

// Route is an endpoint that a stream serves.
type Route struct {
	// Method and Path are those of the request; a path may have wildcards as in net/http patterns.
	Method, Path string
	Handler      http.Handler
	// Operation describes the endpoint in the OpenAPI document; nil leaves it out.
	Operation *huma.Operation
}

func (r Route) pattern() string { return r.Method + " " + r.Path }

// routes is the table of endpoints that streams have mounted. The mux cannot forget a pattern, and need
// not: a route whose stream is away, for an edit or a restart, is still a route, and answers 503 where
// 404 would make clients give up.
type routes struct {
	mu        sync.Mutex
	byPattern map[string]*route
	// awaited is until when, in Unix nanoseconds, a path that nobody has mounted may still be a stream's.
	awaited atomic.Int64
}

// mountTime is within how long of each other streams that start together mount their endpoints.
const mountTime = 3 * time.Second

// AwaitStreams says that streams are about to start. A client that comes before the endpoint which it wants is
// told to come again, where 404 or 405 would make it give up. It ends soon after the last endpoint, or at the limit.
func (s *Server) AwaitStreams(limit time.Duration) {
	s.routes.awaited.Store(time.Now().Add(limit).UnixNano())
}

func (r *routes) awaiting() bool { return time.Now().UnixNano() < r.awaited.Load() }

type route struct {
	handler atomic.Pointer[http.Handler]
}

func (r *route) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	if h := r.handler.Load(); h != nil {
		(*h).ServeHTTP(w, req)
		return
	}
	WriteProblem(w, Unavailable("the stream behind this endpoint is restarting; send the request again"))
}

// Mount gives an endpoint to a stream until unmount is called, which may be called twice.
func (s *Server) Mount(r Route) (unmount func(), err error) {
	s.routes.mu.Lock()
	defer s.routes.mu.Unlock()
	mounted, known := s.routes.byPattern[r.pattern()]
	if !known {
		mounted = &route{}
		if err := handle(s.mux, r.pattern(), mounted); err != nil {
			return nil, fmt.Errorf("mounting %s: %w", r.pattern(), err)
		}
		s.routes.byPattern[r.pattern()] = mounted
		if s.routes.awaiting() {
			s.AwaitStreams(mountTime)
		}
		s.literals.add(r.Method, r.Path)
	}
	handler := &r.Handler
	if !mounted.handler.CompareAndSwap(nil, handler) {
		return nil, fmt.Errorf("mounting %s: another stream serves it; give one of them another path", r.pattern())
	}
	if r.Operation != nil {
		s.openAPI.set(r)
	}
	return func() { mounted.handler.CompareAndSwap(handler, nil) }, nil
}

// mounted reports whether a request is for a stream.
func (r *routes) mounted(mux *http.ServeMux, req *http.Request) bool {
	_, pattern := mux.Handler(req)
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.byPattern[pattern] != nil
}

// handle registers a pattern; the mux panics where it is malformed or at odds with another.
func handle(mux *http.ServeMux, pattern string, h http.Handler) (err error) {
	defer func() {
		if cause := recover(); cause != nil {
			err = fmt.Errorf("%v", cause)
		}
	}()
	mux.Handle(pattern, h)
	return nil
}

var methods = []string{
	http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete,
}

// noRoute answers what no pattern matches: 405 where another method would do, else 404.
func (s *Server) noRoute(w http.ResponseWriter, r *http.Request) {
	if s.routes.awaiting() && carriesRows(r.Method) && s.literals.methods(r.URL.Path) == nil {
		WriteProblem(w, Unavailable("the streams are starting, and none serves this endpoint yet; send the request again"))
		return
	}
	allowed := s.allowed(r)
	if len(allowed) == 0 || slices.Contains(allowed, r.Method) {
		WriteProblem(w, NewProblem(http.StatusNotFound, "there is nothing at this path; GET /openapi.json lists what there is"))
		return
	}
	allow := strings.Join(allowed, ", ")
	WriteProblem(w, NewProblem(http.StatusMethodNotAllowed, "this path takes "+allow).WithHeader("Allow", allow))
}

// carriesRows tells the methods of endpoints that streams serve: others have their answer at once.
func carriesRows(method string) bool {
	return method == http.MethodPost || method == http.MethodPut || method == http.MethodPatch
}

// allowed returns the methods that a path takes.
func (s *Server) allowed(r *http.Request) (found []string) {
	if only := s.literals.methods(r.URL.Path); only != nil {
		return only
	}
	for _, method := range methods {
		probe := &http.Request{Method: method, URL: r.URL, Host: r.Host}
		if _, pattern := s.mux.Handler(probe); strings.HasPrefix(pattern, method+" ") ||
			method == http.MethodHead && strings.HasPrefix(pattern, http.MethodGet+" ") {
			found = append(found, method)
		}
	}
	return found
}

// literals knows the methods of the paths that are a route's word for word. Such a path is that route's
// alone, which the mux has no way to say: PUT /products/bulk-s3 is not about a product called bulk-s3.
type literals struct {
	byPath atomic.Pointer[map[string][]string]
}

// add may be called by one at a time.
func (l *literals) add(method, path string) {
	if strings.Contains(path, "{") {
		return
	}
	next := map[string][]string{}
	if known := l.byPath.Load(); known != nil {
		maps.Copy(next, *known)
	}
	taken := append(slices.Clone(next[path]), method)
	if method == http.MethodGet {
		taken = append(taken, http.MethodHead)
	}
	slices.SortFunc(taken, func(a, b string) int { return slices.Index(methods, a) - slices.Index(methods, b) })
	next[path] = taken
	l.byPath.Store(&next)
}

// methods returns nil for a path that is not known here.
func (l *literals) methods(path string) []string {
	if known := l.byPath.Load(); known != nil {
		return (*known)[path]
	}
	return nil
}

// takes reports whether a route may answer.
func (l *literals) takes(r *http.Request) bool {
	only := l.methods(r.URL.Path)
	return only == nil || slices.Contains(only, r.Method)
}
