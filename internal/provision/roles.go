package provision

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"gopkg.in/yaml.v3"

	"github.com/shop-connect/shop-connect/internal/env"
)

// Variables that only provisioning knows: whoever has them may make users.
const (
	postgresAdminDSN   = "POSTGRES_ADMIN_DSN"
	clickhouseAdminDSN = "CLICKHOUSE_ADMIN_DSN"

	rolesFile         = "roles.yaml"
	minPasswordLength = 12
	// quoted are characters that PostgreSQL and ClickHouse read differently within quotes.
	quoted = `'\`
)

// Roles is who may do what on the servers: roles.yaml, with the passwords that its variables have.
type Roles struct {
	Postgres struct {
		Users     map[string]secret `yaml:"users"`
		Databases map[string]string `yaml:"databases"` // name: owner
		Rights    []string          `yaml:"rights"`
	} `yaml:"postgres"`
	ClickHouse struct {
		Users  map[string]secret `yaml:"users"`
		Rights []string          `yaml:"rights"`
	} `yaml:"clickhouse"`
	API struct {
		Users map[string]apiUser `yaml:"users"`
	} `yaml:"api"`

	postgresAdmin, clickhouseAdmin string
}

type apiUser struct {
	Password secret   `yaml:"password"`
	Scopes   []string `yaml:"scopes"`
}

// secret is the name of a variable, and its value once it is looked up. It prints as its name.
type secret struct {
	variable, value string
}

func (s *secret) UnmarshalYAML(node *yaml.Node) error { return node.Decode(&s.variable) }

func (s secret) String() string { return s.variable }

// identifier is what needs no quoting in any of the servers.
var identifier = regexp.MustCompile(`^[a-z][a-z0-9_]{0,62}$`)

// LoadRoles reads roles.yaml of a folder and the variables that it names, and reports every fault at once.
func LoadRoles(dir string, lookup func(string) (string, bool)) (*Roles, error) {
	path := filepath.Join(dir, rolesFile)
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("reading roles: %w", err)
	}
	var roles Roles
	decoder := yaml.NewDecoder(bytes.NewReader(text))
	decoder.KnownFields(true)
	if err := decoder.Decode(&roles); err != nil {
		return nil, fmt.Errorf("reading %s: %w", path, err)
	}
	if err := roles.resolve(lookup); err != nil {
		return nil, fmt.Errorf("reading %s: %w", path, err)
	}
	return &roles, nil
}

// resolve looks every variable up. I7: a password that is missing or short is an error, not a user without one.
func (r *Roles) resolve(lookup func(string) (string, bool)) error {
	var faults []error
	variable := func(name string) string {
		value, _ := lookup(name)
		if value == "" {
			faults = append(faults, fmt.Errorf("environment variable %s is not set", name))
		}
		return value
	}
	password := func(where, user string, s secret) secret {
		if !identifier.MatchString(user) {
			faults = append(faults, fmt.Errorf("%s user %q: a name is lower-case letters, digits and _", where, user))
		}
		if s.variable == "" {
			faults = append(faults, fmt.Errorf("%s user %q names no variable with its password", where, user))
			return s
		}
		s.value = variable(s.variable)
		if s.value != "" && len(s.value) < minPasswordLength {
			faults = append(faults, fmt.Errorf("%s is shorter than %d characters", s.variable, minPasswordLength))
		}
		if strings.ContainsAny(s.value, quoted) {
			faults = append(faults, fmt.Errorf("%s has one of the characters %s", s.variable, quoted))
		}
		return s
	}
	r.postgresAdmin, r.clickhouseAdmin = variable(postgresAdminDSN), variable(clickhouseAdminDSN)
	for _, name := range sortedKeys(r.Postgres.Users) {
		r.Postgres.Users[name] = password("PostgreSQL", name, r.Postgres.Users[name])
	}
	for _, name := range sortedKeys(r.Postgres.Databases) {
		owner := r.Postgres.Databases[name]
		if _, known := r.Postgres.Users[owner]; !known || !identifier.MatchString(name) {
			faults = append(faults, fmt.Errorf("PostgreSQL database %q of %q: the owner must be one of the users, the name lower-case letters, digits and _", name, owner))
		}
	}
	for _, name := range sortedKeys(r.ClickHouse.Users) {
		r.ClickHouse.Users[name] = password("ClickHouse", name, r.ClickHouse.Users[name])
	}
	for _, name := range sortedKeys(r.API.Users) {
		user := r.API.Users[name]
		user.Password = password("API", name, user.Password)
		if len(user.Scopes) == 0 {
			faults = append(faults, fmt.Errorf("API user %q has no scopes: give it read, write or admin", name))
		}
		r.API.Users[name] = user
	}
	for _, name := range []string{env.PostgresDSN, env.ClickHouseDSN} {
		variable(name)
	}
	return errors.Join(faults...)
}
