package jwthttp

import (
	"maps"
	"reflect"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"github.com/shop-connect/shop-connect/api"
)

// operation describes the endpoint in the API's OpenAPI document, its rows as the contract has them.
func (in *input) operation(server *api.Server) *huma.Operation {
	body, answer, success := api.RowSchema(in.contract), reflect.TypeFor[rowAnswer](), "202"
	problems := map[string]string{
		"400": "The body is not JSON, or not compressed as it says.", "401": "The token is missing or not valid.",
		"403": "The token has not the scopes " + strings.Join(in.scopes, " ") + ".",
		"413": "The body is too large, as sent or decompressed.", "415": "The body is not of type " + strings.Join(in.mediaTypes(), " or ") + ", or not compressed by gzip or zstd.",
		"422": "The body has not the shape described here.", "503": "The rows could not be stored in time; send them again.",
	}
	content := map[string]*huma.MediaType{}
	if in.rowsAt != "" {
		content[mimeNDJSON] = &huma.MediaType{Schema: &huma.Schema{
			Type: huma.TypeString, Description: "A row a line, each as in the array `" + in.rowsAt + "` of " + mimeJSON + "; blank lines are ignored.",
		}}
		body = &huma.Schema{Type: huma.TypeObject, Required: []string{in.rowsAt}, Properties: map[string]*huma.Schema{
			in.rowsAt: api.RowsSchema(body, in.maxRows),
		}}
		answer, success = reflect.TypeFor[api.BulkAnswer](), "200"
	}
	content[mimeJSON] = &huma.MediaType{Schema: body}
	op := &huma.Operation{
		OperationID: strings.ToLower(in.method) + strings.ReplaceAll(in.path, "/", "-"),
		Tags:        []string{in.contract.Entity},
		Summary:     "Send " + in.contract.Entity,
		Description: "Answers once the rows are stored. A row that breaks its contract is named by index and reasons, and is set aside; it never stops the others.",
		Security:    []map[string][]string{{api.SecurityScheme: in.scopes}},
		RequestBody: &huma.RequestBody{
			Required: true, Content: content,
			Description: "It may be compressed, by gzip or zstd, with the header Content-Encoding.",
		},
		Responses: map[string]*huma.Response{success: {
			Description: "The rows are stored, the refused ones set aside.",
			Content:     map[string]*huma.MediaType{mimeJSON: {Schema: server.Schema(answer)}},
		}},
	}
	maps.Copy(op.Responses, server.ProblemResponses(problems))
	return op
}
