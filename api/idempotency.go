package api

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"net/http"
	"reflect"
	"slices"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/shop-connect/shop-connect/internal/store"
)

const (
	headerIdempotencyKey = "Idempotency-Key"
	headerReplayed       = "Idempotent-Replayed"

	// maxIdempotentBytes bounds bodies and answers that are held to be compared and kept.
	maxIdempotentBytes = 1 << 20
	keepTimeout        = 5 * time.Second
)

// Idempotency remembers the answers to requests with a key. A *store.Store is one.
type Idempotency interface {
	BeginRequest(ctx context.Context, k store.IdempotencyKey, fingerprint []byte) (kept store.KeptAnswer, began bool, err error)
	KeepAnswer(ctx context.Context, k store.IdempotencyKey, a store.KeptAnswer) error
	GiveUpRequest(ctx context.Context, k store.IdempotencyKey) error
}

var _ Idempotency = (*store.Store)(nil)

// answer lets a route answer, once for all requests of one client with the same Idempotency-Key. A
// request without a good token is none of a client's, and changes nothing.
func (s *Server) answer(w *response, r *http.Request) {
	given := r.Header[headerIdempotencyKey]
	if len(given) == 0 || r.Method != http.MethodPost || s.config.Idempotency == nil {
		s.mux.ServeHTTP(w, r)
		return
	}
	claims, ok := s.identify(w, r)
	if !ok {
		s.mux.ServeHTTP(w, r)
		return
	}
	if len(given) != 1 || !isID(given[0]) {
		WriteProblem(w, NewProblem(http.StatusBadRequest, "the header "+headerIdempotencyKey+" must be 1 to 128 letters, digits, -, _ or ., such as a UUID"))
		return
	}
	body, problem := readIdempotent(r)
	if problem != nil {
		WriteProblem(w, problem)
		return
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	key := store.IdempotencyKey{Subject: claims.Subject, Endpoint: r.URL.Path, Key: given[0]}
	asked := fingerprint(r, body)
	ctx, leave, ok := s.store.enter(r.Context())
	if !ok {
		WriteProblem(w, tooMany())
		return
	}
	defer leave()
	r = r.WithContext(ctx)
	asking, cancel := context.WithTimeout(ctx, storeTimeout)
	kept, began, err := s.config.Idempotency.BeginRequest(asking, key, asked)
	cancel()
	if s.routes.mounted(s.mux, r) {
		leave() // a stream needs Kafka
	}
	switch {
	case err != nil:
		s.log.Error("answering 503", "request_id", RequestID(w), "cause", err)
		WriteProblem(w, Unavailable("the keys of requests cannot be read; send it again"))
	case began:
		s.answerOnce(w, r, key)
	case !bytes.Equal(kept.Fingerprint, asked):
		WriteProblem(w, NewProblem(http.StatusUnprocessableEntity, "the "+headerIdempotencyKey+" was used for another request; use a new one"))
	case kept.Status == 0:
		WriteProblem(w, NewProblem(http.StatusConflict, "the request with this "+headerIdempotencyKey+" is not answered yet; ask again. Where it stays so, the server ended amid it: look whether it was done").
			WithHeader("Retry-After", "1"))
	default:
		replay(w, kept)
	}
}

// answerOnce keeps the answer before it is given. What changed nothing is not kept, so that it can be
// tried again.
func (s *Server) answerOnce(w *response, r *http.Request, key store.IdempotencyKey) {
	held := &heldAnswer{header: w.Header(), status: http.StatusOK}
	s.mux.ServeHTTP(&response{ResponseWriter: held, status: http.StatusOK, token: w.token}, r)
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), keepTimeout)
	defer cancel()
	var err error
	if held.status < 300 && held.body.Len() <= maxIdempotentBytes {
		err = s.config.Idempotency.KeepAnswer(ctx, key, store.KeptAnswer{
			Status: held.status, ContentType: held.header.Get("Content-Type"), Location: held.header.Get("Location"), Body: held.body.Bytes(),
		})
	} else {
		err = s.config.Idempotency.GiveUpRequest(ctx, key)
	}
	if err != nil {
		// the request was done all the same; one with this key stays unanswered, and is not done twice
		s.log.Error("an answer is given and not kept", "request_id", RequestID(w), "cause", err)
	}
	w.WriteHeader(held.status)
	_, _ = w.Write(held.body.Bytes())
}

func replay(w http.ResponseWriter, kept store.KeptAnswer) {
	header := w.Header()
	header.Set(headerReplayed, "true")
	for name, value := range map[string]string{"Content-Type": kept.ContentType, "Location": kept.Location} {
		if value != "" {
			header.Set(name, value)
		}
	}
	w.WriteHeader(kept.Status)
	_, _ = w.Write(kept.Body)
}

func readIdempotent(r *http.Request) ([]byte, *Problem) {
	body, err := io.ReadAll(io.LimitReader(r.Body, maxIdempotentBytes+1))
	var tooLong *http.MaxBytesError
	switch {
	case len(body) > maxIdempotentBytes, errors.As(err, &tooLong):
		return nil, NewProblem(http.StatusRequestEntityTooLarge,
			"with "+headerIdempotencyKey+" a body may have 1 MiB; give larger ones no key, and their rows ids of yours: they count once")
	case err != nil:
		return nil, NewProblem(http.StatusBadRequest, "the body ended before it was complete, or came too slowly")
	}
	return body, nil
}

// documentIdempotency adds the header, and its answers, to every operation that it holds for.
func (s *Server) documentIdempotency(doc *huma.OpenAPI) {
	if s.config.Idempotency == nil {
		return
	}
	longest := 128
	header := &huma.Param{
		Name: headerIdempotencyKey, In: "header", Description: "A name of the client's for this request, such as a UUID. For 24 hours the same request with the same key is done once and answered alike.",
		Schema: &huma.Schema{Type: huma.TypeString, Pattern: "^[0-9A-Za-z_.-]+$", MaxLength: &longest},
	}
	problem := doc.Components.Schemas.Schema(reflect.TypeFor[Problem](), true, "")
	for _, path := range doc.Paths {
		op := path.Post
		known := func(p *huma.Param) bool { return p.Name == headerIdempotencyKey }
		if op == nil || len(op.Security) == 0 || slices.ContainsFunc(op.Parameters, known) {
			continue
		}
		op.Parameters = append(op.Parameters, header)
		for status, description := range map[string]string{
			"400": "The request is malformed.", "413": "The body is too large.", "422": "The key was used for another request.",
			"409": "The request with this key is not answered yet.",
		} {
			if op.Responses[status] == nil {
				op.Responses[status] = &huma.Response{Description: description, Content: map[string]*huma.MediaType{contentTypeProblem: {Schema: problem}}}
			}
		}
	}
}

// fingerprint is the same for requests that ask for the same.
func fingerprint(r *http.Request, body []byte) []byte {
	h := sha256.New()
	for _, part := range []string{r.URL.RawQuery, r.Header.Get("Content-Type"), r.Header.Get("Content-Encoding")} {
		_, _ = io.WriteString(h, part+"\x00")
	}
	_, _ = h.Write(body)
	return h.Sum(nil)
}

// heldAnswer is an answer that is not given yet.
type heldAnswer struct {
	header http.Header
	status int
	begun  bool
	body   bytes.Buffer
}

func (a *heldAnswer) Header() http.Header { return a.header }

func (a *heldAnswer) WriteHeader(status int) {
	if !a.begun {
		a.begun, a.status = true, status
	}
}

func (a *heldAnswer) Write(b []byte) (int, error) {
	a.begun = true
	return a.body.Write(b)
}
