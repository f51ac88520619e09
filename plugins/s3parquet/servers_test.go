package s3parquet_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"

	"github.com/shop-connect/shop-connect/internal/embedded/clickhouse"
	"github.com/shop-connect/shop-connect/internal/objectstore"
	"github.com/shop-connect/shop-connect/internal/testservers"
)

// The servers are this very binary, started again, as they are of shop-connect.
func TestMain(m *testing.M) { testservers.Main(m) }

// server is an embedded server of this binary; it ends when its standard input does.
type server struct {
	name   string
	config map[string]string
	probe  func() error

	stdin  io.Closer
	exited chan error
	log    bytes.Buffer
}

const startTimeout = 60 * time.Second

func (s *server) start() error {
	line, err := json.Marshal(s.config)
	if err != nil {
		return err
	}
	cmd := exec.Command(os.Args[0], "embedded", s.name)
	cmd.Stderr = &s.log
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	s.stdin, s.exited = stdin, make(chan error, 1)
	go func() { s.exited <- cmd.Wait() }()
	if _, err := stdin.Write(append(line, '\n')); err != nil {
		return err
	}
	deadline := time.After(startTimeout)
	for {
		answer := s.probe()
		if answer == nil {
			return nil
		}
		select {
		case err := <-s.exited:
			return fmt.Errorf("%s stopped: %w: %s", s.name, err, s.log.String())
		case <-deadline:
			return fmt.Errorf("%s does not answer: %w", s.name, answer)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func (s *server) stop() {
	if s.stdin != nil {
		s.stdin.Close()
		<-s.exited
		s.stdin = nil
	}
}

func freeAddress() (string, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return listener.Addr().String(), listener.Close()
}

// store is an S3 gateway.
type store struct {
	server
	objectstore.Config
	*minio.Client
}

func startStore(dir string) (*store, error) {
	address, err := freeAddress()
	if err != nil {
		return nil, err
	}
	s := &store{Config: objectstore.Config{Endpoint: "http://" + address, Region: "us-east-1", AccessKey: "shop", SecretKey: "shop-secret"}}
	if s.Client, err = s.Config.Client(); err != nil {
		return nil, err
	}
	s.server = server{
		name:   "s3",
		config: map[string]string{"address": address, "data_dir": dir, "user": s.AccessKey, "password": s.SecretKey},
		probe: func() error {
			ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
			defer cancel()
			_, err := s.ListBuckets(ctx)
			return err
		},
	}
	return s, s.start()
}

// newBucket makes a bucket of the test's own on the store that most tests share.
func newBucket(t testing.TB) (*store, string) {
	t.Helper()
	config, client := testservers.ObjectStore(t)
	s := &store{Config: config, Client: client}
	return s, makeBucket(t, s)
}

var buckets struct {
	sync.Mutex
	made int
}

func makeBucket(t testing.TB, s *store) string {
	t.Helper()
	buckets.Lock()
	buckets.made++
	name := fmt.Sprintf("bucket-%d", buckets.made)
	buckets.Unlock()
	if err := s.MakeBucket(t.Context(), name, minio.MakeBucketOptions{}); err != nil {
		t.Fatal(err)
	}
	return name
}

// objects returns all objects of a bucket by key.
func (s *store) objects(t testing.TB, bucket string) map[string][]byte {
	t.Helper()
	found := map[string][]byte{}
	for info := range s.ListObjectsIter(t.Context(), bucket, minio.ListObjectsOptions{Recursive: true}) {
		if info.Err != nil {
			t.Fatal(info.Err)
		}
		object, err := s.GetObject(t.Context(), bucket, info.Key, minio.GetObjectOptions{})
		if err != nil {
			t.Fatal(err)
		}
		found[info.Key], err = io.ReadAll(object)
		object.Close()
		if err != nil {
			t.Fatal(err)
		}
	}
	return found
}

// engine is ClickHouse, which reads what the output wrote: another reader proves a sink.
type engine struct{ server }

const enginePassword = "read-me"

func startEngine(t *testing.T) *engine {
	t.Helper()
	cache := os.Getenv("SHOP_CONNECT_CACHE")
	if cache == "" {
		cache = filepath.Join("..", "..", ".cache")
	}
	library, err := clickhouse.FindLibrary(cache)
	if err != nil {
		t.Fatalf("%v: run `make install`", err)
	}
	address, err := freeAddress()
	if err != nil {
		t.Fatal(err)
	}
	e := &engine{}
	e.server = server{
		name: "clickhouse",
		config: map[string]string{
			"address": address, "data_dir": t.TempDir(), "user": "reader", "password": enginePassword,
			"database": "analytics", "lib_path": library,
		},
		probe: func() error { _, err := e.query("SELECT 1"); return err },
	}
	t.Cleanup(e.stop)
	if err := e.start(); err != nil {
		t.Fatal(err)
	}
	return e
}

// query returns the answer, one line per row and tabs between columns.
func (e *engine) query(sql string) (string, error) {
	target := url.URL{Scheme: "http", User: url.UserPassword("reader", enginePassword), Host: e.config["address"], Path: "/"}
	response, err := http.Post(target.String(), "text/plain", strings.NewReader(sql+" FORMAT JSONEachRow"))
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode != http.StatusOK {
		err = errors.New(string(body))
	}
	return strings.TrimSpace(string(body)), err
}
