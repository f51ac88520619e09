package jwthttp

import (
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"time"

	"github.com/shop-connect/shop-connect/api"
)

const (
	mimeJSON = "application/json"

	// firstRead is the room for a body that does not say how long it is.
	firstRead = 32 << 10
)

// ServeHTTP answers one request, in the client's time only until its body is read: what is in a batch
// then is written whether the client stays or not.
func (in *input) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if _, ok := in.server.Authorize(w, r, in.scopes); !ok {
		return
	}
	if problem := checkContent(r); problem != nil {
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
	parsed, problem := p.parse(body, api.RequestID(w), time.Now())
	in.parsers.Put(p)
	if problem != nil || len(parsed.messages) == 0 {
		in.memory.Release(held)
	}
	if problem != nil {
		api.WriteProblem(w, problem)
		return
	}
	if len(parsed.messages) > 0 {
		req := &request{rows: parsed, outcome: make(chan error, 1), release: func() { in.memory.Release(held) }}
		if err := in.submit(req); err != nil {
			in.resources.Logger().Debugf("answering 503 on %s: %v", in.path, err) // the output says why, once
			api.WriteProblem(w, api.Unavailable("the rows could not be stored in time; send them again: rows with an id of yours count once"))
			return
		}
	}
	in.answer(w, &parsed)
}

func checkContent(r *http.Request) *api.Problem {
	given := r.Header.Get("Content-Type")
	if given != mimeJSON {
		if kind, _, err := mime.ParseMediaType(given); err != nil || kind != mimeJSON {
			return api.NewProblem(http.StatusUnsupportedMediaType, fmt.Sprintf("the header Content-Type must be %s, is %q", mimeJSON, given)).
				WithHeader("Accept-Post", mimeJSON)
		}
	}
	if encoding := r.Header.Get("Content-Encoding"); encoding != "" && encoding != "identity" {
		return api.NewProblem(http.StatusUnsupportedMediaType, fmt.Sprintf("the body must not be compressed, is %q", encoding)).
			WithHeader("Accept-Encoding", "identity")
	}
	return nil
}

// read returns the body, and how many bytes of memory are held for it, whatever the outcome. The bytes
// are never used again for another body: messages point into them for as long as anybody likes.
func (in *input) read(r *http.Request) (body []byte, held int64, problem *api.Problem) {
	hold := func(n int64) bool {
		ok := in.hold(r.Context(), n)
		if ok {
			held += n
		}
		return ok
	}
	busy := api.Unavailable("too many requests are waiting; send it again later")
	limit := int64(in.maxBodyBytes)
	if r.ContentLength > limit {
		return nil, held, in.tooLarge()
	}
	if r.ContentLength >= 0 {
		if !hold(r.ContentLength) {
			return nil, held, busy
		}
		body = make([]byte, r.ContentLength)
		_, err := io.ReadFull(r.Body, body)
		return body, held, in.readFault(err)
	}
	if !hold(firstRead) {
		return nil, held, busy
	}
	body = make([]byte, 0, firstRead)
	for {
		n, err := r.Body.Read(body[len(body):cap(body)])
		body = body[:len(body)+n]
		switch {
		case errors.Is(err, io.EOF):
			return body, held, nil
		case err != nil:
			return nil, held, in.readFault(err)
		case int64(len(body)) > limit:
			return nil, held, in.tooLarge()
		}
		if len(body) == cap(body) {
			if !hold(int64(cap(body))) {
				return nil, held, busy
			}
			body = append(make([]byte, 0, 2*cap(body)), body...)
		}
	}
}

// hold waits for its turn where too much is in memory.
func (in *input) hold(ctx context.Context, n int64) bool {
	if in.memory.TryAcquire(n) {
		return true
	}
	ctx, cancel := context.WithTimeout(ctx, in.timeout)
	defer cancel()
	return in.memory.Acquire(ctx, n) == nil
}

func (in *input) readFault(err error) *api.Problem {
	var tooLarge *http.MaxBytesError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &tooLarge):
		return api.NewProblem(http.StatusRequestEntityTooLarge, fmt.Sprintf("a request may have %d bytes", tooLarge.Limit))
	}
	return api.NewProblem(http.StatusBadRequest, "the body ended before it was complete, or came too slowly")
}

func (in *input) tooLarge() *api.Problem {
	return api.NewProblem(http.StatusRequestEntityTooLarge,
		fmt.Sprintf("the body may have %d bytes; send the rows in several requests", in.maxBodyBytes))
}
