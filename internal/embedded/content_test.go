package embedded

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/shop-connect/shop-connect/internal/env"
)

// content is something written to each server and read back from it.
type content struct {
	vars  map[string]string
	large []byte
}

func newContent(vars map[string]string) content {
	large := make([]byte, 12<<20)
	for i := range large {
		large[i] = byte(i*i>>7 ^ i) // no two parts alike
	}
	return content{vars: vars, large: large}
}

func (c content) s3(t *testing.T) *minio.Client {
	t.Helper()
	endpoint, err := url.Parse(c.vars[env.S3Endpoint])
	if err != nil {
		t.Fatal(err)
	}
	client, err := minio.New(endpoint.Host, &minio.Options{
		Creds: credentials.NewStaticV4(c.vars[env.S3AccessKey], c.vars[env.S3SecretKey], ""), Region: c.vars[env.S3Region],
	})
	if err != nil {
		t.Fatal(err)
	}
	return client
}

func (c content) kafka(t *testing.T, opts ...kgo.Opt) *kgo.Client {
	t.Helper()
	client, err := kgo.NewClient(append(opts, kgo.SeedBrokers(c.vars[env.KafkaBrokers]), kgo.AllowAutoTopicCreation())...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	return client
}

func (c content) postgres(t *testing.T) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), c.vars[env.PostgresDSN])
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close(context.Background()) })
	return conn
}

func (c content) clickhouse(t *testing.T, sql string) string {
	t.Helper()
	dsn, err := url.Parse(c.vars[env.ClickHouseDSN])
	if err != nil {
		t.Fatal(err)
	}
	dsn.Path = "/"
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, dsn.String(), strings.NewReader(sql))
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s %s %v", sql, resp.Status, body, err)
	}
	return strings.TrimSpace(string(body))
}

func (c content) write(t *testing.T) {
	t.Helper()
	ctx := t.Context()
	if err := c.kafka(t).ProduceSync(ctx, &kgo.Record{Topic: "purchases", Key: []byte("1"), Value: []byte(`{"id":"1"}`)}).FirstErr(); err != nil {
		t.Fatal(err)
	}

	store := c.s3(t)
	if err := store.MakeBucket(ctx, "shop-raw-data", minio.MakeBucketOptions{}); err != nil {
		t.Fatal(err)
	}
	for key, body := range map[string][]byte{"small": []byte("hello"), "a/large": c.large} {
		options := minio.PutObjectOptions{PartSize: 5 << 20, ContentType: "text/plain"}
		if _, err := store.PutObject(ctx, "shop-raw-data", key, bytes.NewReader(body), int64(len(body)), options); err != nil {
			t.Fatal(err)
		}
	}

	db := c.postgres(t)
	for _, sql := range []string{"CREATE TABLE kept (id int PRIMARY KEY, name text)", "INSERT INTO kept VALUES (1, 'É')"} {
		if _, err := db.Exec(ctx, sql); err != nil {
			t.Fatal(err)
		}
	}

	c.clickhouse(t, "CREATE TABLE analytics.kept (id Int64) ENGINE = MergeTree ORDER BY id")
	c.clickhouse(t, "INSERT INTO analytics.kept VALUES (42)")
}

func (c content) check(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()

	consumer := c.kafka(t, kgo.ConsumeTopics("purchases"), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	fetches := consumer.PollFetches(ctx)
	if err := fetches.Err(); err != nil {
		t.Fatal(err)
	}
	if records := fetches.Records(); len(records) != 1 || string(records[0].Value) != `{"id":"1"}` {
		t.Errorf("Kafka holds %d records, want the one that was written", len(records))
	}

	for key, want := range map[string][]byte{"small": []byte("hello"), "a/large": c.large} {
		object, err := c.s3(t).GetObject(ctx, "shop-raw-data", key, minio.GetObjectOptions{})
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(object)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, want) {
			t.Errorf("S3 object %s differs from what was put (%d of %d bytes)", key, len(got), len(want))
		}
	}

	var lower, zone string
	if err := c.postgres(t).QueryRow(ctx, "SELECT lower(name), current_setting('timezone') FROM kept").Scan(&lower, &zone); err != nil {
		t.Fatal(err)
	}
	if lower != "é" || zone != "UTC" {
		t.Errorf("PostgreSQL answers %q in %s, want é in UTC", lower, zone)
	}
	if got := c.clickhouse(t, "SELECT sum(id) FROM analytics.kept"); got != "42" {
		t.Errorf("ClickHouse answers %q, want 42", got)
	}
}
