package api

import (
	"errors"
	"fmt"
	"time"

	"github.com/redpanda-data/benthos/v4/public/service"

	"github.com/shop-connect/shop-connect/internal/auth"
)

// The section `api` of the root config.
const (
	fieldAPI          = "api"
	fieldAddress      = "address"
	fieldMaxBodyBytes = "max_body_bytes"
	fieldDemoUser     = "demo_user"
	fieldJWT          = "jwt"
	fieldSecret       = "secret"
	fieldIssuer       = "issuer"
	fieldAudience     = "audience"
	fieldLeeway       = "leeway"
)

// ConfigFields declares the section `api` of the root config. All of who is let in stands there (I7).
func ConfigFields() []*service.ConfigField {
	return []*service.ConfigField{
		service.NewObjectField(fieldAPI,
			service.NewStringField(fieldAddress).
				Description("Where the API listens. The default is open to this machine only.").
				Default(DefaultAddress),
			service.NewIntField(fieldMaxBodyBytes).
				Description("The largest body that any request may have.").
				Default(DefaultMaxBodyBytes).Advanced(),
			service.NewBoolField(fieldDemoUser).
				Description("Lets `admin` in with password `admin`. For demonstrations on one machine.").
				Default(false).Advanced(),
			service.NewObjectField(fieldJWT,
				service.NewStringField(fieldSecret).
					Description("The HS256 key of bearer tokens, at least 32 bytes. Without it nothing starts.").
					Secret(),
				service.NewStringField(fieldIssuer).
					Description("The `iss` that tokens carry and must have; empty asks for none.").Default(""),
				service.NewStringField(fieldAudience).
					Description("The `aud` that tokens carry and must have; empty asks for none.").Default(""),
				service.NewDurationField(fieldLeeway).
					Description("How far the clocks of issuer and API may differ.").Default("5s").Advanced(),
			).Description("The bearer tokens that are good."),
		).Description("The HTTP API, where inputs of type `jwt_http` mount their endpoints.").Optional(),
	}
}

// FromParsed reads the section `api` of the root config; ok is false where there is none. What is not
// in YAML (users, checks, version) is for the caller to set.
func FromParsed(root *service.ParsedConfig) (c Config, ok bool, err error) {
	if !root.Contains(fieldAPI, fieldJWT, fieldSecret) { // it has no default, all others have
		return Config{}, false, nil
	}
	conf := root.Namespace(fieldAPI)
	var faults []error
	check := func(err error) { faults = append(faults, err) }
	str := func(path ...string) (v string) {
		v, err := conf.FieldString(path...)
		check(err)
		return v
	}
	c.Address = str(fieldAddress)
	secret, issuer, audience := str(fieldJWT, fieldSecret), str(fieldJWT, fieldIssuer), str(fieldJWT, fieldAudience)
	maxBody, err := conf.FieldInt(fieldMaxBodyBytes)
	check(err)
	c.MaxBodyBytes = int64(maxBody)
	c.DemoUser, err = conf.FieldBool(fieldDemoUser)
	check(err)
	leeway, err := conf.FieldDuration(fieldJWT, fieldLeeway)
	check(err)
	if err := errors.Join(faults...); err != nil {
		return Config{}, true, fmt.Errorf("reading section %q: %w", fieldAPI, err)
	}
	if err := c.setKeys(secret, issuer, audience, leeway); err != nil {
		return Config{}, true, fmt.Errorf("reading section %q: %w", fieldAPI, err)
	}
	return c, true, nil
}

// setKeys makes verifier and issuer of one secret.
func (c *Config) setKeys(secret, issuer, audience string, leeway time.Duration) (err error) {
	c.Verifier, err = auth.NewVerifier(auth.VerifierConfig{Secret: secret, Issuer: issuer, Audience: audience, Leeway: leeway})
	if err != nil {
		return err
	}
	c.Issuer, err = auth.NewIssuer(auth.IssuerConfig{Secret: secret, Issuer: issuer, Audience: audience, TTL: auth.DefaultTTL})
	return err
}
