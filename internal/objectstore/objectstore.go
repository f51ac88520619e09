// Package objectstore opens S3-compatible stores: one set of config fields, one way to connect and one
// way to say what is wrong, for every component that reads or writes objects.
package objectstore

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
	"github.com/redpanda-data/benthos/v4/public/service"
)

const (
	fieldEndpoint  = "endpoint"
	fieldRegion    = "region"
	fieldAccessKey = "access_key"
	fieldSecretKey = "secret_key"
)

const (
	dialTimeout   = 5 * time.Second
	answerTimeout = 30 * time.Second
	// Streams retry for as long as it takes; the client itself only bridges a hiccup, so that an
	// unreachable store is an error that people see.
	maxRetries = 3
	// Outputs put several objects at a time; a connection is worth keeping for each.
	idleConnections = 64
)

// Fields declares the fields that say which store is meant.
func Fields() []*service.ConfigField {
	return []*service.ConfigField{
		service.NewStringField(fieldEndpoint).
			Description("URL of the S3-compatible store.").
			Example("http://127.0.0.1:9000").Example("https://s3.eu-central-1.amazonaws.com"),
		service.NewStringField(fieldRegion).Description("Region of the buckets.").Default("us-east-1"),
		service.NewStringField(fieldAccessKey).Description("Access key id."),
		service.NewStringField(fieldSecretKey).Description("Secret access key.").Secret(),
	}
}

// Config says which store is meant and who asks.
type Config struct {
	Endpoint  string
	Region    string
	AccessKey string
	SecretKey string
}

// FromParsed reads Fields. All faults are in the error, and nothing is connected yet.
func FromParsed(conf *service.ParsedConfig) (Config, error) {
	var c Config
	var faults []error
	for _, field := range []struct {
		name string
		into *string
	}{
		{fieldEndpoint, &c.Endpoint}, {fieldRegion, &c.Region}, {fieldAccessKey, &c.AccessKey}, {fieldSecretKey, &c.SecretKey},
	} {
		var err error
		if *field.into, err = conf.FieldString(field.name); err != nil {
			faults = append(faults, fmt.Errorf("reading field %q: %w", field.name, err))
		} else if *field.into == "" {
			faults = append(faults, fmt.Errorf("field %q: must not be empty", field.name))
		}
	}
	if c.Endpoint != "" {
		if _, err := parseEndpoint(c.Endpoint); err != nil {
			faults = append(faults, fmt.Errorf("field %q: %w", fieldEndpoint, err))
		}
	}
	return c, errors.Join(faults...)
}

func parseEndpoint(text string) (*url.URL, error) {
	u, err := url.Parse(text)
	if err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") {
		return nil, fmt.Errorf("%q must be a URL such as http://127.0.0.1:9000", text)
	}
	if (u.Path != "" && u.Path != "/") || u.RawQuery != "" || u.User != nil {
		return nil, fmt.Errorf("%q must be scheme, host and port only; bucket and keys have fields of their own", u.Redacted())
	}
	return u, nil
}

// Client makes a client of the store. It does no I/O; the first request does.
func (c Config) Client() (*minio.Client, error) {
	endpoint, err := parseEndpoint(c.Endpoint)
	if err != nil {
		return nil, fmt.Errorf("opening object store: %w", err)
	}
	secure := endpoint.Scheme == "https"
	transport, err := transport(secure)
	if err != nil {
		return nil, err
	}
	client, err := minio.New(endpoint.Host, &minio.Options{
		Creds: credentials.NewStaticV4(c.AccessKey, c.SecretKey, ""), Secure: secure, Region: c.Region,
		Transport: transport, MaxRetries: maxRetries,
	})
	if err != nil {
		return nil, fmt.Errorf("opening object store %s: %w", c.Endpoint, err)
	}
	return client, nil
}

func transport(secure bool) (*http.Transport, error) {
	t, err := minio.DefaultTransport(secure)
	if err != nil {
		return nil, fmt.Errorf("setting up connections to the object store: %w", err)
	}
	t.DialContext = (&net.Dialer{Timeout: dialTimeout, KeepAlive: 30 * time.Second}).DialContext
	t.ResponseHeaderTimeout = answerTimeout
	t.MaxIdleConnsPerHost = idleConnections
	return t, nil
}

// Explain adds to an error of the store what to do about it.
func (c Config) Explain(err error, bucket string) error {
	if err == nil {
		return nil
	}
	switch minio.ToErrorResponse(err).Code {
	case minio.NoSuchBucket:
		return fmt.Errorf("bucket %q does not exist at %s: create it, or correct the field `bucket`: %w", bucket, c.Endpoint, err)
	case "InvalidAccessKeyId", "SignatureDoesNotMatch", minio.AccessDenied:
		return fmt.Errorf("%s refuses these keys for bucket %q: check %s and %s: %w", c.Endpoint, bucket, fieldAccessKey, fieldSecretKey, err)
	}
	if _, ok := errors.AsType[net.Error](err); ok {
		return fmt.Errorf("no answer from the object store at %s: is it running, and is `endpoint` right? %w", c.Endpoint, err)
	}
	return err
}
