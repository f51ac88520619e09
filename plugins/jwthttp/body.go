package jwthttp

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/shop-connect/shop-connect/api"
)

var errTooManyWait = errors.New("too many requests are waiting")

// read returns the body, decompressed, and how many bytes of memory are held for it, whatever the
// outcome. The bytes are never used again for another body: messages point into them for as long as
// anybody likes.
func (in *input) read(r *http.Request) (body []byte, held int64, problem *api.Problem) {
	decompress, problem := in.decompression(r)
	if problem != nil {
		return nil, 0, problem
	}
	hold := func(n int64) error {
		if !in.hold(r.Context(), n) {
			return errTooManyWait
		}
		held += n
		return nil
	}
	body, err := api.ReadBody(r, int64(in.maxBodyBytes), hold)
	if err == nil && decompress != nil {
		// how long it becomes is not known before: meanwhile it counts as the largest
		if err = hold(max(int64(in.maxBodyBytes)-held, 0)); err == nil {
			body, err = decompress(body)
		}
		if surplus := held - int64(len(body)); err == nil && surplus > 0 {
			in.memory.Release(surplus)
			held -= surplus
		}
	}
	return body, held, in.readFault(err)
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

// decompression is what makes a body of the bytes of a request; nil where they are the body.
func (in *input) decompression(r *http.Request) (decompress, *api.Problem) {
	given := strings.Join(r.Header["Content-Encoding"], ", ")
	if given == "" || strings.EqualFold(given, "identity") {
		return nil, nil
	}
	if known := in.decompressor.by(strings.ToLower(given)); known != nil {
		return known, nil
	}
	return nil, api.NewProblem(http.StatusUnsupportedMediaType,
		fmt.Sprintf("the header Content-Encoding must be gzip or zstd, or be left out, is %q", given)).
		WithHeader("Accept-Encoding", "gzip, zstd")
}

func (in *input) readFault(err error) *api.Problem {
	var tooLong *http.MaxBytesError
	switch {
	case err == nil:
		return nil
	case errors.Is(err, errTooManyWait):
		return api.Unavailable("too many requests are waiting; send it again later")
	case errors.Is(err, errTooLarge):
		return api.NewProblem(http.StatusRequestEntityTooLarge,
			fmt.Sprintf("the body, decompressed, may have %d bytes; send the rows in several requests", in.maxBodyBytes))
	case errors.As(err, &tooLong):
		return api.NewProblem(http.StatusRequestEntityTooLarge, fmt.Sprintf("a request may have %d bytes", tooLong.Limit))
	case errors.Is(err, errCorrupt):
		return api.NewProblem(http.StatusBadRequest, "the body is not what the header Content-Encoding says, or is damaged")
	}
	return api.NewProblem(http.StatusBadRequest, "the body ended before it was complete, or came too slowly")
}
