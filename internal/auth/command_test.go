package auth_test

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/urfave/cli/v2"

	"github.com/shop-connect/shop-connect/internal/auth"
	"github.com/shop-connect/shop-connect/internal/env"
)

func runCommand(readEnv func(string) (map[string]string, error), args ...string) (string, error) {
	var out bytes.Buffer
	app := &cli.App{Writer: &out, ErrWriter: &out, Commands: []*cli.Command{auth.Command(readEnv)}, ExitErrHandler: func(*cli.Context, error) {}}
	err := app.Run(append([]string{"shop-connect", "token"}, args...))
	return strings.TrimSpace(out.String()), err
}

func TestTokenCommandTakesTheSecretOfTheEnvironmentFirst(t *testing.T) {
	readEnv := func(dir string) (map[string]string, error) {
		if dir != "here" {
			t.Errorf("data directory is %q", dir)
		}
		return map[string]string{env.JWTSecret: secret}, nil
	}
	for name, fromProcess := range map[string]string{"environment": secret, "data directory": ""} {
		t.Setenv(env.JWTSecret, fromProcess)
		token, err := runCommand(readEnv, "--data-dir", "here", "--user", "bob", "--issuer", "shop", "--audience", "api")
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		claims, err := verifier(t).Verify(token)
		if err != nil || claims.Subject != "bob" || !claims.Allows([]string{auth.ScopeAdmin}) {
			t.Errorf("%s: %+v %v", name, claims, err)
		}
	}
}

func TestTokenCommandSaysWhereTheSecretIsWanted(t *testing.T) {
	t.Setenv(env.JWTSecret, "")
	absent := errors.New("nothing there")
	_, err := runCommand(func(string) (map[string]string, error) { return nil, absent })
	if !errors.Is(err, absent) || !strings.Contains(err.Error(), env.JWTSecret) {
		t.Errorf("error is %v", err)
	}
}
