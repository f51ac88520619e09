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
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

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

// parentState is what the program says once its servers run.
type parentState struct {
	Servers []Server
	Vars    map[string]string
}

func runParent(dir string) error {
	servers, err := Start(context.Background(), testConfig(dir), slog.New(slog.DiscardHandler))
	if err != nil {
		return err
	}
	if err := json.NewEncoder(os.Stdout).Encode(parentState{servers.List(), servers.Env()}); err != nil {
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

	for _, name := range []string{env.S3AccessKey, env.S3SecretKey, env.JWTSecret, env.StreamsPassword} {
		if before := servers.Env()[name]; before == "" || before != again.Env()[name] {
			t.Errorf("%s changed with the restart", name)
		}
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
	var before parentState
	if err := json.NewDecoder(stdout).Decode(&before); err != nil {
		t.Fatal(err)
	}
	c := newContent(before.Vars)
	c.write(t)

	if err := parent.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	parent.Wait()

	servers := start(t, dir) // waits until the last child has let go of the directory
	for _, s := range before.Servers {
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

func TestStartSaysHowToInstallWhatIsMissing(t *testing.T) {
	t.Setenv("PATH", t.TempDir()) // no `clickhouse` there
	_, err := Start(t.Context(), Config{DataDir: t.TempDir(), CacheDir: t.TempDir()}, slog.New(slog.DiscardHandler))
	if err == nil || !strings.Contains(err.Error(), "shop-connect install") {
		t.Errorf("error is %v, want one that names the command", err)
	}
}

func TestServersAreOutOfReachOfCtrlC(t *testing.T) {
	for _, s := range start(t, t.TempDir()).List() {
		group, err := syscall.Getpgid(s.PID)
		if err != nil {
			t.Fatal(err)
		}
		if group == syscall.Getpgrp() {
			t.Errorf("%s gets the terminal's signals, and would stop before the streams do", s.Name)
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
