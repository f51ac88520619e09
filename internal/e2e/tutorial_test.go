package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/shop-connect/shop-connect/internal/upproc"
)

// newcomer is a folder as somebody has it who has cloned and built: pipelines that may be edited, and the program.
func newcomer(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for from, to := range map[string]string{pipelinesDir: "pipelines", "../../streams": "streams"} {
		if err := os.CopyFS(filepath.Join(dir, to), os.DirFS(from)); err != nil {
			t.Fatal(err)
		}
	}
	program, err := filepath.Abs(binary)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(dir, "bin"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(program, filepath.Join(dir, "bin", "shop-connect")); err != nil {
		t.Fatal(err)
	}
	return dir
}

// The page is one story: its blocks run in one shell, one after the other.
func TestTheTutorialWorksAsWritten(t *testing.T) {
	text, err := os.ReadFile("../../docs/tutorial.md")
	if err != nil {
		t.Fatal(err)
	}
	var story strings.Builder
	for _, block := range fence.FindAllStringSubmatch(string(text), -1) {
		if block[1] != "sh" {
			t.Fatalf("the tutorial has a block of %s, which nothing runs", block[1])
		}
		story.WriteString(block[2])
	}
	t.Chdir(newcomer(t))
	up := startUp(t, ".shop", "pipelines")
	defer stop(t, up)
	runExample(t, up, []string{"bash", "-euo", "pipefail", "-c"}, story.String())
}

func stop(t *testing.T, up *upproc.Process) {
	t.Helper()
	if err := up.Stop(); err != nil {
		t.Error(err)
	}
}
