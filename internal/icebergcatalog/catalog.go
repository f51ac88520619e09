package icebergcatalog

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"strings"

	"github.com/apache/iceberg-go"
	"github.com/apache/iceberg-go/catalog"
	"github.com/apache/iceberg-go/catalog/rest"
	sqlcatalog "github.com/apache/iceberg-go/catalog/sql"
	"github.com/apache/iceberg-go/io"
	"github.com/apache/iceberg-go/table"
	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"

	_ "github.com/shop-connect/shop-connect/internal/icebergio" // s3:// locations

	// The drivers of catalog.uri.
	_ "github.com/jackc/pgx/v5/stdlib"
	_ "modernc.org/sqlite"
)

// What says, in the summary of a snapshot and in the table's properties, which Kafka records the table
// has taken in: the offsets, and the id that each of their topics has in Kafka. Whoever commits a snapshot
// that changes no rows takes both over from the one before.
const (
	OffsetsKey = "shop-connect.offsets"
	TopicsKey  = "shop-connect.topics"
)

// Committed is what a table says under a key such as OffsetsKey, empty for nothing: in the newest snapshot
// of main that says so, for that is right also after a rollback, else in the table's properties, which
// survive the expiry of all such snapshots.
func Committed(tbl *table.Table, key string) string {
	if head := tbl.CurrentSnapshot(); head != nil {
		for _, s := range table.AncestorsOf(head.SnapshotID, tbl.SnapshotByID) {
			if s.Summary == nil {
				continue
			}
			if text, found := s.Summary.Properties[key]; found {
				return text
			}
		}
	}
	return tbl.Properties()[key]
}

// Catalog is a catalog that is open.
type Catalog struct {
	catalog.Catalog

	config   Config
	db       *sql.DB // nil for a REST catalog
	postgres bool
	closer   func() error
}

// database is what database/sql and the catalog need to know of catalog.uri.
type database struct {
	driver, dsn string
	dialect     sqlcatalog.SupportedDialect
}

var errURI = errors.New("must be postgres://user:password@host:port/database, sqlite:///path/catalog.db or https://host of a REST catalog")

func (c *Config) database() (database, error) {
	scheme, rest, _ := strings.Cut(c.URI, ":")
	switch scheme {
	case "postgres", "postgresql":
		// The URI holds a password: say that it is wrong, not what it is.
		if _, err := url.Parse(c.URI); err != nil {
			return database{}, errURI
		}
		return database{driver: "pgx", dsn: c.URI, dialect: sqlcatalog.Postgres}, nil
	case "sqlite", "file":
		path, query, _ := strings.Cut(strings.TrimPrefix(rest, "//"), "?")
		if path == "" {
			return database{}, errURI
		}
		// Without these, two writers of one file meet "database is locked" instead of waiting.
		dsn := "file:" + path + "?_pragma=busy_timeout(10000)&_pragma=journal_mode(WAL)&_txlock=immediate"
		if query != "" {
			dsn += "&" + query
		}
		return database{driver: "sqlite", dsn: dsn, dialect: sqlcatalog.SQLite}, nil
	}
	return database{}, errURI
}

// Open checks the object store and opens the catalog. A SQL catalog's own tables are created where they
// are missing. The caller closes it.
func (c *Config) Open(ctx context.Context) (*Catalog, error) {
	if err := c.checkBucket(ctx); err != nil {
		return nil, err
	}
	if c.rest() {
		return c.openREST(ctx)
	}
	return c.openSQL(ctx)
}

func (c *Config) properties() iceberg.Properties {
	props := iceberg.Properties{}
	if c.Warehouse != "" {
		props["warehouse"] = strings.TrimSuffix(c.Warehouse, "/")
	}
	if s := &c.Storage; s.AccessKey != "" {
		props[io.S3EndpointURL], props[io.S3Region] = s.Endpoint, s.Region
		props[io.S3AccessKeyID], props[io.S3SecretAccessKey] = s.AccessKey, s.SecretKey
	}
	return props
}

func (c *Config) openSQL(ctx context.Context) (*Catalog, error) {
	target, err := c.database()
	if err != nil {
		return nil, err
	}
	db, err := sql.Open(target.driver, target.dsn)
	if err == nil {
		err = db.PingContext(ctx)
	}
	if err != nil {
		err = fmt.Errorf("reaching catalog %q: %w; check %s.%s and that its database runs", c.Name, err, FieldCatalog, FieldURI)
		return nil, closeAfter(db, err)
	}
	cat, err := sqlcatalog.NewCatalog(c.Name, db, target.dialect, c.properties())
	if err != nil {
		err = fmt.Errorf("opening catalog %q: %w; its user must be allowed to create tables, or they must exist", c.Name, err)
		return nil, closeAfter(db, err)
	}
	closer := func() error { return errors.Join(cat.Close(), db.Close()) }
	return &Catalog{Catalog: cat, config: *c, db: db, postgres: target.dialect == sqlcatalog.Postgres, closer: closer}, nil
}

func (c *Config) openREST(ctx context.Context) (*Catalog, error) {
	options := []rest.Option{rest.WithAdditionalProps(c.properties())}
	if c.Warehouse != "" {
		options = append(options, rest.WithWarehouseLocation(strings.TrimSuffix(c.Warehouse, "/")))
	}
	if c.Token != "" {
		options = append(options, rest.WithOAuthToken(c.Token))
	}
	if c.Credential != "" {
		options = append(options, rest.WithCredential(c.Credential))
	}
	if c.Scope != "" {
		options = append(options, rest.WithScope(c.Scope))
	}
	if c.TokenURI != "" {
		u, err := url.Parse(c.TokenURI)
		if err != nil {
			return nil, fmt.Errorf("reading %s: %w", FieldTokenURI, err)
		}
		options = append(options, rest.WithAuthURI(u))
	}
	cat, err := rest.NewCatalog(ctx, c.Name, c.URI, options...)
	if err != nil {
		return nil, fmt.Errorf("opening REST catalog %q: %w; check %s.%s, its %s and %s, and that it runs", c.Name, err, FieldCatalog, FieldURI, FieldToken, FieldCredential)
	}
	return &Catalog{Catalog: cat, config: *c, closer: cat.Close}, nil
}

// checkBucket tells a missing bucket, wrong keys and an unreachable store apart, which the catalog's
// own errors do not.
func (c *Config) checkBucket(ctx context.Context) error {
	s := &c.Storage
	u, err := url.Parse(s.Endpoint)
	if err != nil || s.Endpoint == "" || !isS3(c.Warehouse) {
		return err
	}
	client, err := minio.New(u.Host, &minio.Options{
		Creds: credentials.NewStaticV4(s.AccessKey, s.SecretKey, ""), Secure: u.Scheme == "https", Region: s.Region, MaxRetries: 1,
	})
	if err != nil {
		return fmt.Errorf("opening object store %q: %w", s.Endpoint, err)
	}
	bucket, _, _ := strings.Cut(strings.TrimPrefix(c.Warehouse, "s3://"), "/")
	found, err := client.BucketExists(ctx, bucket)
	switch {
	case err != nil && minio.ToErrorResponse(err).StatusCode >= 400 && minio.ToErrorResponse(err).StatusCode < 500:
		return fmt.Errorf("opening bucket %q at %s: %w; check %s.%s and %s.%s", bucket, s.Endpoint, err, FieldStorage, FieldAccessKey, FieldStorage, FieldSecretKey)
	case err != nil:
		return fmt.Errorf("reaching object store %s: %w; check %s.%s and that it runs", s.Endpoint, err, FieldStorage, FieldEndpoint)
	case !found:
		return fmt.Errorf("opening bucket %q at %s: it does not exist; create it or change %s.%s", bucket, s.Endpoint, FieldCatalog, FieldWarehouse)
	}
	return nil
}

// Close is safe twice.
func (c *Catalog) Close() error {
	if c == nil || c.closer == nil {
		return nil
	}
	closer := c.closer
	c.closer = nil
	return closer()
}

// CheckName makes sure, where a table is not found, that it is not in the same database under the name of
// another catalog: a second table begun there would share the first one's files.
func (c *Catalog) CheckName(ctx context.Context, ident table.Identifier) error {
	if c.db == nil {
		return nil
	}
	var other string
	query := `SELECT catalog_name FROM iceberg_tables
		WHERE catalog_name <> $1 AND table_namespace = $2 AND table_name = $3 AND substr(metadata_location, 1, length($4)) = $4 LIMIT 1`
	warehouse := strings.TrimSuffix(c.config.Warehouse, "/") + "/"
	err := c.db.QueryRowContext(ctx, query, c.config.Name, strings.Join(ident[:len(ident)-1], "."), ident[len(ident)-1], warehouse).Scan(&other)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return nil
	case err != nil:
		return fmt.Errorf("looking for table %s in catalogs of other names: %w", strings.Join(ident, "."), err)
	}
	return fmt.Errorf("catalog %q has no table %s, but catalog %q of the same database has it in this warehouse: correct %s.%s, or give this table another name",
		c.config.Name, strings.Join(ident, "."), other, FieldCatalog, FieldName)
}

// Refused says whether a commit provably did not happen. The SQL catalog reports a lost fence as plain
// text, not as ErrCommitFailed.
func Refused(err error) bool {
	return errors.Is(err, table.ErrCommitFailed) || (err != nil && strings.Contains(strings.ToLower(err.Error()), "requirement failed: "))
}

func closeAfter(db *sql.DB, err error) error {
	if db != nil {
		_ = db.Close()
	}
	return err
}
