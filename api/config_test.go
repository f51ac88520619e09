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
	if c.AccessLog != nil || c.RateLimit.PerSecond != 0 || len(c.AllowedOrigins) > 0 || c.MaxConcurrentRequests != api.DefaultMaxConcurrentRequests {
		t.Errorf("by default the config is %+v", c)
	}
	c, _, err = parseRoot("api:\n  access_log: true\n  max_concurrent_requests: 7\n  rate_limit: {requests_per_second: 2.5, burst: 5}\n  cors: {allowed_origins: [\"" + shopOrigin + "\"]}" + jwt)
	if err != nil {
		t.Fatal(err)
	}
	if want := (api.RateLimit{PerSecond: 2.5, Burst: 5}); c.AccessLog == nil || c.RateLimit != want || len(c.AllowedOrigins) != 1 || c.MaxConcurrentRequests != 7 {
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
