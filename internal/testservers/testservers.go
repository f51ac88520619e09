// Package testservers gives tests the embedded servers: real ones, started once for a test binary, each
// test with a database and buckets of its own.
package testservers

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/minio/minio-go/v7"

	"github.com/shop-connect/shop-connect/internal/embedded"
	"github.com/shop-connect/shop-connect/internal/env"
	"github.com/shop-connect/shop-connect/internal/objectstore"
)

// Main runs the tests of a package; its TestMain calls it. The servers start when a test first asks.
func Main(m *testing.M) {
	if handled, err := embedded.RunChild(context.Background(), os.Args[1:]); handled {
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(run(m))
}

func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "shop-connect-test-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	start = sync.OnceValues(func() (*embedded.Servers, error) {
		cache := os.Getenv("SHOP_CONNECT_CACHE")
		if cache == "" {
			_, file, _, _ := runtime.Caller(0)
			cache = filepath.Join(filepath.Dir(file), "..", "..", ".cache")
		}
		if err := embedded.Install(context.Background(), cache, io.Discard); err != nil {
			return nil, err
		}
		servers, err := embedded.Start(context.Background(), embedded.Config{DataDir: dir, CacheDir: cache}, slog.New(slog.DiscardHandler))
		started = servers
		return servers, err
	})
	code := m.Run()
	if started != nil {
		started.Close()
	}
	return code
}

var (
	start   func() (*embedded.Servers, error)
	started *embedded.Servers
	number  atomic.Int64
)

// Env returns the variables of the servers, which all tests of the package share.
func Env(t testing.TB) map[string]string {
	t.Helper()
	s, err := start()
	if err != nil {
		t.Fatal(err)
	}
	return s.Env()
}

// Postgres returns the connection string of a new, empty database.
func Postgres(t testing.TB) string {
	t.Helper()
	admin := Env(t)[env.PostgresDSN]
	conn, err := pgx.Connect(t.Context(), admin)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	database := fmt.Sprintf("test_%d", number.Add(1))
	if _, err := conn.Exec(t.Context(), "CREATE DATABASE "+database); err != nil {
		t.Fatal(err)
	}
	dsn, err := url.Parse(admin)
	if err != nil {
		t.Fatal(err)
	}
	dsn.Path = "/" + database
	return dsn.String()
}

// ObjectStore returns where the S3 server is, and a client of it.
func ObjectStore(t testing.TB) (objectstore.Config, *minio.Client) {
	t.Helper()
	vars := Env(t)
	config := objectstore.Config{
		Endpoint: vars[env.S3Endpoint], Region: vars[env.S3Region],
		AccessKey: vars[env.S3AccessKey], SecretKey: vars[env.S3SecretKey],
	}
	client, err := config.Client()
	if err != nil {
		t.Fatal(err)
	}
	return config, client
}

// Bucket creates a bucket whose name begins with purpose.
func Bucket(t testing.TB, client *minio.Client, purpose string) string {
	t.Helper()
	name := strings.ToLower(fmt.Sprintf("%s-%d", purpose, number.Add(1)))
	if err := client.MakeBucket(t.Context(), name, minio.MakeBucketOptions{}); err != nil {
		t.Fatal(err)
	}
	return name
}
