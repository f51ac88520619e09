package runs_test

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"
	_ "github.com/redpanda-data/benthos/v4/public/components/pure"
	"github.com/redpanda-data/benthos/v4/public/service"

	_ "github.com/shop-connect/shop-connect/plugins/batchrun"
	_ "github.com/shop-connect/shop-connect/plugins/s3parquet"
	_ "github.com/shop-connect/shop-connect/plugins/stagevalidate"

	"github.com/shop-connect/shop-connect/internal/env"
	"github.com/shop-connect/shop-connect/internal/runs"
	"github.com/shop-connect/shop-connect/internal/store"
	"github.com/shop-connect/shop-connect/internal/testservers"
)

// childStreams makes this test binary a streams server: Connect keeps too much of itself in globals to
// be started and killed within a process.
const childStreams = "streams"

func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == childStreams {
		code, err := service.RunCLIToCode(context.Background(), service.CLIOptSetArgs(os.Args...))
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
		}
		os.Exit(code)
	}
	testservers.Main(m)
}

const (
	user, password = "shop", "secret"
	contracts      = "../../pipelines/contracts"
)

// server is a streams server with a ledger and an object store of its own.
type server struct {
	*runs.Client
	t       *testing.T
	process *exec.Cmd
	objects *minio.Client
	vars    map[string]string
}

func startServer(t *testing.T) *server {
	t.Helper()
	config, objects := testservers.ObjectStore(t)
	s := &server{t: t, objects: objects, vars: map[string]string{
		env.S3Endpoint: config.Endpoint, env.S3Region: config.Region, env.S3AccessKey: config.AccessKey, env.S3SecretKey: config.SecretKey,
		env.PostgresDSN: testservers.Postgres(t), env.ContractsDir: contracts, env.KafkaBrokers: testservers.Env(t)[env.KafkaBrokers],
	}}
	ledger, err := store.Open(t.Context(), s.vars[env.PostgresDSN])
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(ledger.Close)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := listener.Addr().String()
	listener.Close()
	hash := sha256.Sum256([]byte(password))
	root := write(t, "root.yaml", fmt.Sprintf("http:\n  address: %s\n  basic_auth:\n    enabled: true\n    username: %s\n    password_hash: %s\n    algorithm: sha256\nlogger: { level: NONE }\n",
		address, user, base64.StdEncoding.EncodeToString(hash[:])))
	s.process = exec.Command(os.Args[0], childStreams, "-o", root)
	s.process.Env = os.Environ()
	for name, value := range s.vars {
		s.process.Env = append(s.process.Env, name+"="+value)
	}
	s.process.Stderr = os.Stderr
	if err := s.process.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.kill)
	s.Client = &runs.Client{StreamsURL: "http://" + address, User: user, Password: password, Store: ledger}
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		response, err := http.Get(s.StreamsURL + "/ping")
		if err == nil {
			response.Body.Close()
			return s
		}
		if time.Now().After(deadline) {
			t.Fatal(err)
		}
	}
}

func (s *server) kill() {
	_ = s.process.Process.Kill()
	_ = s.process.Wait()
}

// start starts the batch stream of a file.
func (s *server) start(path string, params map[string]string) (store.Run, error) {
	s.Dir = filepath.Dir(path)
	return s.Start(s.t.Context(), runs.Request{Name: strings.TrimSuffix(filepath.Base(path), ".yaml"), Params: params})
}

// run runs a batch stream to its end.
func (s *server) run(path string, params map[string]string) store.Run {
	s.t.Helper()
	run, err := s.start(path, params)
	if err != nil {
		s.t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(s.t.Context(), 60*time.Second)
	defer cancel()
	if run, err = s.Follow(ctx, run.ID, nil); err != nil {
		s.t.Fatal(err)
	}
	return run
}

func write(t *testing.T, name, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func (s *server) awaitStatus(id string, status store.Status) {
	s.t.Helper()
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		run, err := s.Store.Run(s.t.Context(), id)
		if err == nil && run.Status == status {
			return
		}
		if time.Now().After(deadline) {
			s.t.Fatalf("got %+v, %v", run, err)
		}
	}
}
