package api

import (
	"encoding/json"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"github.com/shop-connect/shop-connect/internal/contentcoding"
	"github.com/shop-connect/shop-connect/internal/contract"
)

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

// bulkReader reads bodies of many rows, a few at a time: huma reads a body whole, within seconds, and
// what it stands for can be as large again.
type bulkReader struct {
	decoders *contentcoding.Decoders
	slots    chan struct{}
}

func newDecoders(limit int64) *contentcoding.Decoders { return contentcoding.New(int(limit)) }

// wait is a middleware that lets a request in once there is room.
func (b *bulkReader) wait(ctx huma.Context, next func(huma.Context)) {
	patience := time.NewTimer(storeTimeout)
	defer patience.Stop()
	select {
	case b.slots <- struct{}{}:
		defer func() { <-b.slots }()
		next(ctx)
	case <-patience.C:
		_, w := humago.Unwrap(ctx)
		WriteProblem(w, Unavailable("too many bodies are in hand; send it again"))
	case <-ctx.Context().Done():
	}
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
