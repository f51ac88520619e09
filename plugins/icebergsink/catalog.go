package icebergsink

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"strings"

	"github.com/apache/iceberg-go"
	sqlcatalog "github.com/apache/iceberg-go/catalog/sql"
	"github.com/apache/iceberg-go/io"

	_ "github.com/shop-connect/shop-connect/internal/icebergio" // s3:// locations

	// The drivers of catalog.uri.
	_ "github.com/jackc/pgx/v5/stdlib"
	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
	_ "modernc.org/sqlite"
)

type catalogConfig struct {
	name, uri, warehouse string
}

// database is what database/sql and the catalog need to know of catalog.uri.
type database struct {
	driver, dsn string
	dialect     sqlcatalog.SupportedDialect
}

var errCatalogURI = errors.New("must be postgres://user:password@host:port/database or sqlite:///path/catalog.db")

func (c *catalogConfig) database() (database, error) {
	scheme, rest, _ := strings.Cut(c.uri, ":")
	switch scheme {
	case "postgres", "postgresql":
		// The URI holds a password: say that it is wrong, not what it is.
		if _, err := url.Parse(c.uri); err != nil {
			return database{}, errCatalogURI
		}
		return database{driver: "pgx", dsn: c.uri, dialect: sqlcatalog.Postgres}, nil
	case "sqlite", "file":
		path, query, _ := strings.Cut(strings.TrimPrefix(rest, "//"), "?")
		if path == "" {
			return database{}, errCatalogURI
		}
		// Without these, two writers of one file meet "database is locked" instead of waiting.
		dsn := "file:" + path + "?_pragma=busy_timeout(10000)&_pragma=journal_mode(WAL)&_txlock=immediate"
		if query != "" {
			dsn += "&" + query
		}
		return database{driver: "sqlite", dsn: dsn, dialect: sqlcatalog.SQLite}, nil
	}
	return database{}, errCatalogURI
}

func isS3(location string) bool { return strings.HasPrefix(location, "s3://") }

func checkWarehouse(location string) error {
	u, err := url.Parse(location)
	if err != nil || (u.Scheme != "s3" && u.Scheme != "file") || (u.Scheme == "s3" && u.Host == "") {
		return fmt.Errorf("%q must be s3://bucket/… or file:///path", location)
	}
	return nil
}

type storageConfig struct {
	endpoint, region, accessKey, secretKey string
}

func (s *storageConfig) check() error {
	var faults []error
	if u, err := url.Parse(s.endpoint); s.endpoint != "" && (err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https")) {
		faults = append(faults, fmt.Errorf("%s %q must be a URL such as http://127.0.0.1:9000", fieldEndpoint, s.endpoint))
	}
	if s.accessKey == "" || s.secretKey == "" {
		faults = append(faults, fmt.Errorf("%s and %s are required for an s3:// warehouse", fieldAccessKey, fieldSecretKey))
	}
	return errors.Join(faults...)
}

// checkBucket tells a missing bucket, wrong keys and an unreachable store apart, which the catalog's
// own errors do not.
func (s *storageConfig) checkBucket(ctx context.Context, warehouse string) error {
	u, err := url.Parse(s.endpoint)
	if err != nil || s.endpoint == "" || !isS3(warehouse) {
		return err
	}
	client, err := minio.New(u.Host, &minio.Options{
		Creds: credentials.NewStaticV4(s.accessKey, s.secretKey, ""), Secure: u.Scheme == "https", Region: s.region, MaxRetries: 1,
	})
	if err != nil {
		return fmt.Errorf("opening object store %q: %w", s.endpoint, err)
	}
	bucket, _, _ := strings.Cut(strings.TrimPrefix(warehouse, "s3://"), "/")
	found, err := client.BucketExists(ctx, bucket)
	switch {
	case err != nil && minio.ToErrorResponse(err).StatusCode >= 400 && minio.ToErrorResponse(err).StatusCode < 500:
		return fmt.Errorf("opening bucket %q at %s: %w; check %s.%s and %s.%s", bucket, s.endpoint, err, fieldStorage, fieldAccessKey, fieldStorage, fieldSecretKey)
	case err != nil:
		return fmt.Errorf("reaching object store %s: %w; check %s.%s and that it runs", s.endpoint, err, fieldStorage, fieldEndpoint)
	case !found:
		return fmt.Errorf("opening bucket %q at %s: it does not exist; create it or change %s.%s", bucket, s.endpoint, fieldCatalog, fieldWarehouse)
	}
	return nil
}

// openCatalog connects to the catalog's database and creates the catalog's own tables where they are
// missing. The caller closes the database.
func openCatalog(ctx context.Context, c *catalogConfig, s *storageConfig) (*sqlcatalog.Catalog, *sql.DB, error) {
	target, err := c.database()
	if err != nil {
		return nil, nil, err
	}
	db, err := sql.Open(target.driver, target.dsn)
	if err == nil {
		err = db.PingContext(ctx)
	}
	if err != nil {
		err = fmt.Errorf("reaching catalog %q: %w; check %s.%s and that its database runs", c.name, err, fieldCatalog, fieldURI)
		return nil, nil, closeAfter(db, err)
	}
	props := iceberg.Properties{"warehouse": strings.TrimSuffix(c.warehouse, "/")}
	if isS3(c.warehouse) {
		props[io.S3EndpointURL], props[io.S3Region] = s.endpoint, s.region
		props[io.S3AccessKeyID], props[io.S3SecretAccessKey] = s.accessKey, s.secretKey
	}
	cat, err := sqlcatalog.NewCatalog(c.name, db, target.dialect, props)
	if err != nil {
		err = fmt.Errorf("opening catalog %q: %w; its user must be allowed to create tables, or they must exist", c.name, err)
		return nil, nil, closeAfter(db, err)
	}
	return cat, db, nil
}

func closeAfter(db *sql.DB, err error) error {
	if db != nil {
		_ = db.Close()
	}
	return err
}
