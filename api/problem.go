package api

import (
	"encoding/json"
	"maps"
	"net/http"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"
)

const contentTypeProblem = "application/problem+json"

// Problem is the one shape of every error that the API answers (RFC 9457).
type Problem struct {
	Type      string  `json:"type" doc:"What kind of problem this is." example:"about:blank"`
	Title     string  `json:"title" doc:"The kind of problem in a few words." example:"Unprocessable Entity"`
	Status    int     `json:"status" doc:"The HTTP status." example:"422"`
	Detail    string  `json:"detail,omitempty" doc:"What is wrong with this request, and what to do."`
	Errors    []Fault `json:"errors,omitempty" doc:"Each fault that was found, and where."`
	RequestID string  `json:"request_id,omitempty" doc:"The id of this request in the server's logs."`

	headers http.Header
}

// Fault is one thing that is wrong with a request.
type Fault struct {
	Location string `json:"location,omitempty" doc:"Where it is." example:"body.quantity"`
	Message  string `json:"message" doc:"What is wrong with it." example:"must be at least 1"`
}

var (
	_ huma.StatusError       = (*Problem)(nil)
	_ huma.HeadersError      = (*Problem)(nil)
	_ huma.ContentTypeFilter = (*Problem)(nil)
)

// NewProblem makes a problem of a status and what to say about it.
func NewProblem(status int, detail string, errors ...Fault) *Problem {
	return &Problem{Type: "about:blank", Title: http.StatusText(status), Status: status, Detail: detail, Errors: errors}
}

// WithHeader adds a header to the answer.
func (p *Problem) WithHeader(name, value string) *Problem {
	if p.headers == nil {
		p.headers = http.Header{}
	}
	p.headers.Add(name, value)
	return p
}

// Unavailable is the problem of something that is away for a while. To send the request again is safe
// and the right thing to do.
func Unavailable(detail string) *Problem {
	return NewProblem(http.StatusServiceUnavailable, detail).WithHeader("Retry-After", "1")
}

// Error and the methods below are what huma asks of an error.
func (p *Problem) Error() string { return p.Detail }

// GetStatus is the HTTP status.
func (p *Problem) GetStatus() int { return p.Status }

// GetHeaders are headers that go with the answer.
func (p *Problem) GetHeaders() http.Header { return p.headers }

// ContentType is that of problems whatever the client asks for.
func (p *Problem) ContentType(string) string { return contentTypeProblem }

// WriteProblem answers a request with a problem.
func WriteProblem(w http.ResponseWriter, p *Problem) {
	answer := *p
	header := w.Header()
	answer.RequestID = RequestID(w)
	body, err := json.Marshal(&answer)
	if err != nil {
		// strings and a number always have a JSON form
		panic(err)
	}
	maps.Copy(header, p.headers)
	header.Set("Content-Type", contentTypeProblem)
	w.WriteHeader(p.Status)
	_, _ = w.Write(append(body, '\n')) // a client that went away does not want to know
}

// huma makes its own errors by this function, which belongs to the process: so there is one shape of
// error, not two.
func init() {
	huma.NewError = func(status int, detail string, errs ...error) huma.StatusError {
		return fromHuma(status, detail, errs)
	}
}

// withRequestID completes the problems that handlers return to huma.
func withRequestID(ctx huma.Context, _ string, answer any) (any, error) {
	if p, ok := answer.(*Problem); ok {
		_, w := humago.Unwrap(ctx)
		complete := *p
		complete.RequestID = RequestID(w)
		return &complete, nil
	}
	return answer, nil
}

func fromHuma(status int, detail string, errs []error) *Problem {
	p := NewProblem(status, detail)
	for _, err := range errs {
		if d, ok := err.(huma.ErrorDetailer); ok {
			// what the client sent is not sent back: it may be a password
			p.Errors = append(p.Errors, Fault{Location: d.ErrorDetail().Location, Message: d.ErrorDetail().Message})
		} else if err != nil && status < http.StatusInternalServerError {
			p.Errors = append(p.Errors, Fault{Message: err.Error()})
		}
	}
	return p
}
