package e2e

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/shop-connect/shop-connect/internal/upproc"
)

func TestUpStartsInSecondsOnExistingData(t *testing.T) {
	data := t.TempDir()
	startUp(t, data, pipelinesDir).Kill()
	started := time.Now()
	up := startUp(t, data, pipelinesDir)
	// the figure is for people; what fails here is a start that hangs
	t.Logf("up after kill -9 took %s", time.Since(started).Round(10*time.Millisecond))
	if err := up.Stop(); err != nil {
		t.Error(err)
	}
}

func TestUpSaysWhatStandsInItsWay(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	_, port, err := net.SplitHostPort(taken.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		args []string
		want []string
	}{
		"a taken port of a server":   {[]string{"--port-kafka", port}, []string{port, "Kafka", "--port-kafka"}},
		"a taken port of the API":    {[]string{"--port-api", port}, []string{port, "--port-api"}},
		"a directory that is a file": {[]string{"--data-dir", file}, []string{file}},
		"no pipelines":               {[]string{"--pipelines", t.TempDir()}, []string{"--pipelines"}},
		"an unknown flag":            {[]string{"--nonsense"}, []string{"nonsense"}},
		"an argument":                {[]string{"now"}, []string{`"now"`}},
	} {
		t.Run(name, func(t *testing.T) {
			args := []string{"up", "--data-dir", t.TempDir(), "--pipelines", pipelinesDir,
				"--port-api=0", "--port-streams=0", "--port-kafka=0", "--port-s3=0", "--port-postgres=0", "--port-clickhouse=0"}
			output, err := exec.Command(binary, append(args, tc.args...)...).CombinedOutput()
			if err == nil {
				t.Fatalf("it exits with 0 and prints:\n%s", output)
			}
			for _, want := range tc.want {
				if !strings.Contains(string(output), want) {
					t.Errorf("it does not say %q:\n%s", want, output)
				}
			}
			if strings.Contains(string(output), "goroutine ") {
				t.Errorf("it panics:\n%s", output)
			}
		})
	}
}

func TestASecondUpOnTheSameDataIsRefused(t *testing.T) {
	data := t.TempDir()
	up := startUp(t, data, pipelinesDir)
	defer up.Stop()
	_, err := upproc.Start(t.Context(), upproc.Config{Binary: binary, DataDir: data, Pipelines: pipelinesDir})
	if err == nil || !strings.Contains(err.Error(), data) {
		t.Errorf("the second start: %v", err)
	}
}
