package clickhouse

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
)

// libraryVersion is named exactly: the dist-tag `latest` is an older build that lacks chdb_stream_insert.
const libraryVersion = "26.7.3-stable.1"

// libraryPackages are the npm packages of the engine by GOOS/GOARCH. The Linux builds need glibc.
var libraryPackages = map[string]string{
	"linux/amd64":  "@chdb/lib-linux-x64-gnu",
	"linux/arm64":  "@chdb/lib-linux-arm64-gnu",
	"darwin/amd64": "@chdb/lib-darwin-x64",
	"darwin/arm64": "@chdb/lib-darwin-arm64",
}

// libraryFile is the library's name inside its package, on macOS too.
const libraryFile = "libchdb.so"

// ErrNoLibrary says that the engine is not in the cache folder; InstallLibrary puts it there.
var ErrNoLibrary = errors.New("the ClickHouse engine is not installed")

func libraryPackage() (string, error) {
	platform := runtime.GOOS + "/" + runtime.GOARCH
	name, ok := libraryPackages[platform]
	if !ok {
		return "", fmt.Errorf("there is no embedded ClickHouse for %s: install ClickHouse so that `clickhouse` is on PATH", platform)
	}
	return name, nil
}

func libraryPath(cacheDir, pkg string) string {
	return filepath.Join(cacheDir, strings.TrimPrefix(pkg, "@chdb/")+"-"+libraryVersion, libraryFile)
}

// FindLibrary returns the engine's library in cacheDir, or an error that is ErrNoLibrary when it is not there.
func FindLibrary(cacheDir string) (string, error) {
	pkg, err := libraryPackage()
	if err != nil {
		return "", err
	}
	path, err := filepath.Abs(libraryPath(cacheDir, pkg))
	if err != nil {
		return "", fmt.Errorf("resolving cache folder %q: %w", cacheDir, err)
	}
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("%w in %q", ErrNoLibrary, cacheDir)
	} else if err != nil {
		return "", fmt.Errorf("looking for the ClickHouse engine: %w", err)
	}
	return path, nil
}

// InstallLibrary fetches the engine into cacheDir through the npm client, which verifies it, and returns its path;
// one that is there already is returned at once. What is going on is told to progress, line by line.
func InstallLibrary(ctx context.Context, cacheDir string, progress io.Writer) (string, error) {
	path, err := FindLibrary(cacheDir)
	if !errors.Is(err, ErrNoLibrary) {
		return path, err
	}
	pkg, err := libraryPackage()
	if err != nil {
		return "", err
	}
	npm, err := exec.LookPath("npm")
	if err != nil {
		return "", fmt.Errorf("fetching the ClickHouse engine needs npm: install Node.js, which brings npm, or install ClickHouse so that `clickhouse` is on PATH: %w", err)
	}
	if err := os.MkdirAll(cacheDir, 0o755); err != nil {
		return "", fmt.Errorf("creating cache folder: %w", err)
	}
	work, err := os.MkdirTemp(cacheDir, ".clickhouse-")
	if err != nil {
		return "", fmt.Errorf("creating a folder to unpack in: %w", err)
	}
	defer os.RemoveAll(work)

	spec := pkg + "@" + libraryVersion
	fmt.Fprintf(progress, "fetching the ClickHouse engine, npm package %s (about 180 MB)\n", spec)
	var complaints bytes.Buffer
	pack := exec.CommandContext(ctx, npm, "pack", spec, "--loglevel=error")
	pack.Dir, pack.Stderr = work, &complaints
	if err := pack.Run(); err != nil {
		return "", fmt.Errorf("fetching npm package %s: %w: %s", spec, err, npmReason(complaints.String()))
	}
	archives, err := filepath.Glob(filepath.Join(work, "*.tgz"))
	if err != nil || len(archives) != 1 {
		return "", fmt.Errorf("fetching npm package %s: npm pack left %d archives where one was expected", spec, len(archives))
	}
	fmt.Fprintf(progress, "unpacking %s (about 570 MB)\n", libraryFile)
	unpacked := filepath.Join(work, libraryFile)
	if err := unpackLibrary(archives[0], unpacked); err != nil {
		return "", fmt.Errorf("unpacking npm package %s: %w", spec, err)
	}

	// Only a whole library gets its final name, whoever else installs at the same time.
	path, err = filepath.Abs(libraryPath(cacheDir, pkg))
	if err != nil {
		return "", fmt.Errorf("resolving cache folder %q: %w", cacheDir, err)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return "", fmt.Errorf("creating the engine's folder: %w", err)
	}
	if err := os.Rename(unpacked, path); err != nil {
		return "", fmt.Errorf("installing the ClickHouse engine: %w", err)
	}
	return path, nil
}

// npmReason is what npm complains about, without the stack trace that follows.
func npmReason(complaints string) string {
	var reasons []string
	for line := range strings.Lines(complaints) {
		reason, ok := strings.CutPrefix(strings.TrimSpace(line), "npm error ")
		if ok && len(reasons) < 4 {
			reasons = append(reasons, reason)
		}
	}
	return strings.Join(reasons, "; ")
}

// unpackLibrary copies the library out of an npm package.
func unpackLibrary(archive, target string) error {
	packed, err := os.Open(archive)
	if err != nil {
		return err
	}
	defer packed.Close()
	plain, err := gzip.NewReader(packed)
	if err != nil {
		return err
	}
	entries := tar.NewReader(plain)
	for {
		entry, err := entries.Next()
		if errors.Is(err, io.EOF) {
			return fmt.Errorf("%s is not in it", libraryFile)
		}
		if err != nil {
			return err
		}
		if filepath.Base(entry.Name) == libraryFile {
			break
		}
	}
	library, err := os.OpenFile(target, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o755)
	if err != nil {
		return err
	}
	if _, err := io.Copy(library, entries); err != nil {
		return errors.Join(err, library.Close())
	}
	return errors.Join(library.Sync(), library.Close())
}
