package provision

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/fstest"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/jackc/pgx/v5"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/shop-connect/shop-connect/internal/embedded"
	"github.com/shop-connect/shop-connect/internal/env"
)

// vars lead to the servers that all tests of this package share.
var vars map[string]string

// dataDir is theirs.
var dataDir string

func TestMain(m *testing.M) {
	if handled, err := embedded.RunChild(context.Background(), os.Args[1:]); handled {
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	code, err := runOnServers(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

func runOnServers(m *testing.M) (int, error) {
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "provision-")
	if err != nil {
		return 0, err
	}
	defer os.RemoveAll(dir)
	cache := os.Getenv("SHOP_CONNECT_CACHE")
	if cache == "" {
		cache = filepath.Join("..", "..", ".cache")
	}
	if err := embedded.Install(ctx, cache, io.Discard); err != nil {
		return 0, err
	}
	servers, err := embedded.Start(ctx, embedded.Config{DataDir: dir, CacheDir: cache}, slog.New(slog.DiscardHandler))
	if err != nil {
		return 0, err
	}
	defer servers.Close()
	vars, dataDir = servers.Env(), dir
	return m.Run(), nil
}

func TestAllMayRunAgainAndInSeveralReplicasAtOnce(t *testing.T) {
	var wg sync.WaitGroup
	for range 3 {
		wg.Go(func() {
			if err := All(t.Context(), vars); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()

	client, err := kgo.NewClient(kgo.SeedBrokers(vars[env.KafkaBrokers]))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	admin := kadm.NewClient(client)
	details, err := admin.ListTopics(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, topic := range topics {
		if got := len(details[topic.Name].Partitions); got != int(topic.Partitions) {
			t.Errorf("topic %s has %d partitions, want %d", topic.Name, got, topic.Partitions)
		}
		for key, want := range topic.Config {
			if got := setting(t, admin, topic.Name, key); got != want {
				t.Errorf("topic %s has %s %s, want %s", topic.Name, key, got, want)
			}
		}
	}

	db, err := pgx.Connect(t.Context(), vars[env.PostgresDSN])
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close(context.Background())
	var migrated bool
	if err := db.QueryRow(t.Context(), "SELECT to_regclass('goose_db_version') IS NOT NULL").Scan(&migrated); err != nil {
		t.Fatal(err)
	}
	if !migrated {
		t.Error("PostgreSQL has no tables")
	}
}

func setting(t *testing.T, admin *kadm.Client, topic, key string) string {
	t.Helper()
	configs, err := admin.DescribeTopicConfigs(t.Context(), topic)
	if err != nil {
		t.Fatal(err)
	}
	described, err := configs.On(topic, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, config := range described.Configs {
		if config.Key == key {
			return config.MaybeValue()
		}
	}
	return ""
}

func TestATopicThatAProducerMadeFirstIsCompactedAllTheSame(t *testing.T) {
	client, err := kgo.NewClient(kgo.SeedBrokers(vars[env.KafkaBrokers]))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	admin := kadm.NewClient(client)
	early := Topic{Name: "early", Partitions: 2, Config: erasable}
	if _, err := admin.CreateTopic(t.Context(), 2, brokerDefault, nil, early.Name); err != nil {
		t.Fatal(err)
	}
	if err := createTopic(t.Context(), admin, early); err != nil {
		t.Fatal(err)
	}
	if got := setting(t, admin, early.Name, "cleanup.policy"); got != "compact" {
		t.Errorf("cleanup.policy is %s", got)
	}
}

func clickhouseConn(t *testing.T) driver.Conn {
	t.Helper()
	options, err := clickhouse.ParseDSN(vars[env.ClickHouseDSN])
	if err != nil {
		t.Fatal(err)
	}
	conn, err := clickhouse.Open(options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

func TestEachClickHouseFileRunsOnceAndInOrder(t *testing.T) {
	files := fstest.MapFS{
		"clickhouse/t0001_table.sql": {Data: []byte("CREATE TABLE migrated (n Int64) ENGINE = MergeTree ORDER BY n;\n")},
		"clickhouse/t0002_row.sql":   {Data: []byte("-- one row; with a semicolon\nINSERT INTO migrated SELECT 1;\n")},
		"clickhouse/README.md":       {Data: []byte("not SQL")},
	}
	conn := clickhouseConn(t)
	for range 2 {
		if err := runMigrations(t.Context(), conn, "", files); err != nil {
			t.Fatal(err)
		}
	}
	var rows, recorded uint64
	if err := conn.QueryRow(t.Context(), "SELECT count() FROM migrated").Scan(&rows); err != nil {
		t.Fatal(err)
	}
	const ledger = "SELECT count() FROM schema_migrations WHERE name IN ('t0001_table.sql', 't0002_row.sql')"
	if err := conn.QueryRow(t.Context(), ledger).Scan(&recorded); err != nil {
		t.Fatal(err)
	}
	if rows != 1 || recorded != 2 {
		t.Errorf("%d rows and %d recorded files, want 1 and 2", rows, recorded)
	}
}

func TestAFaultyClickHouseFileIsNamedAndNotRecorded(t *testing.T) {
	conn := clickhouseConn(t)
	files := fstest.MapFS{"clickhouse/t0003_fault.sql": {Data: []byte("CREATE NONSENSE")}}
	for range 2 {
		err := runMigrations(t.Context(), conn, "", files)
		if err == nil || !strings.Contains(err.Error(), "running t0003_fault.sql") {
			t.Errorf("error is %v, want one that names the file", err)
		}
	}
}

func TestMissingVariablesAreNamedBeforeAnyConnectionIsMade(t *testing.T) {
	err := All(t.Context(), map[string]string{env.KafkaBrokers: "127.0.0.1:1"})
	if err == nil || !strings.Contains(err.Error(), env.PostgresDSN) || !strings.Contains(err.Error(), env.S3Endpoint) {
		t.Errorf("error is %v, want one that names each missing variable", err)
	}
}
