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

func TestI7RootConfigWithoutSecretIsAnError(t *testing.T) {
	for _, text := range []string{"api: {}", "api:\n  jwt:\n    secret: \"\"", "api:\n  jwt:\n    secret: short"} {
		if _, _, err := parseRoot(text); err == nil || !strings.Contains(err.Error(), "secret") {
			t.Errorf("%q: error is %v", text, err)
		}
	}
}
