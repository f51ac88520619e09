package api

import (
	"encoding/json"
	"net/http"
	"reflect"
	"sync"

	"github.com/danielgtaylor/huma/v2"
)

// SecurityScheme is the name of bearer tokens in the OpenAPI document.
const SecurityScheme = "bearer"

func humaConfig(version string) huma.Config {
	c := huma.DefaultConfig("shop-connect", version)
	c.Info.Description = "Purchases, products, customers and sellers of a shop. Errors are RFC 9457 problems."
	c.Components.SecuritySchemes = map[string]*huma.SecurityScheme{
		SecurityScheme: {Type: "http", Scheme: "bearer", BearerFormat: "JWT"},
	}
	documentMoney(c.Components.Schemas)
	// The document is served by serveOpenAPI: huma's own would not show routes that are mounted later.
	c.OpenAPIPath, c.DocsPath, c.SchemasPath = "", "", ""
	c.CreateHooks = nil // no $schema member in answers
	c.Transformers = []huma.Transformer{withRequestID}
	c.Formats = map[string]huma.Format{"application/json": huma.DefaultJSONFormat, "json": huma.DefaultJSONFormat}
	return c
}

// openAPICache holds the operations of mounted routes and the document made of all there is. An
// endpoint stays in the document while its stream is away.
type openAPICache struct {
	mu      sync.Mutex
	mounted map[string]*huma.Operation
	text    []byte
}

func (c *openAPICache) set(r Route) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.mounted == nil {
		c.mounted = map[string]*huma.Operation{}
	}
	op := *r.Operation
	op.Method, op.Path = r.Method, r.Path
	c.mounted[r.pattern()], c.text = &op, nil
}

func (s *Server) serveOpenAPI(w http.ResponseWriter, _ *http.Request) {
	text, err := s.document()
	if err != nil {
		s.log.Error("encoding the OpenAPI document", "error", err)
		WriteProblem(w, NewProblem(http.StatusInternalServerError, "the OpenAPI document cannot be encoded"))
		return
	}
	w.Header().Set("Content-Type", "application/openapi+json")
	_, _ = w.Write(text)
}

func (s *Server) document() ([]byte, error) {
	s.openAPI.mu.Lock()
	defer s.openAPI.mu.Unlock()
	if s.openAPI.text == nil {
		doc := s.huma.OpenAPI()
		for _, op := range s.openAPI.mounted {
			doc.AddOperation(op) // the same path and method again: the later one stays
		}
		s.documentLimits(doc)
		s.documentIdempotency(doc)
		text, err := json.Marshal(doc)
		if err != nil {
			return nil, err
		}
		s.openAPI.text = text
	}
	return s.openAPI.text, nil
}

// Schema documents a type, once for the whole document.
func (s *Server) Schema(t reflect.Type) *huma.Schema {
	s.openAPI.mu.Lock()
	defer s.openAPI.mu.Unlock()
	return s.huma.OpenAPI().Components.Schemas.Schema(t, true, "")
}

// ProblemResponses documents the problems that an operation can answer with.
func (s *Server) ProblemResponses(statuses map[string]string) map[string]*huma.Response {
	schema := s.Schema(reflect.TypeFor[Problem]())
	responses := make(map[string]*huma.Response, len(statuses))
	for status, description := range statuses {
		responses[status] = &huma.Response{
			Description: description,
			Content:     map[string]*huma.MediaType{contentTypeProblem: {Schema: schema}},
		}
	}
	return responses
}
