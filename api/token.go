package api

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"mime"
	"net/http"
	"net/url"
	"reflect"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/shop-connect/shop-connect/internal/auth"
)

const (
	maxCredentialBytes = 8 << 10

	mimeJSON = "application/json"
	mimeForm = "application/x-www-form-urlencoded"

	demoName = "admin"
)

// credentials are what a client trades for a token: the OAuth2 password form, or the same as JSON.
type credentials struct {
	Username string `json:"username" minLength:"1"`
	Password string `json:"password" minLength:"1"`
}

type tokenRequest struct {
	ContentType string `header:"Content-Type" hidden:"true"`
	RawBody     []byte

	address string
}

// Resolve notes where the request is from; huma calls it.
func (r *tokenRequest) Resolve(ctx huma.Context) []error {
	r.address = clientNetwork(ctx.RemoteAddr())
	return nil
}

type tokenAnswer struct {
	CacheControl string `header:"Cache-Control"`
	Body         struct {
		AccessToken string `json:"access_token"`
		TokenType   string `json:"token_type" example:"bearer"`
		ExpiresIn   int    `json:"expires_in" doc:"Seconds." example:"1800"`
	}
}

func (s *Server) registerToken() {
	schema := s.Schema(reflect.TypeFor[credentials]())
	content := map[string]*huma.MediaType{mimeJSON: {Schema: schema}, mimeForm: {Schema: schema}}
	op := huma.Operation{
		OperationID: "token", Method: http.MethodPost, Path: "/api/v1/token", Tags: []string{"service"},
		Summary:          "Trade user and password for a bearer token",
		RequestBody:      &huma.RequestBody{Required: true, Content: content},
		MaxBodyBytes:     maxCredentialBytes,
		Middlewares:      huma.Middlewares{refuseEarly},
		SkipValidateBody: true, // huma reads JSON only; parseCredentials checks both
		Responses: s.ProblemResponses(map[string]string{
			"400": "The body is malformed.", "401": "User or password is wrong.",
			"413": "The body is too large.", "415": "The body is neither JSON nor a form.", "422": "User or password is missing.",
			"429": "Too many attempts of this user, or from this address.", "503": "The database is away, or too many log in at once.",
		}),
	}
	huma.Register(s.huma, answeredInTime(op), s.issueToken)
	delete(content, "application/octet-stream") // huma's guess at a raw body
}

func (s *Server) issueToken(ctx context.Context, r *tokenRequest) (*tokenAnswer, error) {
	given, problem := parseCredentials(r.ContentType, r.RawBody)
	if problem != nil {
		return nil, problem
	}
	attempt, wait := s.attempts.take(given.Username, r.address, time.Now())
	if wait > 0 {
		return nil, tooManyAttempts(wait)
	}
	scopes, err := s.scopesOf(ctx, given)
	switch {
	case errors.Is(err, auth.ErrLogin):
		return nil, unauthorized(auth.ErrLogin.Error())
	case errors.Is(err, auth.ErrLoginBusy):
		return nil, Unavailable("too many users log in at once; send the request again")
	case err != nil:
		s.log.Error("looking up a user", "error", err)
		return nil, Unavailable("users cannot be looked up at the moment; send the request again")
	}
	attempt.forgive()
	token, err := s.config.Issuer.Issue(given.Username, scopes)
	if err != nil {
		return nil, err
	}
	a := &tokenAnswer{CacheControl: "no-store"}
	a.Body.AccessToken, a.Body.TokenType = token, "bearer"
	a.Body.ExpiresIn = int(s.config.Issuer.TTL().Seconds())
	return a, nil
}

func (s *Server) scopesOf(ctx context.Context, c credentials) ([]string, error) {
	if s.config.DemoUser && same(c.Username, demoName) && same(c.Password, demoName) {
		return []string{auth.ScopeRead, auth.ScopeWrite, auth.ScopeAdmin}, nil
	}
	if s.config.Users == nil {
		return nil, auth.ErrLogin
	}
	return s.config.Users(ctx, c.Username, c.Password)
}

// same takes the same time whatever the strings have in common.
func same(a, b string) bool {
	x, y := sha256.Sum256([]byte(a)), sha256.Sum256([]byte(b))
	return subtle.ConstantTimeCompare(x[:], y[:]) == 1
}

func parseCredentials(contentType string, body []byte) (c credentials, problem *Problem) {
	kind, _, err := mime.ParseMediaType(contentType)
	switch {
	case err == nil && kind == mimeJSON:
		if err := json.Unmarshal(body, &c); err != nil {
			return c, NewProblem(http.StatusBadRequest, `the body must be JSON such as {"username": "…", "password": "…"}`)
		}
	case err == nil && kind == mimeForm:
		form, err := url.ParseQuery(string(body))
		if err != nil {
			return c, NewProblem(http.StatusBadRequest, "the body must be a form such as username=…&password=…")
		}
		c = credentials{Username: form.Get("username"), Password: form.Get("password")}
	default:
		return c, NewProblem(http.StatusUnsupportedMediaType, "the header Content-Type must be "+mimeJSON+" or "+mimeForm)
	}
	var faults []Fault
	if c.Username == "" {
		faults = append(faults, Fault{"body.username", "is required"})
	}
	if c.Password == "" {
		faults = append(faults, Fault{"body.password", "is required"})
	}
	if len(faults) > 0 {
		return c, NewProblem(http.StatusUnprocessableEntity, "user and password are required", faults...)
	}
	return c, nil
}
