// Package e2e tests the program the way it is used: `shop-connect up` as a process, real servers, the
// shipped pipelines, clients over the wire.
package e2e

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/shop-connect/shop-connect/internal/embedded"
	"github.com/shop-connect/shop-connect/internal/env"
	"github.com/shop-connect/shop-connect/internal/upproc"
)

// binary is the program under test, built once.
var binary string

func TestMain(m *testing.M) {
	// a test that starts servers itself has this binary as their program
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
	dir, err := os.MkdirTemp("", "shop-connect-e2e-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	binary = filepath.Join(dir, "shop-connect")
	build := exec.Command("go", "build", "-o", binary, "../../cmd/shop-connect")
	build.Stderr = os.Stderr
	if err := build.Run(); err != nil {
		fmt.Fprintln(os.Stderr, "building shop-connect:", err)
		return 1
	}
	cache, err := filepath.Abs(filepath.Join("..", "..", ".cache"))
	if set := os.Getenv("SHOP_CONNECT_CACHE"); set != "" {
		cache = set
	}
	if err == nil {
		err = os.Setenv("SHOP_CONNECT_CACHE", cache)
	}
	if err == nil {
		err = embedded.Install(context.Background(), cache, os.Stderr)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "installing the servers:", err)
		return 1
	}
	if err := os.Setenv(env.StreamsDir, filepath.Join("..", "..", "streams")); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return m.Run()
}

// retailDir is where the days of the Online Retail data are.
func retailDir() string {
	if dir := os.Getenv("ONLINE_RETAIL_DIR"); dir != "" {
		return dir
	}
	return filepath.Join("..", "..", "..", "shared", "data", "online-retail")
}

const pipelinesDir = "../../pipelines"

// startUp starts the stack; what it prints is shown when the test fails.
func startUp(t *testing.T, dataDir, pipelines string) *upproc.Process {
	t.Helper()
	output := &syncBuffer{}
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	up, err := upproc.Start(ctx, upproc.Config{Binary: binary, DataDir: dataDir, Pipelines: pipelines, Output: output, Errors: output})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("shop-connect printed:\n%s", output)
		}
	})
	return up
}

// withUp runs a test on a stack of its own with a copy of the shipped pipelines.
func withUp(t *testing.T) (up *upproc.Process, pipelines string) {
	t.Helper()
	pipelines = filepath.Join(t.TempDir(), "pipelines")
	if err := os.CopyFS(pipelines, os.DirFS(pipelinesDir)); err != nil {
		t.Fatal(err)
	}
	up = startUp(t, t.TempDir(), pipelines)
	t.Cleanup(func() {
		if err := up.Stop(); err != nil {
			t.Error(err)
		}
	})
	return up, pipelines
}

// shopConnect runs a command of the program beside a running stack.
func shopConnect(t *testing.T, up *upproc.Process, args ...string) (string, error) {
	t.Helper()
	cmd := exec.Command(binary, args...)
	cmd.Dir = filepath.Join("..", "..")
	cmd.Env = os.Environ()
	for name, value := range up.Env {
		cmd.Env = append(cmd.Env, name+"="+value)
	}
	output, err := cmd.CombinedOutput()
	return string(output), err
}

func apiURL(up *upproc.Process) string { return "http://" + up.Env[env.APIAddress] }

// eventually waits for a condition that another process brings about; there is no signal to wait on
// across processes, so it asks again and again, up to a limit.
func eventually(t *testing.T, limit time.Duration, what string, condition func() (bool, string)) {
	t.Helper()
	deadline := time.Now().Add(limit)
	for {
		ok, seen := condition()
		if ok {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s: not within %s; last seen: %s", what, limit, seen)
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// syncBuffer is a buffer that a process writes to while a test reads it.
type syncBuffer struct {
	mu     sync.Mutex
	buffer bytes.Buffer
}

var _ io.Writer = (*syncBuffer)(nil)

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buffer.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buffer.String()
}
