package api

import (
	"context"
	"errors"
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"github.com/shop-connect/shop-connect/internal/auth"
	"github.com/shop-connect/shop-connect/internal/quarantine/catalog"
	replays "github.com/shop-connect/shop-connect/internal/quarantine/replay"
	"github.com/shop-connect/shop-connect/internal/store"
)

// RefusedRows says which rows a replay or a discard is about. Its name is exported because huma passes
// over embedded fields of unexported types. The ledger keeps what was asked for, and PostgreSQL has no U+0000.
type RefusedRows struct {
	Entity  string `json:"entity" doc:"Whose rows."`
	Layer   string `json:"layer,omitempty" nullable:"true" maxLength:"100" pattern:"^[^\\x00]*$" doc:"Only what this layer refused."`
	Day     string `json:"day,omitempty" nullable:"true" format:"date" doc:"Only of this day."`
	Reason  string `json:"reason,omitempty" nullable:"true" maxLength:"200" pattern:"^[^\\x00]*$" doc:"Only rows that were first refused for something that holds this text."`
	Source  string `json:"source,omitempty" nullable:"true" maxLength:"1000" pattern:"^[^\\x00]*$" doc:"Only rows whose source begins with this text."`
	Objects bool   `json:"objects,omitempty" nullable:"true" doc:"Objects that were refused whole, and not rows."`
}

func (r *RefusedRows) filter() catalog.Filter {
	return catalog.Filter{Source: r.Source, QuarantineFilter: store.QuarantineFilter{
		Entity: r.Entity, Layer: r.Layer, Day: r.Day, Reason: r.Reason,
	}}
}

type replayRequest struct {
	Body struct {
		RefusedRows
	}
}

type discardRequest struct {
	Body struct {
		RefusedRows
		Why string `json:"why" minLength:"1" maxLength:"1000" pattern:"^[^\\x00]*$" doc:"Why the rows are given up: the ledger keeps it."`
	}
}

// startedRun is the answer of a request that goes on after it.
type startedRun struct {
	Location string `header:"Location" doc:"Where the run is shown."`
	Body     struct {
		RunID string `json:"run_id"`
	}
}

func (s *Server) registerQuarantineRuns() {
	operation := func(name, summary string) huma.Operation {
		return s.secured(huma.Operation{
			OperationID: name + "-quarantine", Method: http.MethodPost, Path: quarantinePath + "/" + name, Tags: []string{"quarantine"},
			Summary: summary, DefaultStatus: http.StatusAccepted, MaxBodyBytes: maxRowBytes,
			Description: "Answers once the run is in the ledger; GET /api/v1/runs/{id} shows how far it is.",
			Responses: s.ProblemResponses(map[string]string{
				"409": "Another replay or discard is at work.", "422": "The body is not valid.", "503": "The quarantine is away.",
			}),
		}, auth.ScopeAdmin)
	}
	replay := operation("replay", "Bring refused rows back as they are")
	replay.Description = "For rows that their contract allows by now. Rows that need a repair take a mapping, on the command line: shop-connect quarantine replay. " + replay.Description
	huma.Register(s.huma, replay, s.replay)
	huma.Register(s.huma, operation("discard", "Give refused rows up"), s.discard)
	s.documentQuarantineRun("discard")
	s.documentQuarantineRun("replay")
}

// documentQuarantineRun gives the document a schema of its own of what a request may ask for, with the entities
// that there are. What huma checks by stays without them: the handlers refuse in better words.
func (s *Server) documentQuarantineRun(name string) {
	doc := s.huma.OpenAPI()
	body := doc.Paths[quarantinePath+"/"+name].Post.RequestBody.Content[mimeJSON]
	schema := *doc.Components.Schemas.SchemaFromRef(body.Schema.Ref)
	schema.Properties = maps.Clone(schema.Properties)
	entity := *schema.Properties["entity"]
	for _, known := range s.entities() {
		entity.Enum = append(entity.Enum, known)
	}
	schema.Properties["entity"] = &entity
	body.Schema = &schema
}

// entities are those whose refused rows can be brought back.
func (s *Server) entities() []string {
	return slices.Sorted(maps.Keys(s.config.Quarantine.Engine.Contracts))
}

// replay takes no mapping: one runs as long, and takes as much memory, as whoever wrote it likes, and that is
// not for the process that serves everybody.
func (s *Server) replay(ctx context.Context, r *replayRequest) (*startedRun, error) {
	return s.startQuarantineRun(ctx, replays.Request{Filter: r.Body.filter(), Objects: r.Body.Objects}, false)
}

func invalidBody(field, message string) error {
	return NewProblem(http.StatusUnprocessableEntity, "the body is not valid", Fault{Location: "body." + field, Message: message})
}

func (s *Server) discard(ctx context.Context, r *discardRequest) (*startedRun, error) {
	return s.startQuarantineRun(ctx, replays.Request{Filter: r.Body.filter(), Why: r.Body.Why, Objects: r.Body.Objects}, true)
}

func (s *Server) startQuarantineRun(ctx context.Context, request replays.Request, discard bool) (*startedRun, error) {
	engine := s.config.Quarantine.Engine
	if engine.Contracts[request.Entity] == nil {
		return nil, invalidBody("entity", "must be one of "+strings.Join(s.entities(), ", "))
	}
	entering, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	run, work, err := engine.Enter(entering, request, discard)
	if errors.Is(err, replays.ErrBusy) {
		return nil, NewProblem(http.StatusConflict, err.Error())
	}
	if err != nil {
		return nil, s.quarantineAway(err)
	}
	go func() {
		// the ledger tells how it ended
		_, _ = work(context.WithoutCancel(ctx))
	}()
	answer := &startedRun{Location: pathRuns + "/" + run}
	answer.Body.RunID = run
	return answer, nil
}
