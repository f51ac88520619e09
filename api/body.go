package api

import (
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"slices"
	"strings"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"github.com/shop-connect/shop-connect/internal/contentcoding"
)

const (
	// firstRoom is the room that a body begins with.
	firstRoom = 64 << 10
	// growth is how much more room a body gets than has arrived.
	growth = 4
)

// ReadBody returns a body as it came, of at most limit bytes; one above is contentcoding.ErrTooLarge. Its
// room is asked for as bytes arrive: what a client announces and never sends must not keep others out.
func ReadBody(r *http.Request, limit int64, hold func(n int64) error) ([]byte, error) {
	announced := r.ContentLength
	if announced > limit {
		return nil, contentcoding.ErrTooLarge
	}
	most := limit
	if announced >= 0 {
		most = announced
	}
	room := min(firstRoom, most)
	if err := hold(room); err != nil || announced == 0 {
		return nil, err
	}
	body := make([]byte, 0, capacity(room, announced))
	for {
		n, err := r.Body.Read(body[len(body):cap(body)])
		body = body[:len(body)+n]
		switch arrived := int64(len(body)); {
		case arrived == announced:
			return body, nil
		case arrived > limit:
			return nil, contentcoding.ErrTooLarge
		case errors.Is(err, io.EOF) && announced > 0:
			return nil, io.ErrUnexpectedEOF
		case errors.Is(err, io.EOF):
			return body, nil
		case err != nil:
			return nil, err
		}
		if len(body) == cap(body) {
			more := min((growth-1)*room, most-room)
			if err := hold(more); err != nil {
				return nil, err
			}
			room += more
			body = append(make([]byte, 0, capacity(room, announced)), body...)
		}
	}
}

// capacity has a byte more where the length is not known: it tells a body at the limit from one above it.
func capacity(room, announced int64) int64 {
	if announced < 0 {
		return room + 1
	}
	return room
}

// refuseEarly is a middleware that refuses a body by its header, where huma would read all of it first.
func refuseEarly(ctx huma.Context, next func(huma.Context)) {
	r, w := humago.Unwrap(ctx)
	op := ctx.Operation()
	if r.ContentLength > op.MaxBodyBytes && op.MaxBodyBytes > 0 {
		WriteProblem(w, NewProblem(http.StatusRequestEntityTooLarge, fmt.Sprintf("the body may have %d bytes", op.MaxBodyBytes)))
		return
	}
	if given := r.Header.Get("Content-Type"); given != "" && r.ContentLength != 0 && op.RequestBody != nil {
		if kind, _, err := mime.ParseMediaType(given); err != nil || op.RequestBody.Content[kind] == nil && !strings.HasSuffix(kind, "+json") {
			WriteProblem(w, NewProblem(http.StatusUnsupportedMediaType, "the header Content-Type must be "+strings.Join(mediaTypes(op), " or ")))
			return
		}
	}
	next(ctx)
}

func mediaTypes(op *huma.Operation) (kinds []string) {
	for kind := range op.RequestBody.Content {
		kinds = append(kinds, kind)
	}
	slices.Sort(kinds)
	return kinds
}
