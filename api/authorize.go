package api

import (
	"maps"
	"net/http"
	"strings"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"github.com/shop-connect/shop-connect/internal/auth"
)

// Authorize checks a request's bearer token and that it has the scopes. Where it has not, the request
// is answered, and ok is false.
func (s *Server) Authorize(w http.ResponseWriter, r *http.Request, scopes []string) (claims auth.Claims, ok bool) {
	claims, ok = s.identify(w, r)
	if !ok {
		WriteProblem(w, unauthorized("this needs the header `Authorization: Bearer <token>` with a valid token from POST /api/v1/token"))
		return claims, false
	}
	if !claims.Allows(scopes) {
		wanted := strings.Join(scopes, " ")
		WriteProblem(w, NewProblem(http.StatusForbidden, "the token must have the scope "+wanted).
			WithHeader("WWW-Authenticate", `Bearer error="insufficient_scope", scope="`+wanted+`"`))
		return claims, false
	}
	return claims, true
}

// checkedToken is what a request's bearer token says, which is found out once.
type checkedToken struct {
	checked, good bool
	claims        auth.Claims
}

// identify returns the claims of a request's bearer token; ok is false where it has no good one.
func (s *Server) identify(w http.ResponseWriter, r *http.Request) (claims auth.Claims, ok bool) {
	answer, tracked := w.(*response)
	if !tracked {
		answer = &response{}
	}
	if checked := &answer.token; !checked.checked {
		checked.checked = true
		if token, given := bearer(r); given {
			var err error
			checked.claims, err = s.config.Verifier.Verify(token)
			checked.good = err == nil // why it is refused would help an attacker only
		}
	}
	return answer.token.claims, answer.token.good
}

// secured adds the check of tokens to an operation, and says so in its documentation.
func (s *Server) secured(op huma.Operation, scopes ...string) huma.Operation {
	op.Security = []map[string][]string{{SecurityScheme: scopes}}
	// before all others: who may not ask must not take up anything
	op.Middlewares = append(huma.Middlewares{func(ctx huma.Context, next func(huma.Context)) {
		r, w := humago.Unwrap(ctx)
		if _, ok := s.Authorize(w, r, scopes); ok {
			next(ctx)
		}
	}, refuseEarly}, op.Middlewares...)
	maps.Copy(op.Responses, s.ProblemResponses(map[string]string{
		"401": "The token is missing or not valid.", "403": "The token has not the scopes " + strings.Join(scopes, " ") + ".",
	}))
	return op
}

func unauthorized(detail string) *Problem {
	return NewProblem(http.StatusUnauthorized, detail).WithHeader("WWW-Authenticate", "Bearer")
}

// bearer returns the token of a request that has exactly one.
func bearer(r *http.Request) (string, bool) {
	const scheme = "Bearer "
	given := r.Header["Authorization"]
	if len(given) != 1 || len(given[0]) <= len(scheme) || !strings.EqualFold(given[0][:len(scheme)], scheme) {
		return "", false
	}
	return given[0][len(scheme):], true
}
