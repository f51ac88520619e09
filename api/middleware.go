package api

import (
	"errors"
	"io"
	"net/http"
	"path"
	"runtime/debug"
	"strings"
	"time"

	"github.com/google/uuid"
)

const headerRequestID = "X-Request-Id"

// RequestID is the id of a request that is being answered.
func RequestID(w http.ResponseWriter) string { return w.Header().Get(headerRequestID) }

// handler wraps the routes in what every request goes through.
func (s *Server) handler() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.RemoteAddr = s.proxies.client(r)
		tracked := &response{ResponseWriter: w, status: http.StatusOK}
		w.Header()[headerRequestID] = []string{requestID(r)}
		secure(w.Header())
		if r.Body != http.NoBody {
			tracked.body = s.arriving(w, r)
			// the server looks at its own request to see whether it must wait before it closes
			r = withBody(r, tracked.body)
		}
		begun, inFlight := time.Now(), s.inFlight.Add(1)
		s.observer.inFlight.Set(inFlight)
		r = s.tracer.begin(r)
		defer func() {
			s.tracer.end(tracked, r)
			s.observer.inFlight.Set(s.inFlight.Add(-1))
			s.observer.observe(tracked, r, begun)
		}()
		defer s.recoverPanic(tracked, r)

		target := r.URL.EscapedPath() // an id may be "..", or have slashes: those are not the path's own
		if len(target) > 1 && target[len(target)-1] == '/' {
			r = withoutTrailingSlash(r)
			target = r.URL.EscapedPath()
		}
		if s.allowOrigin(tracked, r) || !s.admit(tracked, r, inFlight) {
			return
		}
		if !strings.HasPrefix(target, "/") || path.Clean(target) != target || !s.literals.takes(r) {
			s.noRoute(tracked, r) // the mux would redirect, in a shape of its own, or take a word for an id
			return
		}
		leave, ok := s.share(tracked, r)
		if !ok {
			return
		}
		defer leave()
		if r.Body != http.NoBody {
			r.Body = http.MaxBytesReader(w, r.Body, s.config.MaxBodyBytes)
		}
		s.answer(tracked, r)
	})
}

// requestID takes the client's id, so that it finds its request in our logs, unless the id could be
// anything else than an id there.
func requestID(r *http.Request) string {
	if given := r.Header[headerRequestID]; len(given) == 1 && isID(given[0]) {
		return given[0]
	}
	return uuid.Must(uuid.NewV7()).String()
}

func isID(s string) bool {
	if s == "" || len(s) > 128 {
		return false
	}
	for _, c := range []byte(s) {
		if (c < '0' || c > '9') && (c < 'A' || c > 'Z') && (c < 'a' || c > 'z') && c != '-' && c != '_' && c != '.' {
			return false
		}
	}
	return true
}

func withBody(r *http.Request, body io.ReadCloser) *http.Request {
	r2 := new(http.Request)
	*r2 = *r
	r2.Body = body
	return r2
}

func withoutTrailingSlash(r *http.Request) *http.Request {
	r2, u := new(http.Request), *r.URL
	*r2 = *r
	u.Path, u.RawPath = strings.TrimSuffix(u.Path, "/"), strings.TrimSuffix(u.RawPath, "/")
	if u.Path == "" {
		u.Path = "/"
	}
	r2.URL = &u
	return r2
}

func (s *Server) recoverPanic(w *response, r *http.Request) {
	cause := recover()
	if cause == nil {
		return
	}
	if err, ok := cause.(error); ok && errors.Is(err, http.ErrAbortHandler) {
		panic(cause)
	}
	s.log.Error("answering a request panicked", "method", r.Method, "path", r.URL.Path,
		"request_id", RequestID(w), "cause", cause, "stack", string(debug.Stack()))
	if w.begun {
		panic(http.ErrAbortHandler) // half an answer must not look like a whole one
	}
	WriteProblem(w, NewProblem(http.StatusInternalServerError, "the server has a fault; its logs have more under the request id"))
}

// response knows what was answered, and to whom.
type response struct {
	http.ResponseWriter
	begun  bool
	status int // 200 until another is written
	bytes  int64
	token  checkedToken
	body   *arrivingBody // nil where there is none
}

func (r *response) WriteHeader(status int) {
	if !r.begun {
		r.begun, r.status = true, status
		r.body.leave(r.Header())
	}
	r.ResponseWriter.WriteHeader(status)
}

func (r *response) Write(b []byte) (int, error) {
	if !r.begun {
		r.begun = true
		r.body.leave(r.Header())
	}
	n, err := r.ResponseWriter.Write(b)
	r.bytes += int64(n)
	return n, err
}

// Unwrap lets http.ResponseController reach the connection.
func (r *response) Unwrap() http.ResponseWriter { return r.ResponseWriter }
