package api

import (
	"context"
	"errors"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/shop-connect/shop-connect/internal/auth"
	"github.com/shop-connect/shop-connect/internal/store"
)

type runRequest struct {
	ID string `path:"id" format:"uuid" doc:"The run's id, from where it was started."`
}

type runAnswer struct {
	Body store.Run
}

func (s *Server) registerRuns() {
	huma.Register(s.huma, s.secured(huma.Operation{
		OperationID: "run", Method: http.MethodGet, Path: "/api/v1/runs/{id}", Tags: []string{"runs"},
		Summary:     "Show a batch run",
		Description: "What a run was asked for, where it stands, and how many rows went in, out, and were refused.",
		Responses:   s.ProblemResponses(map[string]string{"404": "There is no such run.", "422": "The id is not a UUID.", "503": "The ledger of runs is away."}),
	}, auth.ScopeRead), s.showRun)
}

func (s *Server) showRun(ctx context.Context, r *runRequest) (*runAnswer, error) {
	run, err := s.config.Runs(ctx, r.ID)
	if errors.Is(err, store.ErrNotFound) {
		return nil, NewProblem(http.StatusNotFound, "there is no run "+r.ID)
	}
	if err != nil {
		s.log.Error("answering 503", "path", "/api/v1/runs", "cause", err)
		return nil, Unavailable("the ledger of runs cannot be read; ask again later")
	}
	return &runAnswer{Body: run}, nil
}
