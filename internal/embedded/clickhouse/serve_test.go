package clickhouse

import (
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	ch "github.com/ClickHouse/clickhouse-go/v2"
)

func TestAcknowledgedRowsSurviveKill(t *testing.T) {
	dir := t.TempDir()
	const perInsert, writers, wanted = 2_000, 4, 40
	acknowledged := map[uint64]bool{}
	for life := range uint64(3) {
		s := start(t, dir)
		if life == 0 {
			s.query(t, "CREATE TABLE acked (batch UInt64, n UInt64) ENGINE = MergeTree ORDER BY (batch, n)")
		}
		conn := s.dial(t, ch.CompressionNone)
		var mutex sync.Mutex
		var group sync.WaitGroup
		var number atomic.Uint64
		enough := make(chan struct{})
		for range writers {
			group.Go(func() {
				for {
					batch := life<<32 | number.Add(1)
					if conn.Exec(t.Context(), fmt.Sprintf("INSERT INTO acked SELECT %d, number FROM numbers(%d)", batch, perInsert/2)) != nil ||
						insertNumbers(t, conn, batch, perInsert/2) != nil {
						return // killed
					}
					mutex.Lock()
					acknowledged[batch] = true
					if len(acknowledged) == wanted*int(life+1) {
						close(enough)
					}
					mutex.Unlock()
				}
			})
		}
		<-enough
		s.kill()
		group.Wait()
	}
	s := start(t, dir)
	complete := map[uint64]bool{}
	for line := range strings.Lines(s.query(t, fmt.Sprintf("SELECT batch FROM acked GROUP BY batch HAVING count() = %d", perInsert)) + "\n") {
		var batch uint64
		if _, err := fmt.Sscan(line, &batch); err != nil {
			t.Fatal(err)
		}
		complete[batch] = true
	}
	for batch := range acknowledged {
		if !complete[batch] {
			t.Errorf("batch %d was acknowledged and is not there whole", batch)
		}
	}
	if len(acknowledged) < 3*wanted {
		t.Errorf("only %d batches were acknowledged", len(acknowledged))
	}
}

// insertNumbers sends n rows of a batch as Native.
func insertNumbers(t *testing.T, conn ch.Conn, batch uint64, n int) error {
	rows, err := conn.PrepareBatch(t.Context(), "INSERT INTO acked")
	if err != nil {
		return err
	}
	for i := range n {
		if err := rows.Append(batch, uint64(n+i)); err != nil {
			return err
		}
	}
	return rows.Send()
}

func TestADataFolderServesOneProcess(t *testing.T) {
	dir := t.TempDir()
	first := start(t, dir)
	second, err := launch(t, Config{Addr: "127.0.0.1:0", DataDir: dir, User: testUser, Password: testPassword, LibPath: library(t)})
	if err == nil {
		second.kill()
		t.Fatal("a second process opened the same data folder")
	}
	if !strings.Contains(err.Error(), "no other process may use") {
		t.Errorf("error = %v, want one that names the cause", err)
	}
	if got := first.query(t, "SELECT 1"); got != "1" {
		t.Errorf("the first process answers %q", got)
	}
}

func TestConfigFaultsAreReportedAtOnce(t *testing.T) {
	err := Serve(t.Context(), Config{Addr: "0.0.0.0:8123", User: "shop"})
	for _, want := range []string{"not a loopback address", "data folder", "password"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error = %v, want one that names %q", err, want)
		}
	}
}

func TestInstallingWithoutNpmSaysWhatToInstall(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	cache := t.TempDir()
	if _, err := FindLibrary(cache); !errors.Is(err, ErrNoLibrary) {
		t.Errorf("FindLibrary: %v, want ErrNoLibrary", err)
	}
	if _, err := InstallLibrary(t.Context(), cache, io.Discard); err == nil || !strings.Contains(err.Error(), "install Node.js") {
		t.Errorf("InstallLibrary: %v, want to be told to install Node.js", err)
	}
}

func TestAServerOnPathIsConfigured(t *testing.T) {
	bin, cfg := t.TempDir(), Config{Addr: "127.0.0.1:8123", DataDir: t.TempDir() + "/a&b", User: "shop", Password: "secret", Database: "analytics"}
	t.Setenv("PATH", bin+":"+os.Getenv("PATH"))
	install := func(version string) {
		script := "#!/bin/sh\necho 'ClickHouse local version " + version + " (official build).'\n"
		if err := os.WriteFile(filepath.Join(bin, "clickhouse"), []byte(script), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	install("18.16.1")
	if path, ok := FindServer(); ok {
		t.Errorf("FindServer() = %q, want the server of 2018 to be passed over", path)
	}
	install("26.8.1.1")
	command, err := ServerCommand(cfg)
	if err != nil {
		t.Fatal(err)
	}
	config := strings.TrimPrefix(command.Args[2], "--config-file=")
	for path, wants := range map[string][]string{
		config: {"<http_port>8123<", "<listen_host>127.0.0.1<", "<default_database>analytics<", "a&amp;b"},
		filepath.Join(filepath.Dir(config), "users.xml"): {"<shop>", "2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b"},
	} {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := xml.Unmarshal(text, new(struct{})); err != nil {
			t.Errorf("%s: %v", path, err)
		}
		for _, want := range wants {
			if !strings.Contains(string(text), want) {
				t.Errorf("%s lacks %q:\n%s", path, want, text)
			}
		}
		if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: mode %v, %v; want 0600", path, info.Mode(), err)
		}
	}
}
