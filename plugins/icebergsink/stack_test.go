package icebergsink

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"

	"github.com/shop-connect/shop-connect/internal/embedded"
)

// The embedded servers are this binary, started again.
func TestMain(m *testing.M) {
	if handled, err := embedded.RunChild(context.Background(), os.Args[1:]); handled {
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	if config := os.Getenv(envWriter); config != "" {
		var yaml string
		err := json.Unmarshal([]byte(config), &yaml)
		if err == nil {
			err = writeHistory(yaml)
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	code := m.Run()
	if stack.servers != nil {
		stack.servers.Close()
		_ = os.RemoveAll(stack.dir)
	}
	os.Exit(code)
}

// stack is PostgreSQL, S3 and ClickHouse, started by the first test that asks and shared by all.
var stack struct {
	sync.Once
	dir     string
	servers *embedded.Servers
	env     map[string]string
	err     error
}

func startStack() {
	cache := os.Getenv("SHOP_CONNECT_CACHE")
	if cache == "" {
		cache = filepath.Join("..", "..", ".cache")
	}
	ctx := context.Background()
	if stack.err = embedded.Install(ctx, cache, os.Stderr); stack.err != nil {
		return
	}
	if stack.dir, stack.err = os.MkdirTemp("", "icebergsink"); stack.err != nil {
		return
	}
	if stack.servers, stack.err = embedded.Start(ctx, embedded.Config{DataDir: filepath.Join(stack.dir, "shop"), CacheDir: cache}, slog.New(slog.DiscardHandler)); stack.err == nil {
		stack.env = stack.servers.Env()
	}
}

// newStackShop is a shop whose catalog is in PostgreSQL and whose warehouse is a bucket of its own.
func newStackShop(t testing.TB) *shop {
	t.Helper()
	stack.Do(startStack)
	if stack.err != nil {
		t.Fatal(stack.err)
	}
	s := newShop(t)
	bucket := "b" + strings.ToLower(strings.NewReplacer("/", "-", "_", "-").Replace(t.Name()))
	bucket = bucket[:min(len(bucket), 60)]
	if err := s3(t).MakeBucket(t.Context(), bucket, minio.MakeBucketOptions{}); err != nil {
		t.Fatal(err)
	}
	s.uri, s.catalog, s.warehouse = stack.env["POSTGRES_DSN"], bucket, "s3://"+bucket+"/"
	s.storage = fmt.Sprintf("storage: {endpoint: %q, region: %q, access_key: %q, secret_key: %q}",
		stack.env["S3_ENDPOINT"], stack.env["S3_REGION"], stack.env["S3_ACCESS_KEY"], stack.env["S3_SECRET_KEY"])
	return s
}

func s3(t testing.TB) *minio.Client {
	t.Helper()
	client, err := minio.New(strings.TrimPrefix(stack.env["S3_ENDPOINT"], "http://"), &minio.Options{
		Creds: credentials.NewStaticV4(stack.env["S3_ACCESS_KEY"], stack.env["S3_SECRET_KEY"], ""), Region: stack.env["S3_REGION"],
	})
	if err != nil {
		t.Fatal(err)
	}
	return client
}

// clickhouse asks ClickHouse about the shop's table: FROM TABLE is replaced by the table in the bucket.
func (s *shop) clickhouse(query string) string {
	s.t.Helper()
	u, err := url.Parse(stack.env["CLICKHOUSE_DSN"])
	if err != nil {
		s.t.Fatal(err)
	}
	source := fmt.Sprintf("icebergS3('%s/%s/analytics.db/purchases/', '%s', '%s')",
		stack.env["S3_ENDPOINT"], strings.Trim(strings.TrimPrefix(s.warehouse, "s3://"), "/"), stack.env["S3_ACCESS_KEY"], stack.env["S3_SECRET_KEY"])
	query = strings.Replace(query, "TABLE", source, 1)
	req, err := http.NewRequestWithContext(s.t.Context(), http.MethodPost, "http://"+u.Host+"/", strings.NewReader(query))
	if err != nil {
		s.t.Fatal(err)
	}
	password, _ := u.User.Password()
	req.SetBasicAuth(u.User.Username(), password)
	answer, err := http.DefaultClient.Do(req)
	if err != nil {
		s.t.Fatal(err)
	}
	defer answer.Body.Close()
	body, _ := io.ReadAll(answer.Body)
	if answer.StatusCode != http.StatusOK {
		s.t.Fatalf("%s: %s", answer.Status, body)
	}
	return strings.TrimSpace(string(body))
}

func TestClickHouseReadsWhatIsWritten(t *testing.T) {
	s := newStackShop(t)
	out := s.sink()
	write(t, out, 0, purchase("a", "1.0001", "2024-01-01"), purchase("b", "2.5", "2024-01-02"), purchase("c", "3", "2024-01-02"))
	count := "SELECT count(), sum(price_at_time) FROM TABLE"
	if got := s.clickhouse(count); got != "3\t6.5001" {
		t.Errorf("ClickHouse reads %q, want 3 rows and 6.5001", got)
	}
	// A correction within the day, one that moves to another day, a deletion.
	write(t, out, 3, purchase("a", "10.0001", "2024-01-01"), purchase("b", "20", "2024-01-09"), deletion("c"))
	if got := s.clickhouse("SELECT id, price_at_time, purchase_date FROM TABLE ORDER BY id"); got != "a\t10.0001\t2024-01-01\nb\t20\t2024-01-09" {
		t.Errorf("ClickHouse reads %q after corrections", got)
	}
	s.expect(out, map[string]string{"a": "10.0001 2024-01-01", "b": "20.00 2024-01-09"})
}
