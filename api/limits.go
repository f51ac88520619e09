package api

import (
	"errors"
	"fmt"
	"math"
	"net/http"
	"reflect"
	"strconv"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"golang.org/x/time/rate"
)

// DefaultMaxConcurrentRequests bounds the memory of requests in hand.
const DefaultMaxConcurrentRequests = 1024

// RateLimit is how fast one client may ask; the zero value lets everybody.
type RateLimit struct {
	PerSecond float64
	// Burst is how many requests may come at once.
	Burst int
}

func (l RateLimit) check() error {
	if l.PerSecond < 0 || math.IsNaN(l.PerSecond) || math.IsInf(l.PerSecond, 0) {
		return fmt.Errorf("constructing API: rate_limit.requests_per_second must be at least 0, is %v", l.PerSecond)
	}
	if l.PerSecond > 0 && l.Burst < 1 {
		return errors.New("constructing API: rate_limit.burst must be at least 1, or no request would be answered")
	}
	return nil
}

// clientLimits holds a token bucket for each client.
type clientLimits struct {
	limit   RateLimit
	policy  []string
	clients *buckets
}

// newClientLimits returns nil where there is no limit.
func newClientLimits(limit RateLimit) *clientLimits {
	if limit.PerSecond == 0 {
		return nil
	}
	window := max(int(math.Ceil(float64(limit.Burst)/limit.PerSecond)), 1)
	return &clientLimits{
		limit: limit, clients: newBuckets(rate.Limit(limit.PerSecond), limit.Burst),
		policy: []string{fmt.Sprintf(`"default";q=%d;w=%d`, limit.Burst, window)},
	}
}

// take counts a request, and says in its answer how many more are left. A request beyond is answered,
// and ok is false.
func (l *clientLimits) take(w http.ResponseWriter, client string, now time.Time) (ok bool) {
	bucket := l.clients.of(client)
	ok = bucket.AllowN(now, 1)
	left := bucket.TokensAt(now)
	// when there is one more
	wait := strconv.Itoa(max(int(math.Ceil((math.Floor(left)+1-left)/l.limit.PerSecond)), 1))
	header := w.Header()
	header["Ratelimit-Policy"] = l.policy
	header["Ratelimit"] = []string{`"default";r=` + strconv.Itoa(max(int(left), 0)) + ";t=" + wait}
	if !ok {
		WriteProblem(w, NewProblem(http.StatusTooManyRequests, "too many requests; send it again in "+wait+" s").WithHeader("Retry-After", wait))
	}
	return ok
}

// client is whose requests are counted together: those of one subject, wherever they come from, and of
// whoever shows no good token, those from one network.
func (s *Server) client(w *response, r *http.Request) string {
	if claims, ok := s.identify(w, r); ok {
		return "sub " + claims.Subject
	}
	return "net " + clientNetwork(r.RemoteAddr)
}

// documentLimits adds to every operation the answers of admit, where it has no such answers of its own.
func (s *Server) documentLimits(doc *huma.OpenAPI) {
	schema := doc.Components.Schemas.Schema(reflect.TypeFor[Problem](), true, "")
	answers := map[string]string{
		"500": "The server has a fault; its logs have more under the request id.",
		"503": "Too many requests are in hand; send it again after the seconds of Retry-After.",
	}
	if s.limits != nil {
		answers["429"] = "This client sends too many requests; send it again after the seconds of Retry-After."
	}
	for _, path := range doc.Paths {
		for _, op := range []*huma.Operation{path.Get, path.Put, path.Post, path.Delete, path.Patch} {
			if op == nil {
				continue
			}
			if op.Responses == nil {
				op.Responses = map[string]*huma.Response{}
			}
			for status, description := range answers {
				if op.Responses[status] == nil {
					op.Responses[status] = &huma.Response{
						Description: description, Content: map[string]*huma.MediaType{contentTypeProblem: {Schema: schema}},
					}
				}
			}
		}
	}
}

// admit answers a request that comes while too many others are in hand, or too soon after others of its
// client, and returns false. How the API is may be asked at any time.
func (s *Server) admit(w *response, r *http.Request, inFlight int64) bool {
	if r.URL.Path == healthPath || r.URL.Path == healthDetailPath {
		return true
	}
	if inFlight > int64(s.config.MaxConcurrentRequests) {
		WriteProblem(w, Unavailable("too many requests are in hand; send it again"))
		return false
	}
	return s.limits == nil || s.limits.take(w, s.client(w, r), time.Now())
}
