package clickhouse

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// The engine claims its process, so the test binary starts itself again as the process that Serve wants.
const serveVariable = "SHOP_CONNECT_TEST_CLICKHOUSE"

const (
	testUser     = "shop"
	testPassword = "p:ä ss'word"
)

func TestMain(m *testing.M) {
	if encoded := os.Getenv(serveVariable); encoded != "" {
		serveAsChild(encoded)
		return
	}
	os.Exit(m.Run())
}

// serveAsChild tells the address on stdout and ends when stdin does, so that no test leaves it behind.
func serveAsChild(encoded string) {
	var cfg Config
	if err := json.Unmarshal([]byte(encoded), &cfg); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		io.Copy(io.Discard, os.Stdin)
		cancel()
	}()
	cfg.Ready = func(addr net.Addr) {
		panics() // ends the process if the engine took the signals away from Go
		fmt.Println(addr)
	}
	if err := Serve(ctx, cfg); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func panics() {
	defer func() { _ = recover() }()
	fmt.Println(*(*int)(nil))
}

// library is the engine, installed into the cache if it is not there yet.
func library(t testing.TB) string {
	t.Helper()
	cache := os.Getenv("SHOP_CONNECT_CACHE")
	if cache == "" {
		cache = filepath.Join("..", "..", "..", ".cache")
	}
	path, err := InstallLibrary(t.Context(), cache, os.Stderr)
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// server is a child process that runs Serve.
type server struct {
	addr    string
	process *exec.Cmd
	stdin   io.Closer
	stderr  *strings.Builder
}

// start runs Serve on a data folder and waits until it answers. The child ends with the test.
func start(t testing.TB, dataDir string) *server {
	t.Helper()
	s, err := launch(t, Config{Addr: "127.0.0.1:0", DataDir: dataDir, User: testUser, Password: testPassword, Database: "analytics", LibPath: library(t)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.stop(); err != nil {
			t.Errorf("stopping ClickHouse: %v: %s", err, s.stderr)
		}
	})
	return s
}

func launch(t testing.TB, cfg Config) (*server, error) {
	t.Helper()
	encoded, err := json.Marshal(struct {
		Addr, DataDir, User, Password, Database, LibPath string
	}{cfg.Addr, cfg.DataDir, cfg.User, cfg.Password, cfg.Database, cfg.LibPath})
	if err != nil {
		return nil, err
	}
	s := &server{process: exec.Command(os.Args[0]), stderr: &strings.Builder{}}
	s.process.Env = append(os.Environ(), serveVariable+"="+string(encoded), "TZ=America/New_York")
	s.process.Stderr = s.stderr
	stdin, err := s.process.StdinPipe()
	if err != nil {
		return nil, err
	}
	s.stdin = stdin
	stdout, err := s.process.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := s.process.Start(); err != nil {
		return nil, err
	}
	s.addr, err = bufio.NewReader(stdout).ReadString('\n')
	s.addr = strings.TrimSpace(s.addr)
	if err != nil {
		return nil, fmt.Errorf("%w: %s", s.process.Wait(), s.stderr)
	}
	return s, nil
}

// stop ends the child as a supervisor would; it is nil once the child ended well. It is safe to call twice.
func (s *server) stop() error {
	if s.process.ProcessState != nil {
		return nil
	}
	s.stdin.Close()
	return s.process.Wait()
}

// kill is kill -9.
func (s *server) kill() {
	s.process.Process.Kill()
	s.process.Wait()
}
