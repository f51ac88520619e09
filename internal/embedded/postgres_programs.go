package embedded

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
)

// postgresOldest is the oldest release that is still maintained.
const postgresOldest = 14

// postgresPrograms is a directory with the programs of one PostgreSQL release.
type postgresPrograms struct {
	dir   string
	major int
	full  string
}

func (p postgresPrograms) String() string { return p.full + " in " + p.dir }

// localeArgs make text UTF-8 with upper and lower case of all languages and an order that does not
// depend on the machine.
func (p postgresPrograms) localeArgs() []string {
	if p.major >= 17 {
		return []string{"--locale-provider", "builtin", "--builtin-locale", "C.UTF-8", "--locale", "C"}
	}
	return []string{"--locale", "C.UTF-8"}
}

// postgresPlaces are where packages put the programs, a release in a directory of its own.
var postgresPlaces = []string{
	"/usr/lib/postgresql/*/bin",          // Debian, Ubuntu
	"/usr/pgsql-*/bin",                   // Red Hat, by the PostgreSQL project
	"/usr/libexec/postgresql*",           // Alpine
	"/opt/homebrew/opt/postgresql@*/bin", // macOS
	"/usr/local/opt/postgresql@*/bin",    // macOS on Intel
	"/Library/PostgreSQL/*/bin",          // macOS, installer
	"/Applications/Postgres.app/*/*/*/bin",
}

// findPostgres returns the newest programs there are, or, for a cluster that exists, those of its
// release: no other can open it.
func findPostgres(ctx context.Context, cacheDir, clusterMajor string) (postgresPrograms, error) {
	found := append(systemPostgres(ctx), cachedPostgres(ctx, cacheDir)...)
	if clusterMajor != "" {
		major, _ := strconv.Atoi(clusterMajor)
		found = slices.DeleteFunc(found, func(p postgresPrograms) bool { return p.major != major })
		if len(found) == 0 {
			return postgresPrograms{}, fmt.Errorf("PostgreSQL %s made the data and is not on this machine: install that release, or use another --data-dir", clusterMajor)
		}
	}
	if len(found) == 0 {
		return postgresPrograms{}, fmt.Errorf("there is no PostgreSQL %d or newer on this machine: run `shop-connect install`, or install one with the system's package manager", postgresOldest)
	}
	return found[0], nil
}

// systemPostgres lists what is installed, newest first.
func systemPostgres(ctx context.Context) []postgresPrograms {
	var dirs []string
	for _, pattern := range postgresPlaces {
		matches, _ := filepath.Glob(pattern)
		dirs = append(dirs, matches...)
	}
	if path, err := exec.LookPath("postgres"); err == nil {
		if path, err = filepath.EvalSymlinks(path); err == nil {
			dirs = append(dirs, filepath.Dir(path))
		}
	}
	return usablePostgres(ctx, dirs)
}

// usablePostgres leaves out directories whose programs do not run, and wrapper scripts: they change the
// user or the process, and a signal to them does not reach the server.
func usablePostgres(ctx context.Context, dirs []string) []postgresPrograms {
	slices.Sort(dirs)
	var usable []postgresPrograms
	for _, dir := range slices.Compact(dirs) {
		server, ok := programVersion(ctx, filepath.Join(dir, "postgres"))
		if !ok || server.major < postgresOldest {
			continue
		}
		if initdb, ok := programVersion(ctx, filepath.Join(dir, "initdb")); ok && initdb.major == server.major {
			usable = append(usable, postgresPrograms{dir: dir, major: server.major, full: server.full})
		}
	}
	slices.SortStableFunc(usable, func(a, b postgresPrograms) int { return cmp.Compare(b.major, a.major) })
	return usable
}

var versionPattern = regexp.MustCompile(`\(PostgreSQL\) ((\d+)[.\w]*)`)

func programVersion(ctx context.Context, path string) (version postgresPrograms, ok bool) {
	if isScript(path) {
		return version, false
	}
	cmd := exec.CommandContext(ctx, path, "--version")
	cmd.Dir = "/"
	out, err := cmd.Output()
	match := versionPattern.FindSubmatch(out)
	if err != nil || match == nil {
		return version, false
	}
	version.full = string(match[1])
	version.major, err = strconv.Atoi(string(match[2]))
	return version, err == nil
}

func isScript(path string) bool {
	f, err := os.Open(path)
	if err != nil {
		return false // running it will tell
	}
	defer f.Close()
	var magic [2]byte
	n, _ := f.Read(magic[:])
	return string(magic[:n]) == "#!"
}
