package clickhousesink

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	chdriver "github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"github.com/shop-connect/shop-connect/internal/embedded/clickhouse"
)

// The engine claims its process, so the test binary starts itself again to serve it.
const (
	serveVariable = "SHOP_CONNECT_TEST_CLICKHOUSE_DATA"
	testPassword  = "secret"
	database      = "analytics"
)

var root = filepath.Join("..", "..")

func TestMain(m *testing.M) {
	if dataDir := os.Getenv(serveVariable); dataDir != "" {
		serve(dataDir)
		return
	}
	code := m.Run()
	stopServer()
	os.Exit(code)
}

// serve ends when its standard input does, so that no test leaves it behind.
func serve(dataDir string) {
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		cancel()
	}()
	library, err := clickhouse.InstallLibrary(ctx, cacheDir(), os.Stderr)
	if err == nil {
		err = clickhouse.Serve(ctx, clickhouse.Config{
			Addr: "127.0.0.1:0", DataDir: dataDir, User: "shop", Password: testPassword, Database: database, LibPath: library,
			Ready: func(addr net.Addr) { fmt.Println(addr) },
		})
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func cacheDir() string {
	if dir := os.Getenv("SHOP_CONNECT_CACHE"); dir != "" {
		return dir
	}
	return filepath.Join(root, ".cache")
}

// stopServer ends the server that the tests share; the first test that needs one starts it.
var stopServer = func() {}

var sharedDSN = sync.OnceValues(func() (string, error) {
	dataDir, err := os.MkdirTemp("", "clickhousesink-")
	if err != nil {
		return "", err
	}
	self, err := os.Executable()
	if err != nil {
		return "", err
	}
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), serveVariable+"="+dataDir)
	cmd.Stderr = os.Stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return "", err
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return "", err
	}
	if err := cmd.Start(); err != nil {
		return "", err
	}
	serverPID = cmd.Process.Pid
	stopServer = func() {
		_ = stdin.Close()
		_ = cmd.Wait()
		_ = os.RemoveAll(dataDir)
	}
	address, err := bufio.NewReader(stdout).ReadString('\n')
	if err != nil {
		return "", fmt.Errorf("waiting for ClickHouse to answer: %w", err)
	}
	dsn := url.URL{Scheme: "http", User: url.UserPassword("shop", testPassword), Host: strings.TrimSpace(address), Path: database}
	return dsn.String(), nil
})

var serverPID int

// shop returns a connection to empty tables as shop-connect provisions them, and its DSN.
func shop(t testing.TB) (driver.Conn, string) {
	t.Helper()
	dsn, err := sharedDSN()
	if err != nil {
		t.Fatal(err)
	}
	admin := connect(t, strings.TrimSuffix(dsn, database)+"default")
	execute(t, admin, "DROP DATABASE IF EXISTS "+database+" SYNC", "CREATE DATABASE "+database)
	conn := connect(t, dsn)
	files, err := filepath.Glob(filepath.Join(root, "internal", "provision", "clickhouse", "*.sql"))
	if err != nil || len(files) == 0 {
		t.Fatal("no tables to create: ", err)
	}
	slices.Sort(files)
	for _, file := range files {
		statement, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		execute(t, conn, string(statement))
	}
	return conn, dsn
}

func connect(t testing.TB, dsn string) driver.Conn {
	t.Helper()
	options, err := chdriver.ParseDSN(dsn)
	if err != nil {
		t.Fatal(err)
	}
	conn, err := chdriver.Open(options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

func execute(t testing.TB, conn driver.Conn, statements ...string) {
	t.Helper()
	for _, statement := range statements {
		if err := conn.Exec(t.Context(), statement); err != nil {
			t.Fatalf("%s\n%v", statement, err)
		}
	}
}

// lines returns the rows of a query, with | between the values.
func lines(t testing.TB, conn driver.Conn, query string) []string {
	t.Helper()
	result, err := conn.QueryFormat(t.Context(), "TSV", query)
	if err != nil {
		t.Fatalf("%s\n%v", query, err)
	}
	defer result.Close()
	text, err := io.ReadAll(result)
	if err != nil {
		t.Fatalf("%s\n%v", query, err)
	}
	return strings.Fields(strings.ReplaceAll(string(text), "\t", "|"))
}
