package jwthttp

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/shop-connect/shop-connect/api"
)

const (
	// firstRead is the room for a body that is long, or does not say how long it is.
	firstRead = 32 << 10
	// eagerRead is how long a body may say that it is to be given all its room at once. A longer one gets
	// room as its bytes arrive: what a client announces and never sends must not keep others out.
	eagerRead = 1 << 20
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
	body, err := in.readRaw(r, hold)
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

// readRaw returns the body as it came.
func (in *input) readRaw(r *http.Request, hold func(n int64) error) ([]byte, error) {
	limit := int64(in.maxBodyBytes)
	if r.ContentLength > limit {
		return nil, errTooLarge
	}
	if r.ContentLength >= 0 && r.ContentLength <= eagerRead {
		if err := hold(r.ContentLength); err != nil {
			return nil, err
		}
		body := make([]byte, r.ContentLength)
		_, err := io.ReadFull(r.Body, body)
		return body, err
	}
	room := min(firstRead, limit)
	if err := hold(room); err != nil {
		return nil, err
	}
	body := make([]byte, 0, room+1) // the one byte more tells a body at the limit from one above it
	for {
		n, err := r.Body.Read(body[len(body):cap(body)])
		body = body[:len(body)+n]
		switch {
		case int64(len(body)) > limit:
			return nil, errTooLarge
		case errors.Is(err, io.EOF):
			return body, nil
		case err != nil:
			return nil, err
		}
		if len(body) == cap(body) {
			more := min(room, limit-room)
			if err := hold(more); err != nil {
				return nil, err
			}
			room += more
			body = append(make([]byte, 0, room+1), body...)
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
