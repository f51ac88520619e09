package api

import (
	"errors"
	"time"

	"github.com/redpanda-data/benthos/v4/public/service"

	"github.com/shop-connect/shop-connect/internal/auth"
)

// The sections of the API's config that say who is let in.
const (
	fieldJWT            = "jwt"
	fieldSecret         = "secret"
	fieldPreviousSecret = "previous_secret"
	fieldJWKS           = "jwks"
	fieldIssuer         = "issuer"
	fieldAudience       = "audience"
	fieldLeeway         = "leeway"

	fieldAttempts   = "token_attempts"
	fieldPerUser    = "per_user"
	fieldPerAddress = "per_address"
)

func jwtField() *service.ConfigField {
	return service.NewObjectField(fieldJWT,
		service.NewStringField(fieldSecret).
			Description("The HS256 key of bearer tokens, at least 32 bytes. Without it nothing starts. It may be empty where `jwks` names an identity provider's keys: then there is no `POST /api/v1/token`.").
			Secret(),
		service.NewStringField(fieldPreviousSecret).
			Description("The key that `secret` took the place of. Its tokens are good until they expire; take it out after that. Tokens name their key (`kid`) by themselves.").
			Secret().Default(""),
		service.NewStringField(fieldJWKS).
			Description("The file or https:// URL of an identity provider's public keys (JSON Web Key Set), for tokens of RS256 and EdDSA. It must be readable at start, is read again every 5 minutes and when a token names a key that is not known, and needs `issuer` and `audience`.").
			Default(""),
		service.NewStringField(fieldIssuer).
			Description("The `iss` that tokens carry and must have; empty asks for none.").Default(""),
		service.NewStringField(fieldAudience).
			Description("The `aud` that tokens carry and must have; empty asks for none.").Default(""),
		service.NewDurationField(fieldLeeway).
			Description("How far the clocks of issuer and API may differ.").Default("5s").Advanced(),
	).Description("The bearer tokens that are good.")
}

func attemptsField() *service.ConfigField {
	return service.NewObjectField(fieldAttempts,
		service.NewIntField(fieldPerUser).
			Description("Failed attempts a minute for one user name from one address; ten times as many from all addresses together.").Default(defaultAttemptsPerUser),
		service.NewIntField(fieldPerAddress).
			Description("Failed attempts a minute from one address, or one /64 of IPv6, for whatever user.").Default(defaultAttemptsPerAddress),
	).Description("How often somebody may try to get a token by password.").Advanced()
}

// setAccess reads who is let in.
func (c *Config) setAccess(conf *service.ParsedConfig) error {
	var faults []error
	str := func(field string) string {
		v, err := conf.FieldString(fieldJWT, field)
		faults = append(faults, err)
		return v
	}
	number := func(field string) int {
		v, err := conf.FieldInt(fieldAttempts, field)
		faults = append(faults, err)
		return v
	}
	v := auth.VerifierConfig{
		Secret: str(fieldSecret), PreviousSecret: str(fieldPreviousSecret), JWKS: str(fieldJWKS),
		Issuer: str(fieldIssuer), Audience: str(fieldAudience),
	}
	c.TokenAttempts = TokenAttempts{PerUser: number(fieldPerUser), PerAddress: number(fieldPerAddress)}
	demo, demoErr := conf.FieldBool(fieldDemoUser)
	leeway, leewayErr := conf.FieldDuration(fieldJWT, fieldLeeway)
	if err := errors.Join(append(faults, demoErr, leewayErr)...); err != nil {
		return err
	}
	c.DemoUser, v.Leeway = demo, leeway
	return errors.Join(c.setKeys(v, auth.DefaultTTL), c.checkDemoUser(), c.TokenAttempts.check())
}

// setKeys makes the verifier, and the issuer where there is a secret to sign with.
func (c *Config) setKeys(v auth.VerifierConfig, ttl time.Duration) (err error) {
	if c.Verifier, err = auth.NewVerifier(v); err != nil || v.Secret == "" {
		return err
	}
	c.Issuer, err = auth.NewIssuer(auth.IssuerConfig{Secret: v.Secret, Issuer: v.Issuer, Audience: v.Audience, TTL: ttl})
	return err
}
