package app

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"time"

	"github.com/redpanda-data/benthos/v4/public/service"

	"github.com/shop-connect/shop-connect/internal/env"
	"github.com/shop-connect/shop-connect/internal/runs"
)

const (
	fieldProbes        = "probes"
	fieldProbesAddress = "address"
)

// probePaths are what the streams REST API serves that tells about this process and changes nothing.
var probePaths = []string{"/metrics", "/ready", "/ping"}

// probesField declares the section `probes` of the root config.
func probesField() *service.ConfigField {
	return service.NewObjectField(fieldProbes,
		service.NewStringField(fieldProbesAddress).
			Description("Where `/metrics`, `/ready` and `/ping` are served without credentials, such as `0.0.0.0:8001`; nowhere where it is empty. Needs STREAMS_USER and STREAMS_PASSWORD.").
			Default(""),
	).Description("Prometheus and probes of an orchestrator ask here, so that the streams REST API, which can do anything, stays on loopback.").Optional()
}

// startProbes listens where the config says, and returns what ends it; nil where it says nothing.
func startProbes(conf *service.ParsedConfig, vars map[string]string) (stop func() error, err error) {
	if !conf.Contains(fieldProbes) {
		return nil, nil
	}
	address, err := conf.FieldString(fieldProbes, fieldProbesAddress)
	if err != nil || address == "" {
		return nil, err
	}
	if err := env.Require(vars, env.StreamsUser, env.StreamsPassword); err != nil {
		return nil, fmt.Errorf("reading section %q: %w; what it serves is asked for with them", fieldProbes, err)
	}
	handler, err := probes(runs.StreamsURL(vars), vars[env.StreamsUser], vars[env.StreamsPassword])
	if err != nil {
		return nil, err
	}
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return nil, fmt.Errorf("listening for probes: %w; set PROBES_ADDRESS to an address that is free", err)
	}
	server := &http.Server{Handler: handler, ReadHeaderTimeout: 5 * time.Second, WriteTimeout: 30 * time.Second}
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	return func() error {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		err := server.Shutdown(ctx)
		if serveErr := <-served; !errors.Is(serveErr, http.ErrServerClosed) {
			err = errors.Join(err, serveErr)
		}
		return err
	}, nil
}

// probes passes reads of probePaths on to the streams REST API, and nothing else: I7.
func probes(streams, user, password string) (http.Handler, error) {
	target, err := url.Parse(streams)
	if err != nil {
		return nil, fmt.Errorf("reading the address of the streams REST API: %w", err)
	}
	proxy := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(target)
			r.Out.URL.RawQuery = ""
			r.Out.Header = http.Header{"Accept": r.In.Header["Accept"], "Accept-Encoding": r.In.Header["Accept-Encoding"]}
			r.Out.SetBasicAuth(user, password)
		},
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, err error) {
			http.Error(w, "the streams do not answer: "+err.Error(), http.StatusServiceUnavailable)
		},
	}
	mux := http.NewServeMux()
	for _, path := range probePaths {
		mux.Handle("GET "+path, proxy)
	}
	return mux, nil
}
