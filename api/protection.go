package api

import (
	"errors"
	"os"

	"github.com/redpanda-data/benthos/v4/public/service"
)

const (
	fieldAccessLog      = "access_log"
	fieldMaxConcurrent  = "max_concurrent_requests"
	fieldMaxDatabase    = "max_database_requests"
	fieldRateLimit      = "rate_limit"
	fieldPerSecond      = "requests_per_second"
	fieldBurst          = "burst"
	fieldCORS           = "cors"
	fieldAllowedOrigins = "allowed_origins"
	fieldTrustedProxies = "trusted_proxies"
)

// protectionFields are the fields of the section `api` that say how much clients may ask for, and who is
// told of it.
func protectionFields() []*service.ConfigField {
	return []*service.ConfigField{
		service.NewBoolField(fieldAccessLog).
			Description("Writes a line of JSON to standard output for each request: its id, method, route, status, bytes, duration, client and the token's subject; never tokens, bodies or paths.").
			Default(false),
		service.NewIntField(fieldMaxConcurrent).
			Description("How many requests may be in hand at once, and a quarter of them of one client: one subject of tokens, or, without a good token, one address. Those beyond are answered 503.").
			Default(DefaultMaxConcurrentRequests).Advanced(),
		service.NewIntField(fieldMaxDatabase).
			Description("How many requests PostgreSQL may have at once, at work and waiting, and how many lists of purchases ClickHouse. Those beyond are answered 503 at once, so that those let in are answered in time. Keep it below what PostgreSQL does in 2 seconds.").
			Default(DefaultMaxDatabaseRequests),
		service.NewObjectField(fieldRateLimit,
			service.NewFloatField(fieldPerSecond).
				Description("Requests a second of one client, over time. 0 is no limit.").Default(0.0),
			service.NewIntField(fieldBurst).
				Description("How many requests of one client may come at once.").Default(100),
		).Description("How fast one client may ask: one subject of tokens, or, without a good token, one address. Requests beyond are answered 429."),
		service.NewObjectField(fieldCORS,
			service.NewStringListField(fieldAllowedOrigins).
				Description("The origins whose scripts may use the API from a browser, such as https://shop.example; * for all.").
				Default([]any{}),
		).Description("What browsers may do for pages of other origins.").Advanced(),
		service.NewStringListField(fieldTrustedProxies).
			Description("Networks or addresses of the proxies in front, such as 10.0.0.0/8. Their `X-Forwarded-For` says who a client is, for limits and the access log; from anybody else the header means nothing.").
			Default([]any{}).Advanced(),
	}
}

// setProtection reads the fields of protectionFields.
func (c *Config) setProtection(conf *service.ParsedConfig) error {
	accessLog, err1 := conf.FieldBool(fieldAccessLog)
	if accessLog {
		c.AccessLog = NewAccessLog(os.Stdout)
	}
	var err2, err3, err4, err5, err6, err7 error
	c.MaxConcurrentRequests, err2 = conf.FieldInt(fieldMaxConcurrent)
	c.RateLimit.PerSecond, err3 = conf.FieldFloat(fieldRateLimit, fieldPerSecond)
	c.RateLimit.Burst, err4 = conf.FieldInt(fieldRateLimit, fieldBurst)
	c.AllowedOrigins, err5 = conf.FieldStringList(fieldCORS, fieldAllowedOrigins)
	c.TrustedProxies, err6 = conf.FieldStringList(fieldTrustedProxies)
	c.MaxDatabaseRequests, err7 = conf.FieldInt(fieldMaxDatabase)
	return errors.Join(err1, err2, err3, err4, err5, err6, err7)
}

func (c *Config) checkProtection() error {
	var negative, tooFew error
	if c.MaxConcurrentRequests < 0 {
		negative = errors.New("constructing API: max_concurrent_requests must be above 0")
	}
	if c.MaxDatabaseRequests < 0 {
		tooFew = errors.New("constructing API: max_database_requests must be above 0")
	}
	_, proxiesErr := parseProxies(c.TrustedProxies)
	return errors.Join(negative, tooFew, c.RateLimit.check(), checkOrigins(c.AllowedOrigins), proxiesErr)
}
