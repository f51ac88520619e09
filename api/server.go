// Package api is the shop's HTTP API: one listener, one check of tokens and one shape of errors for the
// handlers written here and for the ingestion endpoints that YAML streams mount beside them.
package api

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"
	"github.com/redpanda-data/benthos/v4/public/service"
	"go.opentelemetry.io/otel/trace"

	"github.com/shop-connect/shop-connect/internal/auth"
)

// DefaultAddress is open to this machine only; wider is a choice.
const DefaultAddress = "127.0.0.1:8000"

// DefaultMaxBodyBytes bounds what any request can send.
const DefaultMaxBodyBytes = 32 << 20

// A client that is slower than this is cut off, so that it cannot hold on to memory and connections.
const (
	readHeaderTimeout = 10 * time.Second
	readTimeout       = time.Minute
	writeTimeout      = 2 * time.Minute // from the end of the header: reading, waiting for Kafka, answering
	idleTimeout       = 2 * time.Minute
	maxHeaderBytes    = 32 << 10

	// shutdownTimeout is how long requests in flight have to finish.
	shutdownTimeout = 10 * time.Second
)

// key is the type of Key: a type of our own cannot collide with another package's key.
type key struct{}

// Key is where a *Server lies among the generic values of a Connect process, for inputs to find it.
var Key key

// Config says what the API listens on and whom it lets in.
type Config struct {
	// Address to listen on; DefaultAddress if empty.
	Address string
	// Verifier checks bearer tokens; it is required (I7).
	Verifier *auth.Verifier
	// Issuer signs them. Without it, all tokens are from an identity provider, and POST /token is not there.
	Issuer *auth.Issuer
	// Users finds out what a user may do, or returns auth.ErrLogin. Without it nobody gets a token by password.
	Users func(ctx context.Context, user, password string) (scopes []string, err error)
	// TokenAttempts limits how fast passwords can be guessed.
	TokenAttempts TokenAttempts
	// DemoUser lets admin in with password admin. For `up` and `demo` alone: Address must be loopback.
	DemoUser bool
	// Checks are run by GET /health, by the name that it shows.
	Checks map[string]Check
	// StreamChecks are of what only streams depend on; GET /api/v1/health runs them too.
	StreamChecks map[string]Check
	// Lag says how far each stream is behind.
	Lag func(ctx context.Context) ([]StreamLag, error)
	// Pending says what waits for batch runs. Without it there is no /api/v1/pending.
	Pending func(ctx context.Context) (Pending, error)
	// Runs starts and shows batch runs. Without it there is no /api/v1/runs.
	Runs Batches
	// Quarantine shows and replays refused rows. Without it there are no endpoints for them.
	Quarantine *Quarantine
	// Shop serves products, customers and sellers. Without it there are no endpoints for them.
	Shop *Shop
	// Version is shown by GET / and in the OpenAPI document.
	Version string
	// MaxBodyBytes bounds the body of any request; DefaultMaxBodyBytes if 0.
	MaxBodyBytes int64
	// MaxConcurrentRequests bounds how many requests are in hand; DefaultMaxConcurrentRequests if 0.
	MaxConcurrentRequests int
	// MaxDatabaseRequests bounds how many of them PostgreSQL has, and how many ClickHouse;
	// DefaultMaxDatabaseRequests if 0.
	MaxDatabaseRequests int
	// Patience is how long a client may take over a body.
	Patience Patience
	// RateLimit is how fast one client may ask.
	RateLimit RateLimit
	// Idempotency remembers answers by Idempotency-Key; nil ignores such keys.
	Idempotency Idempotency
	// AllowedOrigins are those whose scripts may use the API from a browser.
	AllowedOrigins []string
	// TrustedProxies are networks whose X-Forwarded-For says who a client is.
	TrustedProxies []string
	// AccessLog gets a line for each request; nil for none.
	AccessLog *slog.Logger
	// Metrics get the numbers and durations of requests; nil for none.
	Metrics *service.Metrics
	// Tracer gets a span of each request; nil for none.
	Tracer trace.TracerProvider
	// Logger gets what an operator must know; slog.Default() if nil.
	Logger *slog.Logger
}

// Server is the HTTP API. New makes one.
type Server struct {
	config Config
	log    *slog.Logger
	mux    *http.ServeMux
	huma   huma.API
	http   *http.Server
	routes routes
	health health

	literals literals

	openAPI  openAPICache
	observer observer
	tracer   *requestTracer // nil without a collector
	attempts *attempts
	limits   *clientLimits // nil without a limit
	clients  *shares
	proxies  proxies
	inFlight atomic.Int64

	store, analytics turns

	detailedHealth detailedHealth

	mu       sync.Mutex
	listener net.Listener
}

// New does no I/O. It reports every fault of the config at once.
func New(c Config) (*Server, error) {
	var faults []error
	if c.Verifier == nil {
		faults = append(faults, errors.New("constructing API: a token verifier is required (I7)"))
	}
	faults = append(faults, c.checkDemoUser(), c.TokenAttempts.check(), c.Patience.check())
	faults = append(faults, c.Shop.check())
	if c.MaxBodyBytes < 0 {
		faults = append(faults, fmt.Errorf("constructing API: max_body_bytes must be above 0, is %d", c.MaxBodyBytes))
	}
	if err := errors.Join(append(faults, c.checkProtection())...); err != nil {
		return nil, err
	}
	c.Address = cmp.Or(c.Address, DefaultAddress)
	c.MaxBodyBytes = cmp.Or(c.MaxBodyBytes, DefaultMaxBodyBytes)
	c.MaxConcurrentRequests = cmp.Or(c.MaxConcurrentRequests, DefaultMaxConcurrentRequests)
	c.MaxDatabaseRequests = cmp.Or(c.MaxDatabaseRequests, DefaultMaxDatabaseRequests)
	c.Patience = c.Patience.orDefault()
	s := &Server{config: c, log: cmp.Or(c.Logger, slog.Default()), mux: http.NewServeMux()}
	s.huma = humago.New(s.mux, humaConfig(c.Version))
	s.observer, s.limits = newObserver(c.AccessLog, c.Metrics), newClientLimits(c.RateLimit)
	s.clients = newShares(c.MaxConcurrentRequests)
	s.tracer = newRequestTracer(c.Tracer)
	s.store, s.analytics = make(turns, c.MaxDatabaseRequests), make(turns, c.MaxDatabaseRequests)
	s.proxies, _ = parseProxies(c.TrustedProxies) // checked above
	s.routes.byPattern = map[string]*route{}
	s.health.checks = c.Checks
	s.detailedHealth.failing = map[string]bool{}
	s.attempts = newAttempts(c.TokenAttempts)
	s.http = &http.Server{
		Handler:           s.handler(),
		ReadHeaderTimeout: readHeaderTimeout,
		ReadTimeout:       readTimeout,
		WriteTimeout:      writeTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeaderBytes,
		ErrorLog:          slog.NewLogLogger(s.log.Handler(), slog.LevelDebug), // what clients do wrong on the wire
	}
	s.mux.HandleFunc("/", s.noRoute)
	s.mux.HandleFunc("GET /openapi.json", s.serveOpenAPI)
	s.registerDocs()
	s.registerRoot()
	s.registerHealth()
	s.registerHealthDetail()
	if c.Issuer != nil {
		s.registerToken()
	}
	if c.Runs != nil {
		s.registerRuns()
	}
	if c.Pending != nil {
		s.registerPending()
	}
	if c.Quarantine != nil {
		s.registerQuarantine()
	}
	if c.Shop != nil {
		s.registerShop()
	}
	for path, item := range s.huma.OpenAPI().Paths {
		for method, op := range map[string]*huma.Operation{"GET": item.Get, "POST": item.Post, "PUT": item.Put, "PATCH": item.Patch, "DELETE": item.Delete} {
			if op != nil {
				s.literals.add(method, path)
			}
		}
	}
	return s, nil
}

// ServeHTTP answers one request, for tests and for who brings a listener of their own.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.http.Handler.ServeHTTP(w, r) }

// Listen takes the address, so that a taken one is known before anything else starts.
func (s *Server) Listen() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.listener != nil {
		return nil
	}
	l, err := net.Listen("tcp", s.config.Address)
	if err != nil {
		return fmt.Errorf("listening for the API: %w; is another program there? choose another with api.address", err)
	}
	s.listener = l
	return nil
}

// Addr is the address listened on, nil before Listen.
func (s *Server) Addr() net.Addr {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.listener == nil {
		return nil
	}
	return s.listener.Addr()
}

// Serve answers requests until the context ends, then lets those in flight finish. End it after the
// streams have stopped: they answer the requests that they have taken.
func (s *Server) Serve(ctx context.Context) error {
	if err := s.Listen(); err != nil {
		return err
	}
	if s.config.DemoUser {
		s.log.Warn("the API lets admin in with password admin: for demonstration only", "address", s.Addr().String())
	}
	served := make(chan error, 1)
	go func() { served <- s.http.Serve(s.listener) }()
	select {
	case err := <-served:
		return fmt.Errorf("serving the API: %w", err)
	case <-ctx.Done():
	}
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownTimeout)
	defer cancel()
	if err := s.http.Shutdown(grace); err != nil {
		// whoever is still there has had the time to finish
		return errors.Join(fmt.Errorf("closing the API with requests in flight: %w", err), s.http.Close())
	}
	return nil
}
