package embedded

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/shop-connect/shop-connect/internal/env"
)

// envTestParent makes this test binary a program that starts the servers of that directory, says which
// they are and waits to be killed.
const envTestParent = "EMBEDDED_TEST_PARENT"

func TestMain(m *testing.M) {
	if handled, err := RunChild(context.Background(), os.Args[1:]); handled {
		exitWith(err)
	}
	if dir := os.Getenv(envTestParent); dir != "" {
		exitWith(runParent(dir))
	}
	os.Exit(m.Run())
}

func exitWith(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

func runParent(dir string) error {
	servers, err := Start(context.Background(), testConfig(dir), slog.New(slog.DiscardHandler))
	if err != nil {
		return err
	}
	if err := json.NewEncoder(os.Stdout).Encode(servers.List()); err != nil {
		return err
	}
	<-servers.Done()
	return servers.Err()
}

// testConfig shares one cache among all tests and runs: the downloads are large.
func testConfig(dir string) Config {
	return Config{DataDir: dir, CacheDir: testCache()}
}

func testCache() string {
	if dir := os.Getenv(envCacheDir); dir != "" {
		return dir
	}
	return filepath.Join("..", "..", ".cache")
}

func start(t *testing.T, dir string) *Servers {
	t.Helper()
	if err := Install(t.Context(), testCache(), io.Discard); err != nil {
		t.Fatal(err)
	}
	servers, err := Start(t.Context(), testConfig(dir), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { servers.Close() })
	return servers
}

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

func TestServersKeepWhatWasWrittenAcrossAStopAndAStart(t *testing.T) {
	dir := t.TempDir()
	servers := start(t, dir)
	c := newContent(servers.Env())
	c.write(t)
	c.check(t)

	began := time.Now()
	if err := servers.Close(); err != nil {
		t.Fatal(err)
	}
	t.Logf("stopped in %s", time.Since(began))
	if servers.Err() != nil {
		t.Errorf("a stop that was asked for counts as a failure: %v", servers.Err())
	}
	for _, s := range servers.List() {
		if running(s.PID) {
			t.Errorf("%s still runs after Close", s.Name)
		}
	}
	if err := servers.Close(); err != nil {
		t.Errorf("closing twice: %v", err)
	}

	began = time.Now()
	again := start(t, dir)
	t.Logf("started again in %s", time.Since(began))
	c.vars = again.Env()
	c.check(t)

	fromFile, err := ReadEnv(dir)
	if err != nil {
		t.Fatal(err)
	}
	for name, value := range again.Env() {
		if fromFile[name] != value {
			t.Errorf("env file has %s=%q, want %q", name, fromFile[name], value)
		}
	}
	if creds := again.Credentials(); creds != servers.Credentials() || len(creds.JWTSecret) < 32 {
		t.Error("the credentials changed with the restart, or the JWT secret is short")
	}
}

func TestKilledParentTakesItsServersAlongAndLosesNothing(t *testing.T) {
	dir := t.TempDir()
	if err := Install(t.Context(), testCache(), io.Discard); err != nil {
		t.Fatal(err)
	}
	parent := exec.Command(os.Args[0])
	parent.Env = append(os.Environ(), envTestParent+"="+dir)
	parent.Stderr = os.Stderr
	stdout, err := parent.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := parent.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { parent.Process.Kill(); parent.Wait() })
	var list []Server
	if err := json.NewDecoder(stdout).Decode(&list); err != nil {
		t.Fatal(err)
	}
	vars, err := ReadEnv(dir)
	if err != nil {
		t.Fatal(err)
	}
	c := newContent(vars)
	c.write(t)

	if err := parent.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	parent.Wait()

	servers := start(t, dir) // waits until the last child has let go of the directory
	for _, s := range list {
		if running(s.PID) {
			t.Errorf("%s (process %d) outlived its parent", s.Name, s.PID)
		}
	}
	c.vars = servers.Env()
	c.check(t)
}

// running does not count a process that has ended and waits to be reaped.
func running(pid int) bool {
	stat, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
	if err != nil {
		return false
	}
	_, state, _ := bytes.Cut(stat, []byte(") "))
	return !bytes.HasPrefix(state, []byte("Z"))
}

func TestKilledServersLoseNothingThatWasAcknowledged(t *testing.T) {
	dir := t.TempDir()
	servers := start(t, dir)
	c := newContent(servers.Env())
	c.write(t)
	for _, s := range servers.List() {
		if err := syscall.Kill(s.PID, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
	}
	<-servers.Done()
	servers.Close()

	c.vars = start(t, dir).Env()
	c.check(t)
}

func TestUnexpectedEndOfAServerIsReportedWithItsLog(t *testing.T) {
	servers := start(t, t.TempDir())
	for _, s := range servers.List() {
		if s.Name != nameS3 {
			continue
		}
		if err := syscall.Kill(s.PID, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		select {
		case <-servers.Done():
		case <-time.After(10 * time.Second):
			t.Fatal("Done was not closed")
		}
		for _, want := range []string{nameS3, "signal: killed", s.Log} {
			if !strings.Contains(servers.Err().Error(), want) {
				t.Errorf("%q does not say %q", servers.Err(), want)
			}
		}
	}
}

func TestStartNamesEveryPortThatIsTaken(t *testing.T) {
	if err := Install(t.Context(), testCache(), io.Discard); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	port := l.Addr().(*net.TCPAddr).Port
	cfg := testConfig(t.TempDir())
	cfg.Ports = Ports{Kafka: port, ClickHouse: port}
	_, err = Start(t.Context(), cfg, slog.New(slog.DiscardHandler))
	for _, want := range []string{
		fmt.Sprintf("port %d for Kafka is taken", port), "--port-kafka",
		fmt.Sprintf("port %d for ClickHouse is taken", port), "--port-clickhouse",
	} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v does not say %q", err, want)
		}
	}
}

func TestStartRefusesADirectoryThatIsInUse(t *testing.T) {
	dir := t.TempDir()
	lock, err := lockDataDir(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Close()
	_, err = Start(t.Context(), testConfig(dir), slog.New(slog.DiscardHandler))
	if err == nil || !strings.Contains(err.Error(), fmt.Sprintf("in use by process %d", os.Getpid())) {
		t.Errorf("error is %v, want one that names process %d", err, os.Getpid())
	}
}

func TestStartRefusesADirectoryItCannotWrite(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := Start(t.Context(), testConfig(filepath.Join(file, "below")), slog.New(slog.DiscardHandler))
	if !errors.Is(err, syscall.ENOTDIR) || !strings.Contains(err.Error(), "--data-dir") {
		t.Errorf("error is %v, want one that names the directory and --data-dir", err)
	}
}
