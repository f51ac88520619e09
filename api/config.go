package api

import (
	"errors"
	"fmt"

	"github.com/redpanda-data/benthos/v4/public/service"
)

// The section `api` of the root config.
const (
	fieldAPI          = "api"
	fieldAddress      = "address"
	fieldMaxBodyBytes = "max_body_bytes"
	fieldDemoUser     = "demo_user"
)

// ConfigFields declares the section `api` of the root config. All of who is let in stands there (I7).
func ConfigFields() []*service.ConfigField {
	return []*service.ConfigField{
		service.NewObjectField(fieldAPI, append(protectionFields(),
			service.NewStringField(fieldAddress).
				Description("Where the API listens. The default is open to this machine only.").
				Default(DefaultAddress),
			service.NewIntField(fieldMaxBodyBytes).
				Description("The largest body that any request may have.").
				Default(DefaultMaxBodyBytes).Advanced(),
			service.NewBoolField(fieldDemoUser).
				Description("Lets `admin` in with password `admin`. For demonstrations on one machine.").
				Default(false).Advanced(),
			jwtField(),
			attemptsField(),
		)...).Description("The HTTP API, where inputs of type `jwt_http` mount their endpoints.").Optional(),
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
	check(c.setProtection(conf))
	c.Address = str(fieldAddress)
	maxBody, err := conf.FieldInt(fieldMaxBodyBytes)
	check(err)
	c.MaxBodyBytes = int64(maxBody)
	check(c.setAccess(conf))
	if err := errors.Join(faults...); err != nil {
		return Config{}, true, fmt.Errorf("reading section %q: %w", fieldAPI, err)
	}
	return c, true, nil
}
