package api

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"
)

type rootAnswer struct {
	Body struct {
		Status  string `json:"status" example:"ok"`
		Message string `json:"message"`
		Version string `json:"version"`
	}
}

const rootPattern = "/{$}"

func (s *Server) registerRoot() {
	huma.Register(s.huma, huma.Operation{
		OperationID: "root", Method: http.MethodGet, Path: rootPattern, Summary: "Say hello", Tags: []string{"service"},
	}, func(context.Context, *struct{}) (*rootAnswer, error) {
		a := &rootAnswer{}
		a.Body.Status, a.Body.Version = "ok", s.config.Version
		a.Body.Message = "shop-connect is running; /docs shows the endpoints, /openapi.json describes them"
		return a, nil
	})
	paths := s.huma.OpenAPI().Paths
	paths["/"] = paths[rootPattern] // {$} is net/http's word for "only this", not OpenAPI's
	delete(paths, rootPattern)
}
