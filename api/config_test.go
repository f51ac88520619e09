package api_test

import (
	"strings"
	"testing"

	"github.com/redpanda-data/benthos/v4/public/service"

	"github.com/shop-connect/shop-connect/api"
)

func parseRoot(text string) (api.Config, bool, error) {
	conf, err := service.NewConfigSpec().Fields(api.ConfigFields()...).ParseYAML(text, nil)
	if err != nil {
		return api.Config{}, true, err
	}
	return api.FromParsed(conf)
}

func TestRootConfigHasTheSettingsOfAuth(t *testing.T) {
	c, found, err := parseRoot("api:\n  address: 127.0.0.1:8765\n  max_body_bytes: 1000\n  jwt:\n    secret: " + secret + "\n    issuer: shop\n")
	if err != nil || !found {
		t.Fatal(found, err)
	}
	if c.Address != "127.0.0.1:8765" || c.MaxBodyBytes != 1000 || c.DemoUser || c.Verifier == nil || c.Issuer == nil {
		t.Errorf("config is %+v", c)
	}
	token, err := c.Issuer.Issue("ann", nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Verifier.Verify(token); err != nil {
		t.Error(err)
	}
	if _, found, err := parseRoot("{}"); found || err != nil {
		t.Errorf("without the section: found %v, error %v", found, err)
	}
}

func TestRootConfigHasTheSettingsOfProtection(t *testing.T) {
	const jwt = "\n  jwt:\n    secret: " + secret
	c, _, err := parseRoot("api:" + jwt)
	if err != nil {
		t.Fatal(err)
	}
	if c.AccessLog != nil || c.RateLimit.PerSecond != 0 || len(c.AllowedOrigins) > 0 || c.MaxConcurrentRequests != api.DefaultMaxConcurrentRequests || c.MaxDatabaseRequests != api.DefaultMaxDatabaseRequests {
		t.Errorf("by default the config is %+v", c)
	}
	c, _, err = parseRoot("api:\n  access_log: true\n  max_concurrent_requests: 7\n  max_database_requests: 9\n  rate_limit: {requests_per_second: 2.5, burst: 5}\n  cors: {allowed_origins: [\"" + shopOrigin + "\"]}" + jwt)
	if err != nil {
		t.Fatal(err)
	}
	if want := (api.RateLimit{PerSecond: 2.5, Burst: 5}); c.AccessLog == nil || c.RateLimit != want || len(c.AllowedOrigins) != 1 || c.MaxConcurrentRequests != 7 || c.MaxDatabaseRequests != 9 {
		t.Errorf("config is %+v", c)
	}
}

func TestI7RootConfigWithoutSecretIsAnError(t *testing.T) {
	for _, text := range []string{"api: {}", "api:\n  jwt:\n    secret: \"\"", "api:\n  jwt:\n    secret: short"} {
		if _, _, err := parseRoot(text); err == nil || !strings.Contains(err.Error(), "secret") {
			t.Errorf("%q: error is %v", text, err)
		}
	}
}

func TestRootConfigTakesAnIdentityProviderInPlaceOfASecret(t *testing.T) {
	c, found, err := parseRoot("api:\n  jwt:\n    secret: \"\"\n    jwks: keys.json\n    issuer: https://id.example\n    audience: shop\n")
	if err != nil || !found || c.Verifier == nil || c.Issuer != nil {
		t.Errorf("%v %v %+v", found, err, c)
	}
}

func TestI7EveryFaultOfAccessIsReportedAtOnce(t *testing.T) {
	_, _, err := parseRoot("api:\n  address: 0.0.0.0:8000\n  demo_user: true\n  token_attempts: {per_user: -1}\n  jwt: {secret: short, previous_secret: short, jwks: 'http://id.example/keys', leeway: 1h}\n")
	for _, wanted := range []string{"demo_user", "jwt secret", "previous_secret", "https", "issuer and audience", "leeway", "attempts"} {
		if err == nil || !strings.Contains(err.Error(), wanted) {
			t.Errorf("error must have %q, is %v", wanted, err)
		}
	}
}

func TestI7DemoUserIsForThisMachineAlone(t *testing.T) {
	for address, taken := range map[string]bool{
		"": true, "127.0.0.1:8000": true, "127.3.2.1:8000": true, "[::1]:8000": true, "localhost:8000": true,
		"0.0.0.0:8000": false, ":8000": false, "[::]:8000": false, "10.0.0.7:8000": false, "shop.example:8000": false, "127.0.0.1.nip.io:8000": false, "8000": false,
	} {
		_, _, err := parseRoot("api:\n  address: '" + address + "'\n  demo_user: true\n  jwt: {secret: " + secret + "}\n")
		if (err == nil) != taken {
			t.Errorf("%q: error is %v", address, err)
		}
	}
}
