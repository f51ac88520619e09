// Package icebergcatalog opens Iceberg catalogs: one set of config fields, one way to connect and one
// way to say what is wrong, for every component that works on Iceberg tables.
package icebergcatalog

import (
	"errors"
	"fmt"
	"net/url"
	"strings"

	"github.com/apache/iceberg-go/table"
	"github.com/redpanda-data/benthos/v4/public/service"
)

// The fields, for errors that name them.
const (
	FieldCatalog    = "catalog"
	FieldName       = "name"
	FieldURI        = "uri"
	FieldWarehouse  = "warehouse"
	FieldToken      = "token"
	FieldCredential = "credential"
	FieldScope      = "scope"
	FieldTokenURI   = "token_uri"
	FieldStorage    = "storage"
	FieldEndpoint   = "endpoint"
	FieldRegion     = "region"
	FieldAccessKey  = "access_key"
	FieldSecretKey  = "secret_key"
	FieldTable      = "table"
)

// Fields declares the fields that say which table is meant, and where it is.
func Fields() []*service.ConfigField {
	return []*service.ConfigField{
		service.NewObjectField(FieldCatalog,
			service.NewStringField(FieldName).Description("The catalog's name inside its database. Spark and Trino must use the same name to see the same tables.").Default("shop"),
			service.NewStringField(FieldURI).Description("Where the catalog is: the database of a SQL catalog, `postgres://…`, or `sqlite:///path/catalog.db` for a single machine; or a REST catalog, `https://…`.").Secret(),
			service.NewStringField(FieldWarehouse).Description("Where new tables are put: `s3://bucket/…` or `file:///path`. For a REST catalog, its name of the warehouse, or empty for its own default."),
			service.NewStringField(FieldToken).Description("Bearer token for a REST catalog.").Default("").Secret().Advanced(),
			service.NewStringField(FieldCredential).Description("`client_id:client_secret` for a REST catalog that takes OAuth 2 client credentials.").Default("").Secret().Advanced(),
			service.NewStringField(FieldTokenURI).Description("Where a REST catalog's tokens come from; empty for its own `/v1/oauth/tokens`.").Default("").Advanced(),
			service.NewStringField(FieldScope).Description("Scope of the token that is asked for.").Default("").Advanced(),
		).Description("The Iceberg catalog: the tables of Iceberg's JDBC catalog in a SQL database, or a REST catalog."),
		service.NewObjectField(FieldStorage,
			service.NewStringField(FieldEndpoint).Description("URL of the S3 service; empty for AWS.").Default(""),
			service.NewStringField(FieldRegion).Description("Region of the bucket.").Default("us-east-1"),
			service.NewStringField(FieldAccessKey).Description("Access key id.").Default(""),
			service.NewStringField(FieldSecretKey).Description("Secret access key.").Default("").Secret(),
		).Description("The object store of an `s3://` warehouse. A `file://` warehouse needs none of it.").Optional(),
		service.NewStringField(FieldTable).Description("Namespace and table.").Example("analytics.purchase_product_facts"),
	}
}

// Config says which catalog is meant, and who asks.
type Config struct {
	Name, URI, Warehouse string

	// Of a REST catalog alone.
	Token, Credential, Scope, TokenURI string

	Storage Storage
}

// Storage is the store of an s3:// warehouse.
type Storage struct {
	Endpoint, Region, AccessKey, SecretKey string
}

// FromParsed reads Fields, without touching the network. All faults are in the error.
func FromParsed(conf *service.ParsedConfig) (c Config, ident table.Identifier, err error) {
	var faults []error
	fault := func(path string, err error) {
		if err != nil {
			faults = append(faults, fmt.Errorf("%s: %w", path, err))
		}
	}
	text := func(path ...string) string {
		v, err := conf.FieldString(path...)
		fault(strings.Join(path, "."), err)
		return v
	}
	c = Config{
		Name: text(FieldCatalog, FieldName), URI: text(FieldCatalog, FieldURI), Warehouse: text(FieldCatalog, FieldWarehouse),
		Token: text(FieldCatalog, FieldToken), Credential: text(FieldCatalog, FieldCredential),
		Scope: text(FieldCatalog, FieldScope), TokenURI: text(FieldCatalog, FieldTokenURI),
	}
	if conf.Contains(FieldStorage) {
		c.Storage = Storage{
			Endpoint: text(FieldStorage, FieldEndpoint), Region: text(FieldStorage, FieldRegion),
			AccessKey: text(FieldStorage, FieldAccessKey), SecretKey: text(FieldStorage, FieldSecretKey),
		}
	}
	if c.Name == "" {
		fault(FieldCatalog+"."+FieldName, errors.New("is required, for example shop"))
	}
	if c.rest() {
		fault(FieldCatalog, c.checkREST())
	} else {
		_, err := c.database()
		fault(FieldCatalog+"."+FieldURI, err)
		fault(FieldCatalog+"."+FieldWarehouse, checkWarehouse(c.Warehouse))
		if c.Token+c.Credential+c.Scope+c.TokenURI != "" {
			fault(FieldCatalog, fmt.Errorf("%s, %s, %s and %s are for REST catalogs; a SQL catalog has user and password in its %s", FieldToken, FieldCredential, FieldScope, FieldTokenURI, FieldURI))
		}
	}
	if isS3(c.Warehouse) || c.Storage != (Storage{Region: c.Storage.Region}) {
		fault(FieldStorage, c.Storage.check())
	}
	ident, err = parseIdentifier(text(FieldTable))
	fault(FieldTable, err)
	return c, ident, errors.Join(faults...)
}

func (c *Config) rest() bool {
	return strings.HasPrefix(c.URI, "http://") || strings.HasPrefix(c.URI, "https://")
}

func (c *Config) checkREST() error {
	var faults []error
	// A URI may hold a password: say that it is wrong, not what it is.
	if u, err := url.Parse(c.URI); err != nil || u.Host == "" {
		faults = append(faults, fmt.Errorf("%s %w", FieldURI, errURI))
	}
	if c.Token != "" && c.Credential != "" {
		faults = append(faults, fmt.Errorf("%s and %s exclude each other", FieldToken, FieldCredential))
	}
	if u, err := url.Parse(c.TokenURI); c.TokenURI != "" && (err != nil || u.Host == "") {
		faults = append(faults, fmt.Errorf("%s must be a URL such as https://host/oauth/tokens", FieldTokenURI))
	}
	if c.Credential != "" && !strings.Contains(c.Credential, ":") {
		faults = append(faults, fmt.Errorf("%s must be client_id:client_secret", FieldCredential))
	}
	return errors.Join(faults...)
}

func isS3(location string) bool { return strings.HasPrefix(location, "s3://") }

func checkWarehouse(location string) error {
	u, err := url.Parse(location)
	if err != nil || (u.Scheme != "s3" && u.Scheme != "file") || (u.Scheme == "s3" && u.Host == "") {
		return fmt.Errorf("%q must be s3://bucket/… or file:///path", location)
	}
	return nil
}

func (s *Storage) check() error {
	var faults []error
	if u, err := url.Parse(s.Endpoint); s.Endpoint != "" && (err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https")) {
		faults = append(faults, fmt.Errorf("%s %q must be a URL such as http://127.0.0.1:9000", FieldEndpoint, s.Endpoint))
	}
	if s.AccessKey == "" || s.SecretKey == "" {
		faults = append(faults, fmt.Errorf("%s and %s are required for an s3:// warehouse", FieldAccessKey, FieldSecretKey))
	}
	return errors.Join(faults...)
}

// parseIdentifier wants one level of namespace: with more, or with dots in a name, the readers of
// JDBC catalogs disagree on what the parts are.
func parseIdentifier(name string) (table.Identifier, error) {
	namespace, tableName, _ := strings.Cut(name, ".")
	if namespace == "" || tableName == "" || strings.Contains(tableName, ".") {
		return nil, fmt.Errorf("%q must be a namespace and a table, such as analytics.purchases", name)
	}
	return table.Identifier{namespace, tableName}, nil
}
