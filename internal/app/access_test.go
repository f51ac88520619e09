package app

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/shop-connect/shop-connect/internal/env"
)

// I7: what would let anybody in is refused before any server is asked; those named here are not there.
func TestI7ProductionStartRefusesWhatWouldLetAnybodyIn(t *testing.T) {
	const secret = "a secret of at least thirty-two bytes"
	for what, tc := range map[string]struct {
		settings map[string]string
		wanted   string
	}{
		"empty secret":              {map[string]string{env.JWTSecret: ""}, "jwt secret: is empty"},
		"short secret":              {map[string]string{env.JWTSecret: "admin"}, "has 5 bytes"},
		"short previous secret":     {map[string]string{"JWT_PREVIOUS_SECRET": "admin"}, "previous_secret: has 5 bytes"},
		"demo user":                 {map[string]string{"API_DEMO_USER": "true", env.APIAddress: "0.0.0.0:0"}, "demo_user"},
		"provider for all services": {map[string]string{"JWT_JWKS": "https://id.example/keys"}, "issuer and audience"},
		"provider without https":    {map[string]string{"JWT_JWKS": "http://id.example/keys", "JWT_ISSUER": "i", "JWT_AUDIENCE": "a"}, "https"},
	} {
		t.Run(what, func(t *testing.T) {
			setServers(t)
			settings := map[string]string{
				env.JWTSecret: secret, env.APIAddress: "127.0.0.1:0", env.StreamsAddress: "127.0.0.1:0", env.StreamsUser: "user",
				"STREAMS_PASSWORD_HASH": "hash", "LOG_LEVEL": "OFF", "API_DEMO_USER": "false",
				"JWT_PREVIOUS_SECRET": "", "JWT_JWKS": "", "JWT_ISSUER": "", "JWT_AUDIENCE": "",
			}
			for _, some := range []map[string]string{settings, tc.settings} {
				for key, value := range some {
					t.Setenv(key, value)
				}
			}
			root := filepath.Join("..", "..", "pipelines", "resources", "service.yaml")
			code, err := (&program{environment: Environment()}).run(t.Context(), []string{name, "streams", "-o", root})
			if err == nil || !strings.Contains(err.Error(), tc.wanted) {
				t.Errorf("exit code %d, error %v; must have %q", code, err, tc.wanted)
			}
		})
	}
}
