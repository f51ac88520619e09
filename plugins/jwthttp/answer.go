package jwthttp

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"github.com/shop-connect/shop-connect/api"
)

// rowAnswer is what a client learns of a single row.
type rowAnswer struct {
	ID string `json:"id" doc:"The row's id: the client's own, else the one it was given."`
}

// answer is given once the rows are stored, the refused ones too.
func (in *input) answer(w http.ResponseWriter, rows *rows) {
	status := http.StatusOK
	var answer any = api.BulkAnswer{SuccessCount: len(rows.accepted), ErrorCount: len(rows.refused), Errors: rows.refused}
	if in.rowsAt == "" {
		if len(rows.refused) > 0 {
			api.WriteProblem(w, refusedRow(rows.refused[0]))
			return
		}
		status, answer = http.StatusAccepted, rowAnswer{ID: string(rows.accepted[0].Key)}
	}
	body, err := json.Marshal(answer)
	if err != nil {
		// numbers and strings always have a JSON form
		panic(err)
	}
	header := w.Header()
	header["Content-Type"] = []string{mimeJSON}
	header["Content-Length"] = []string{strconv.Itoa(len(body))}
	w.WriteHeader(status)
	_, _ = w.Write(body) // a client that went away does not want to know
}

func refusedRow(r api.Refusal) *api.Problem {
	p := api.NewProblem(http.StatusUnprocessableEntity, "the row breaks its contract; it is set aside")
	for _, reason := range r.Reasons {
		p.Errors = append(p.Errors, api.Fault{Location: strings.TrimSuffix("body."+reason.Field, "."), Message: reason.Message})
	}
	return p
}

// malformed says where a body stops being JSON. The standard library is asked, because its errors know
// the place; it reads the body once more, which only clients pay for that send such bodies.
func malformed(body []byte, err error) *api.Problem {
	if len(bytes.TrimSpace(body)) == 0 {
		return api.NewProblem(http.StatusBadRequest, "the body is empty; it must be JSON")
	}
	fault := api.Fault{Location: "body", Message: err.Error()}
	var raw json.RawMessage
	if syntax, ok := errors.AsType[*json.SyntaxError](json.Unmarshal(body, &raw)); ok {
		offset := max(int(syntax.Offset)-1, 0)
		before := body[:min(offset, len(body))]
		line, column := bytes.Count(before, []byte{'\n'})+1, len(before)-bytes.LastIndexByte(before, '\n')
		fault.Message = fmt.Sprintf("%v, at byte %d, line %d, column %d", syntax, offset, line, column)
	}
	return api.NewProblem(http.StatusBadRequest, "the body must be well-formed JSON", fault)
}
