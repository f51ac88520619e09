package chaos

import (
	"context"
	"fmt"
	"io"
	"log"
	"math/rand/v2"
	"net/http"
	"net/http/httputil"
	"net/url"
	"sync"
	"time"
)

// s3Trouble is what an object store that has trouble does to a share of the requests.
type s3Trouble struct {
	// Share of the requests that it happens to, in [0, 1].
	Share float64
	// Status is answered in place of the store's answer; 0 forwards the request.
	Status int
	// After makes the store do what is asked before the answer is withheld: the client cannot know.
	After bool
	// Delay comes before all that.
	Delay time.Duration
}

// s3Gate is an HTTP proxy before the object store that can answer in its place. It forwards the Host header,
// which the signatures of requests cover: the store must take path-style requests under any name.
type s3Gate struct {
	server *http.Server
	addr   string
	proxy  *httputil.ReverseProxy

	mu      sync.Mutex
	random  *rand.Rand
	trouble s3Trouble
	hits    int
}

func newS3Gate(endpoint string, seed uint64) (*s3Gate, error) {
	target, err := url.Parse(endpoint)
	if err != nil || target.Host == "" {
		return nil, fmt.Errorf("reading the object store's endpoint %q: it must be http://host:port or https://host", endpoint)
	}
	listener, err := listenLoopback()
	if err != nil {
		return nil, err
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.MaxIdleConnsPerHost, transport.DisableCompression = 64, true
	g := &s3Gate{addr: listener.Addr().String(), random: rand.New(rand.NewPCG(seed, 0x53))}
	g.proxy = &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.Out.URL.Scheme, r.Out.URL.Host, r.Out.Host = target.Scheme, target.Host, r.In.Host
		},
		Transport: transport,
		// a store that is away ends the connection
		ErrorHandler: func(http.ResponseWriter, *http.Request, error) { panic(http.ErrAbortHandler) },
		ErrorLog:     log.New(io.Discard, "", 0),
	}
	g.server = &http.Server{Handler: g, ErrorLog: log.New(io.Discard, "", 0), ReadHeaderTimeout: time.Minute}
	go func() { _ = g.server.Serve(listener) }()
	return g, nil
}

func (g *s3Gate) close() error { return g.server.Close() }

func (g *s3Gate) set(t s3Trouble) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.trouble, g.hits = t, 0
}

// struck is how many requests had trouble since it was set.
func (g *s3Gate) struck() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.hits
}

func (g *s3Gate) next() (s3Trouble, bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.trouble.Share == 0 || g.random.Float64() >= g.trouble.Share {
		return s3Trouble{}, false
	}
	g.hits++
	return g.trouble, true
}

func (g *s3Gate) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	trouble, hit := g.next()
	if !hit {
		g.proxy.ServeHTTP(w, r)
		return
	}
	if trouble.Delay > 0 {
		select {
		case <-time.After(trouble.Delay):
		case <-r.Context().Done():
			return
		}
	}
	if trouble.Status == 0 {
		g.proxy.ServeHTTP(w, r)
		return
	}
	if trouble.After {
		// done to the end, whatever becomes of the client
		g.proxy.ServeHTTP(&unseen{header: http.Header{}}, r.WithContext(context.WithoutCancel(r.Context())))
	}
	code := map[int]string{http.StatusServiceUnavailable: "SlowDown", http.StatusInternalServerError: "InternalError"}[trouble.Status]
	w.Header().Set("Content-Type", "application/xml")
	w.WriteHeader(trouble.Status)
	if r.Method != http.MethodHead {
		fmt.Fprintf(w, `<?xml version="1.0" encoding="UTF-8"?><Error><Code>%s</Code><Message>made up by shop-connect chaos</Message></Error>`, code)
	}
}

// unseen drops an answer.
type unseen struct{ header http.Header }

func (u *unseen) Header() http.Header         { return u.header }
func (u *unseen) Write(p []byte) (int, error) { return len(p), nil }
func (u *unseen) WriteHeader(int)             {}
