package chaos

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/shop-connect/shop-connect/internal/embedded"
)

// program is shop-connect, built once.
var program string

// TestMain makes the test binary the servers' too, and builds the program under test.
func TestMain(m *testing.M) {
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
	dir, err := os.MkdirTemp("", "shop-connect-chaos-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	program = filepath.Join(dir, "shop-connect")
	build := exec.Command("go", "build", "-o", program, "../../cmd/shop-connect")
	build.Stderr = os.Stderr
	if err := build.Run(); err != nil {
		fmt.Fprintln(os.Stderr, "building shop-connect:", err)
		return 1
	}
	cache := os.Getenv("SHOP_CONNECT_CACHE")
	if cache == "" {
		if cache, err = filepath.Abs(filepath.Join("..", "..", ".cache")); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
	}
	if err := os.Setenv("SHOP_CONNECT_CACHE", cache); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	if err := embedded.Install(context.Background(), cache, os.Stderr); err != nil {
		fmt.Fprintln(os.Stderr, "installing the servers:", err)
		return 1
	}
	return m.Run()
}

// testLog writes what a run says to the test's log.
type testLog struct {
	mu sync.Mutex
	t  *testing.T
}

func (l *testLog) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.t.Log(strings.TrimRight(string(p), "\n"))
	return len(p), nil
}

func TestNothingIsLostAndNothingCountsTwiceWhateverIsKilled(t *testing.T) {
	if testing.Short() {
		t.Skip("it takes minutes")
	}
	root, err := filepath.Abs(filepath.Join("..", ".."))
	if err != nil {
		t.Fatal(err)
	}
	err = Run(t.Context(), Config{
		Binary: program, Pipelines: filepath.Join(root, "pipelines"), Streams: filepath.Join(root, "streams"), Dir: t.TempDir(),
		Seed: 20_260, Rate: 150, Scenarios: []string{"kill-replicas", "kill-everything", "disk-full", "upkeep", "mix"}, KillsPerRound: 12,
		Lasts: 2 * time.Second, Bound: 3 * time.Minute, User: "admin", Password: "admin", Out: &testLog{t: t},
	})
	if err != nil {
		t.Fatal(err)
	}
}
