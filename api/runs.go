package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/shop-connect/shop-connect/internal/auth"
	"github.com/shop-connect/shop-connect/internal/runs"
	"github.com/shop-connect/shop-connect/internal/store"
)

const (
	pathRuns = "/api/v1/runs"

	// startTimeout bounds how long a client waits for a run to be in the ledger.
	startTimeout = 30 * time.Second
)

// Batches starts, shows and ends batch runs. A *runs.Client is one.
type Batches interface {
	Start(ctx context.Context, r runs.Request) (store.Run, error)
	Run(ctx context.Context, id string) (store.Run, error)
	Runs(ctx context.Context, f store.RunFilter, limit int) ([]store.Run, error)
	Cancel(ctx context.Context, id string) (store.Run, error)
}

var _ Batches = (*runs.Client)(nil)

type runRequest struct {
	ID string `path:"id" format:"uuid" pattern:"^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$" doc:"The run's id, from where it was started."`
}

type runsQuery struct {
	Name   string       `query:"name" maxLength:"100" pattern:"^[^\\x00]*$" doc:"Only runs of this batch stream."`
	Status string       `query:"status" enum:"queued,running,succeeded,failed,cancelled" doc:"Only runs that stand so."`
	Limit  int          `query:"limit" minimum:"1" maximum:"1000" default:"100" doc:"How many runs to answer at most."`
	Cursor optionalUUID `query:"cursor" doc:"X-Next-Cursor of the page before."`
}

type startRequest struct {
	Body struct {
		Name   string    `json:"name" minLength:"1" maxLength:"100" doc:"A batch stream: the name of a file in streams/, such as copy_raw_to_stage."`
		Params runParams `json:"params,omitempty" doc:"Its parameters. Those left out have the defaults in the file."`
		RunID  string    `json:"run_id,omitempty" nullable:"true" format:"uuid" pattern:"^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$" doc:"An id that you have made: a request that is sent twice starts one run."`
	}
}

// runParams are the parameters of a run as clients write them.
type runParams map[string]any

var _ huma.SchemaProvider = runParams{}

// Schema documents texts, numbers and booleans by name.
func (runParams) Schema(huma.Registry) *huma.Schema {
	return &huma.Schema{Type: huma.TypeObject, Nullable: true, AdditionalProperties: &huma.Schema{
		AnyOf: []*huma.Schema{{Type: huma.TypeString}, {Type: huma.TypeNumber}, {Type: huma.TypeBoolean}},
	}}
}

// accepted is the answer of a request whose outcome comes later.
type accepted struct {
	Location string `header:"Location" doc:"Where to ask how the run stands."`
	Body     store.Run
}

func (s *Server) registerRuns() {
	huma.Register(s.huma, s.secured(huma.Operation{
		OperationID: "start-run", Method: http.MethodPost, Path: pathRuns, Tags: []string{"runs"}, DefaultStatus: http.StatusAccepted,
		Summary: "Start a batch run",
		Description: "Posts a batch stream of `streams/` to the streams REST API and answers once its run is in the ledger. " +
			"Two runs of one name are not at work at once: the second waits, or is refused with 409, as the stream's YAML says.",
		Responses: s.ProblemResponses(map[string]string{
			"404": "There is no such batch stream, or none at all.", "409": "A run of this name is at work, or the run_id is that of another run.",
			"422": "A parameter is unknown or not valid.", "503": "The streams or the ledger are away.",
		}),
	}, auth.ScopeWrite), s.startRun)
	huma.Register(s.huma, answeredInTime(s.secured(huma.Operation{
		OperationID: "runs", Method: http.MethodGet, Path: pathRuns, Tags: []string{"runs"},
		Summary:     "List batch runs, the newest first",
		Description: "All runs in the ledger, also those that were started without this API.",
		Responses:   s.ProblemResponses(map[string]string{"422": "A parameter is not valid.", "503": "The ledger of runs is away."}),
	}, auth.ScopeRead)), inTurn(s.store, s.listRuns))
	huma.Register(s.huma, answeredInTime(s.secured(huma.Operation{
		OperationID: "run", Method: http.MethodGet, Path: pathRuns + "/{id}", Tags: []string{"runs"},
		Summary:     "Show a batch run",
		Description: "What a run was asked for, where it stands, and how many rows went in, out, and were refused. A run whose process was killed is closed as failed.",
		Responses:   s.ProblemResponses(map[string]string{"404": "There is no such run.", "422": "The id is not a UUID.", "503": "The ledger of runs is away."}),
	}, auth.ScopeRead)), inTurn(s.store, s.showRun))
	huma.Register(s.huma, answeredInTime(s.secured(huma.Operation{
		OperationID: "cancel-run", Method: http.MethodPost, Path: pathRuns + "/{id}/cancel", Tags: []string{"runs"}, DefaultStatus: http.StatusAccepted,
		Summary:     "Cancel a batch run",
		Description: "Ends a run within seconds, wherever it is at work; it then stands as cancelled. What it has done stays done, and the next run goes on from there.",
		Responses: s.ProblemResponses(map[string]string{
			"404": "There is no such run.", "409": "The run has ended already.", "422": "The id is not a UUID.", "503": "The ledger of runs is away.",
		}),
	}, auth.ScopeWrite)), inTurn(s.store, s.cancelRun))
}

func (s *Server) startRun(ctx context.Context, r *startRequest) (*accepted, error) {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	run, err := s.config.Runs.Start(ctx, runs.Request{Name: r.Body.Name, Params: textParams(r.Body.Params), ID: r.Body.RunID})
	if err != nil {
		return nil, s.runProblem(err)
	}
	return &accepted{Location: pathRuns + "/" + run.ID, Body: run}, nil
}

// textParams writes parameters the way the YAML of a stream gets them.
func textParams(given runParams) map[string]string {
	params := make(map[string]string, len(given))
	for name, value := range given {
		switch value := value.(type) {
		case string:
			params[name] = value
		case bool:
			params[name] = strconv.FormatBool(value)
		case float64:
			params[name] = strconv.FormatFloat(value, 'f', -1, 64)
		}
	}
	return params
}

func (s *Server) listRuns(ctx context.Context, q *runsQuery) (*pageAnswer[store.Run], error) {
	list, err := s.config.Runs.Runs(ctx, store.RunFilter{Name: q.Name, Status: store.Status(q.Status), Before: string(q.Cursor)}, q.Limit+1)
	if err != nil {
		return nil, s.runProblem(err)
	}
	next := ""
	if len(list) > q.Limit {
		list = list[:q.Limit]
		next = list[q.Limit-1].ID
	}
	filters := url.Values{}
	for name, value := range map[string]string{"name": q.Name, "status": q.Status} {
		if value != "" {
			filters.Set(name, value)
		}
	}
	if list == nil {
		list = []store.Run{}
	}
	return answerPage(pathRuns, PageQuery{Limit: q.Limit}, filters, list, next), nil
}

func (s *Server) showRun(ctx context.Context, r *runRequest) (*one[store.Run], error) {
	run, err := s.config.Runs.Run(ctx, r.ID)
	if err != nil {
		return nil, s.runProblem(err)
	}
	return &one[store.Run]{Body: run}, nil
}

func (s *Server) cancelRun(ctx context.Context, r *runRequest) (*accepted, error) {
	run, err := s.config.Runs.Cancel(ctx, r.ID)
	if err != nil {
		return nil, s.runProblem(err)
	}
	if run.Status.Final() && run.Status != store.Cancelled {
		return nil, NewProblem(http.StatusConflict, fmt.Sprintf("the run has ended already: it %s", run.Status))
	}
	return &accepted{Location: pathRuns + "/" + run.ID, Body: run}, nil
}

// runProblem turns an error into what the client is told.
func (s *Server) runProblem(err error) error {
	var unknown *runs.UnknownName
	var faults runs.ParamFaults
	var refused *runs.RefusedError
	switch {
	case errors.Is(err, store.ErrNotFound):
		return NewProblem(http.StatusNotFound, "there is no such run")
	case errors.Is(err, runs.ErrNoStreams):
		return NewProblem(http.StatusNotFound, "this server has no batch streams: STREAMS_DIR must name the folder that holds them")
	case errors.As(err, &unknown):
		return NewProblem(http.StatusNotFound, unknown.Error())
	case errors.As(err, &faults):
		told := make([]Fault, len(faults))
		names := make([]string, len(faults))
		for i, f := range faults {
			names[i] = fmt.Sprintf("%.60q", f.Name)
			told[i] = Fault{Location: "body.params." + f.Name, Message: f.Message}
		}
		return NewProblem(http.StatusUnprocessableEntity, "parameters are not valid: "+strings.Join(names, ", "), told...)
	case errors.As(err, &refused):
		return NewProblem(http.StatusUnprocessableEntity, refused.Error())
	case errors.Is(err, runs.ErrBusy), errors.Is(err, runs.ErrTaken):
		return NewProblem(http.StatusConflict, err.Error())
	}
	switch store.Kind(err) {
	case store.Unstorable:
		return NewProblem(http.StatusUnprocessableEntity, "a parameter is no text in UTF-8, or out of range")
	case store.Defect:
		s.log.Error("answering 500", "path", pathRuns, "cause", err)
		return NewProblem(http.StatusInternalServerError, "the server has a fault; its logs have more under the request id")
	}
	s.log.Error("answering 503", "path", pathRuns, "cause", err)
	if _, away := errors.AsType[*runs.AwayError](err); away {
		return Unavailable("the streams REST API cannot be reached; check STREAMS_URL or STREAMS_ADDRESS of this server")
	}
	return Unavailable("the run cannot be started or the ledger cannot be read; the log of this server says why")
}
