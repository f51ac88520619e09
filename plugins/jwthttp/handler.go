package jwthttp

import (
	"fmt"
	"mime"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/shop-connect/shop-connect/api"
	"github.com/shop-connect/shop-connect/internal/record"
)

const (
	mimeJSON   = "application/json"
	mimeNDJSON = "application/x-ndjson"
)

// ServeHTTP answers one request, in the client's time only until its body is read: what is in a batch
// then is written whether the client stays or not.
func (in *input) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if _, ok := in.server.Authorize(w, r, in.scopes); !ok {
		return
	}
	kind, problem := in.mediaType(r)
	if problem != nil {
		api.WriteProblem(w, problem)
		return
	}
	body, held, problem := in.read(r)
	if problem != nil {
		in.memory.Release(held)
		api.WriteProblem(w, problem)
		return
	}
	p := in.parsers.Get().(*parser)
	parsed, problem := p.parse(body, kind, api.RequestID(w), time.Now())
	in.parsers.Put(p)
	if problem != nil || parsed.count() == 0 {
		in.memory.Release(held)
	}
	if problem != nil {
		api.WriteProblem(w, problem)
		return
	}
	if headers := record.TraceHeaders(r.Context()); headers != nil {
		for _, row := range parsed.accepted {
			row.Headers = headers
		}
	}
	if parsed.count() > 0 {
		req := &request{rows: parsed, outcome: make(chan error, 1), release: func() { in.memory.Release(held) }}
		if err := in.submit(req); err != nil {
			in.resources.Logger().Debugf("answering 503 on %s: %v", in.path, err) // the output says why, once
			api.WriteProblem(w, api.Unavailable("the rows could not be stored in time; send them again: rows with an id of yours count once"))
			return
		}
	}
	in.answer(w, &parsed)
}

// mediaTypes are those of bodies: lines of rows are for many rows only.
func (in *input) mediaTypes() []string {
	if in.rowsAt == "" {
		return []string{mimeJSON}
	}
	return []string{mimeJSON, mimeNDJSON}
}

// mediaType is that of a request, where the endpoint takes it.
func (in *input) mediaType(r *http.Request) (kind string, problem *api.Problem) {
	given := r.Header.Get("Content-Type")
	if given == mimeJSON {
		return mimeJSON, nil
	}
	kind, _, err := mime.ParseMediaType(given)
	if err != nil || !slices.Contains(in.mediaTypes(), kind) {
		taken := in.mediaTypes()
		return "", api.NewProblem(http.StatusUnsupportedMediaType,
			fmt.Sprintf("the header Content-Type must be %s, is %q", strings.Join(taken, " or "), given)).
			WithHeader("Accept-Post", strings.Join(taken, ", "))
	}
	return kind, nil
}
