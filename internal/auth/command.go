package auth

import (
	"fmt"
	"os"

	"github.com/urfave/cli/v2"

	"github.com/shop-connect/shop-connect/internal/env"
)

const (
	flagUser     = "user"
	flagScopes   = "scope"
	flagTTL      = "ttl"
	flagIssuer   = "issuer"
	flagAudience = "audience"
	flagDataDir  = "data-dir"
)

// Command is `shop-connect token`. readEnv returns the variables of the servers that were started on a
// data directory, for when JWT_SECRET is not set.
func Command(readEnv func(dataDir string) (map[string]string, error)) *cli.Command {
	return &cli.Command{
		Name:  "token",
		Usage: "Print a bearer token for the API",
		Description: "Signs with the secret in JWT_SECRET, else with that of the servers that `shop-connect up`\n" +
			"started on the data directory.\n\n" +
			"  curl -H \"Authorization: Bearer $(shop-connect token)\" …",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: flagUser, Value: "admin", Usage: "whom the token is for (claim sub)"},
			&cli.StringSliceFlag{Name: flagScopes, Value: cli.NewStringSlice(ScopeRead, ScopeWrite, ScopeAdmin), Usage: "what the token allows"},
			&cli.DurationFlag{Name: flagTTL, Value: DefaultTTL, Usage: "how long it is good for"},
			&cli.StringFlag{Name: flagIssuer, Usage: "claim iss, where the API asks for one"},
			&cli.StringFlag{Name: flagAudience, Usage: "claim aud, where the API asks for one"},
			&cli.StringFlag{Name: flagDataDir, Value: ".shop", Usage: "data directory of a running `up`"},
		},
		Action: func(c *cli.Context) error {
			secret, err := commandVariable(env.JWTSecret, c.String(flagDataDir), readEnv)
			if err != nil {
				return err
			}
			issuer, err := NewIssuer(IssuerConfig{
				Secret: secret, TTL: c.Duration(flagTTL), Issuer: c.String(flagIssuer), Audience: c.String(flagAudience),
			})
			if err != nil {
				return fmt.Errorf("preparing to sign: %w", err)
			}
			token, err := issuer.Issue(c.String(flagUser), c.StringSlice(flagScopes))
			if err != nil {
				return err
			}
			_, err = fmt.Fprintln(c.App.Writer, token)
			return err
		},
	}
}

// commandVariable returns a variable of the environment, else of the data directory.
func commandVariable(name, dataDir string, readEnv func(string) (map[string]string, error)) (string, error) {
	if value := os.Getenv(name); value != "" {
		return value, nil
	}
	vars, err := readEnv(dataDir)
	if err != nil {
		return "", fmt.Errorf("looking for %s: %w; or set it", name, err)
	}
	return vars[name], nil
}
