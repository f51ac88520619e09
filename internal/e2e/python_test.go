package e2e

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

const schemathesisDir = "schemathesis"

// schemathesis returns a Python that has it.
func schemathesis(t *testing.T) (python string) {
	t.Helper()
	return filepath.Join(installed(t, "schemathesis", filepath.Join(schemathesisDir, "requirements.txt"), installPython), "bin", "python")
}

// installed returns a folder of the cache beside what the servers need, made from the file that lists what is
// in it. Its name has the hash of that file, so that another version is another folder.
func installed(t *testing.T, name, file string, install func(dir, file string) error) string {
	t.Helper()
	list, err := filepath.Abs(file)
	if err != nil {
		t.Fatal(err)
	}
	wanted, err := os.ReadFile(list)
	if err != nil {
		t.Fatal(err)
	}
	hash := sha256.Sum256(wanted)
	cache := os.Getenv("SHOP_CONNECT_CACHE")
	dir := filepath.Join(cache, name+"-"+hex.EncodeToString(hash[:6]))
	if _, err := os.Stat(dir); err == nil {
		return dir
	}
	work, err := os.MkdirTemp(cache, "."+name+"-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(work) })
	if err := install(work, list); err != nil {
		t.Fatalf("installing %s: %v", name, err)
	}
	// only a whole installation gets its final name, whoever else installs at the same time
	if err := os.Rename(work, dir); err != nil && !errors.Is(err, os.ErrExist) {
		t.Fatal(err)
	}
	return dir
}

// installPython makes a virtual environment. Debian's Python without python3-venv has no pip to put into
// one; pip_wheel.py stands in for it.
func installPython(dir, requirements string) error {
	python, err := exec.LookPath("python3")
	if err != nil {
		return fmt.Errorf("it needs Python 3.10 or later: install it, on Debian the packages python3 and python3-venv: %w", err)
	}
	pip := []string{"-m", "pip"}
	if made := command(python, "-m", "venv", dir); made != nil {
		if err := command(python, "-m", "venv", "--clear", "--without-pip", dir); err != nil {
			return errors.Join(made, err)
		}
		pip = []string{filepath.Join(schemathesisDir, "pip_wheel.py")}
	}
	return command(filepath.Join(dir, "bin", "python"), append(pip, "install", "--quiet", "--disable-pip-version-check",
		"--require-hashes", "--only-binary=:all:", "-r", requirements)...)
}

func command(name string, arguments ...string) error {
	if output, err := exec.Command(name, arguments...).CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w: %s", filepath.Base(name), err, output)
	}
	return nil
}

func TestAPipThatIsNotTheKnownOneIsNotRun(t *testing.T) {
	index := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/simple/pip/" {
			_, _ = io.WriteString(w, `<a href="../../files/pip-1.0.tar.gz">old</a><a href="../../files/pip-25.3-py3-none-any.whl#sha256=0">pip</a>`)
			return
		}
		_, _ = io.WriteString(w, "not the wheel")
	}))
	defer index.Close()
	t.Setenv("PIP_INDEX_URL", index.URL+"/simple")
	t.Setenv("NO_PROXY", "127.0.0.1")
	err := command("python3", filepath.Join(schemathesisDir, "pip_wheel.py"), "--version")
	if err == nil || !strings.Contains(err.Error(), "it is not run") {
		t.Errorf("got %v", err)
	}
}
