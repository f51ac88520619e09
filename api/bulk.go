package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"
	"golang.org/x/sync/semaphore"

	"github.com/shop-connect/shop-connect/internal/contentcoding"
	"github.com/shop-connect/shop-connect/internal/contract"
)

const tooManyBodies = "too many bodies are in hand; send it again"

const mimeNDJSON = "application/x-ndjson"

// BulkAnswer is what a client learns of a body of rows.
type BulkAnswer struct {
	SuccessCount int       `json:"success_count" doc:"Rows that are stored."`
	ErrorCount   int       `json:"error_count" doc:"Rows that are refused and set aside."`
	Errors       []Refusal `json:"errors" nullable:"true" doc:"Each refused row."`
}

// Refusal is one refused row, as the client is told of it.
type Refusal struct {
	Index   int               `json:"index" doc:"Which row of the body, from 0."`
	ID      string            `json:"id,omitempty" doc:"The row's id, where it has one."`
	Reasons []contract.Reason `json:"reasons" doc:"Everything that is wrong with it."`
}

// bulkBody is the body of a request that is many rows.
type bulkBody struct {
	ContentType     string `header:"Content-Type" hidden:"true"`
	ContentEncoding string `header:"Content-Encoding" hidden:"true"`
	RawBody         []byte `contentType:"application/json"`

	requestID string
}

// Resolve notes which request it is; huma calls it.
func (b *bulkBody) Resolve(ctx huma.Context) []error {
	_, w := humago.Unwrap(ctx)
	b.requestID = RequestID(w)
	return nil
}

// bulkReader reads bodies of many rows, bounded by the bytes that have arrived, and lets a few at a time be
// worked on: what a body stands for can be as large again.
type bulkReader struct {
	limit    int64
	decoders *contentcoding.Decoders
	memory   *semaphore.Weighted // of bodies that are read, or being read
	slots    chan struct{}
}

func newDecoders(limit int64) *contentcoding.Decoders { return contentcoding.New(int(limit)) }

// wait is a middleware that lets a request in once its body is there and it has its turn: a client that
// sends slowly keeps nobody waiting.
func (b *bulkReader) wait(ctx huma.Context, next func(huma.Context)) {
	r, w := humago.Unwrap(ctx)
	body, held, problem := b.read(r)
	defer func() { b.memory.Release(held) }()
	if problem != nil {
		WriteProblem(w, problem)
		return
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	patience := time.NewTimer(storeTimeout)
	defer patience.Stop()
	select {
	case b.slots <- struct{}{}:
		defer func() { <-b.slots }()
		next(ctx)
	case <-patience.C:
		WriteProblem(w, Unavailable(tooManyBodies))
	case <-ctx.Context().Done():
	}
}

// read returns a body, and how many bytes of memory are held for it, whatever the outcome.
func (b *bulkReader) read(r *http.Request) (body []byte, held int64, problem *Problem) {
	body, err := ReadBody(r, b.limit, func(n int64) error {
		ctx, cancel := context.WithTimeout(r.Context(), storeTimeout)
		defer cancel()
		err := b.memory.Acquire(ctx, n)
		if err == nil {
			held += n
		}
		return err
	})
	var tooLong *http.MaxBytesError
	switch {
	case err == nil:
		return body, held, nil
	case errors.Is(err, contentcoding.ErrTooLarge), errors.As(err, &tooLong):
		return nil, held, NewProblem(http.StatusRequestEntityTooLarge, fmt.Sprintf("the body may have %d bytes; send the rows in several requests", b.limit))
	case errors.Is(err, context.DeadlineExceeded):
		return nil, held, Unavailable(tooManyBodies)
	case errors.Is(err, os.ErrDeadlineExceeded):
		return nil, held, NewProblem(http.StatusRequestTimeout, "the body came too slowly")
	}
	return nil, held, NewProblem(http.StatusBadRequest, "the body ended before it was complete")
}

// rows takes the rows out of a body, each with its bytes.
func (b *bulkReader) rows(body *bulkBody, entity string) (rows []json.RawMessage, problem *Problem) {
	kind, _, err := mime.ParseMediaType(body.ContentType)
	if err != nil || kind != mimeJSON && kind != mimeNDJSON {
		return nil, NewProblem(http.StatusUnsupportedMediaType, "the header Content-Type must be "+mimeJSON+" or "+mimeNDJSON)
	}
	text, problem := b.decode(body)
	if problem != nil {
		return nil, problem
	}
	if kind == mimeNDJSON {
		rows = linesOf(text)
	} else if rows, problem = rowsOf(text, entity); problem != nil {
		return nil, problem
	}
	if len(rows) > maxBulkCustomers {
		return nil, NewProblem(http.StatusRequestEntityTooLarge, fmt.Sprintf("a body may have %d rows; send them in several requests", maxBulkCustomers))
	}
	return rows, nil
}

func (b *bulkReader) decode(body *bulkBody) ([]byte, *Problem) {
	coding := strings.ToLower(body.ContentEncoding)
	if coding == "" || coding == "identity" {
		return body.RawBody, nil
	}
	decode := b.decoders.By(coding)
	if decode == nil {
		return nil, NewProblem(http.StatusUnsupportedMediaType,
			fmt.Sprintf("the header Content-Encoding must be gzip or zstd, or be left out, is %q", body.ContentEncoding)).WithHeader("Accept-Encoding", "gzip, zstd")
	}
	text, err := decode(body.RawBody)
	switch {
	case errors.Is(err, contentcoding.ErrTooLarge):
		return nil, NewProblem(http.StatusRequestEntityTooLarge, fmt.Sprintf("the body, decompressed, may have %d bytes; send the rows in several requests", maxBulkBytes))
	case err != nil:
		return nil, NewProblem(http.StatusBadRequest, "the body is not what the header Content-Encoding says, or is damaged")
	}
	return text, nil
}
