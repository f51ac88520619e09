package api

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/shop-connect/shop-connect/internal/contract"
	"github.com/shop-connect/shop-connect/internal/store"
)

const (
	// storeTimeout bounds what PostgreSQL has to answer in: a client rather hears 503 than nothing.
	storeTimeout = 5 * time.Second

	maxRowBytes = 1 << 20
)

// resource describes what its operations have in common.
type resource struct {
	server   *Server
	shop     *Shop
	contract *contract.Contract
	path     string // of the list
	one      string // what a single one is called
	turns    turns  // at the database that its operations ask
}

func (s *Server) resource(entity, one string) *resource {
	return &resource{server: s, shop: s.config.Shop, contract: s.config.Shop.Contracts[entity], path: "/api/v1/" + entity, one: one, turns: s.store}
}

// operation completes one of a resource's operations with the check of tokens, a bound on its time, and
// the problems that all of them have. A body is documented by its schema.
func (r *resource) operation(op huma.Operation, scope string, body *huma.Schema, problems map[string]string) huma.Operation {
	op.Tags = []string{r.contract.Entity}
	if problems == nil {
		problems = map[string]string{}
	}
	problems["503"] = "PostgreSQL is away or slow; send the request again."
	if op.Method != http.MethodDelete && op.Method != http.MethodPost {
		problems["422"] = "A parameter or the body is not valid."
	}
	if body != nil {
		op.RequestBody = &huma.RequestBody{Required: true, Content: map[string]*huma.MediaType{mimeJSON: {Schema: body}}}
		op.SkipValidateBody = true // the contract does
		op.MaxBodyBytes = cmp.Or(op.MaxBodyBytes, min(maxRowBytes, r.server.config.MaxBodyBytes))
		problems["400"], problems["413"] = "The body is not JSON.", "The body is too large."
		problems["415"], problems["422"] = "The body is not of type "+mimeJSON+".", "The body breaks its contract."
	}
	op.Responses = r.server.ProblemResponses(problems)
	op = r.server.secured(op, scope)
	return answeredInTime(op)
}

// answeredInTime bounds what an operation takes.
func answeredInTime(op huma.Operation) huma.Operation {
	op.Middlewares = append(op.Middlewares, func(ctx huma.Context, next func(huma.Context)) {
		bounded, cancel := context.WithTimeout(ctx.Context(), storeTimeout)
		defer cancel()
		next(huma.WithContext(ctx, bounded))
	})
	return op
}

// register adds an operation of a resource, with its body in the document as what it is: huma takes a raw
// body for any bytes.
func register[I, O any](r *resource, op huma.Operation, scope string, body *huma.Schema, problems map[string]string, handler func(context.Context, *I) (*O, error)) {
	op = r.operation(op, scope, body, problems)
	huma.Register(r.server.huma, op, inTurn(r.turns, handler))
	if body != nil {
		op.RequestBody.Content[mimeJSON].Schema = body
	}
}

// linkItems documents that what was created is what these operations are about.
func (r *resource) linkItems(parameter string, operations ...string) {
	links := map[string]*huma.Link{}
	for _, id := range operations {
		links[id] = &huma.Link{OperationID: id, Parameters: map[string]any{"path." + parameter: "$response.body#/" + r.contract.Fields[r.contract.Key].Name}}
	}
	r.server.huma.OpenAPI().Paths[r.path].Post.Responses["201"].Links = links
}

// problem turns an error of the store into what the client is told.
func (r *resource) problem(err error) error {
	var conflict *store.Conflict
	switch {
	case errors.Is(err, store.ErrNotFound):
		return NewProblem(http.StatusNotFound, "there is no such "+r.one)
	case errors.Is(err, store.ErrCursor):
		return NewProblem(http.StatusUnprocessableEntity, "the cursor is not valid",
			Fault{Location: "query.cursor", Message: "must come from X-Next-Cursor of a page of this list"})
	case errors.As(err, &conflict):
		return NewProblem(http.StatusConflict, "another "+r.one+" has this "+conflict.Field,
			Fault{Location: "body." + conflict.Field, Message: "is taken by another " + r.one})
	}
	switch store.Kind(err) {
	case store.Unstorable:
		return NewProblem(http.StatusUnprocessableEntity, "the "+r.one+" cannot be stored: a value of it, or what it adds up to, is out of range")
	case store.Defect:
		r.server.log.Error("answering 500", "path", r.path, "cause", err)
		return NewProblem(http.StatusInternalServerError, "the server has a fault; its logs have more under the request id")
	}
	r.server.log.Error("answering 503", "path", r.path, "cause", err)
	return Unavailable("the " + r.contract.Entity + " cannot be reached; send the request again")
}

// PageQuery is which part of a list is asked for. Its name is exported because huma passes over embedded
// fields of unexported types.
type PageQuery struct {
	Skip   int    `query:"skip" minimum:"0" maximum:"100000" default:"0" doc:"How many rows to pass over. Use the cursor to go deeper."`
	Limit  int    `query:"limit" minimum:"1" maximum:"1000" default:"100" doc:"How many rows to answer at most."`
	Cursor string `query:"cursor" maxLength:"1000" format:"cursor" doc:"X-Next-Cursor of the page before: the next page, at the cost of the first."`
}

func (q *PageQuery) page() store.Page {
	return store.Page{Skip: q.Skip, Limit: q.Limit, Cursor: q.Cursor}
}

// pageAnswer is one page of a list, newest first.
type pageAnswer[T any] struct {
	NextCursor string `header:"X-Next-Cursor" doc:"Where the next page begins; absent on the last one."`
	Link       string `header:"Link" doc:"The next page as a link (RFC 8288)."`
	Body       []T
}

// answerPage links a page to the next one, which filters the same way.
func answerPage[T any](path string, q PageQuery, filters url.Values, rows []T, next string) *pageAnswer[T] {
	a := &pageAnswer[T]{NextCursor: next, Body: rows}
	if next != "" {
		filters.Set("limit", strconv.Itoa(q.Limit))
		filters.Set("cursor", next)
		a.Link = "<" + path + "?" + filters.Encode() + `>; rel="next"`
	}
	return a
}

// created is the answer of a POST that made something.
type created[T any] struct {
	Location string `header:"Location" doc:"Where it is."`
	Body     T
}

// one is the answer of a request for a single thing.
type one[T any] struct {
	Body T
}
