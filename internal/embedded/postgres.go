package embedded

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

const (
	dirPostgres      = "postgres"
	dirPostgresNew   = "postgres.new"
	filePostgresPass = ".postgres-password"

	postgresConnections = "200"
	sqlStateNoDatabase  = "3D000"
	sqlStateNoPassword  = "28P01" // also of a role that is not there yet

	// postgresOwner is the superuser of the cluster.
	postgresOwner = "postgres"
)

// postgresServer is a PostgreSQL cluster and the programs that run it.
type postgresServer struct {
	programs postgresPrograms
	identity identity
	dataDir  string // of all servers
	cluster  string
	address  string
	log      string
	creds    secrets
}

func newPostgres(ctx context.Context, l layout, address string, creds secrets) (*server, error) {
	p := &postgresServer{
		dataDir: l.dataDir, cluster: l.data(dirPostgres), address: address, log: l.log(dirPostgres), creds: creds,
	}
	major, err := clusterMajor(p.cluster)
	if err != nil {
		return nil, err
	}
	if p.programs, err = findPostgres(ctx, l.cacheDir, major); err != nil {
		return nil, err
	}
	if p.identity, err = postgresIdentity(ctx, p.programs); err != nil {
		return nil, err
	}
	return &server{
		name: namePostgres, engine: p.programs.String(), address: address,
		data: p.cluster, log: p.log,
		stopSignal: syscall.SIGINT, // "fast": ends the clients' connections and shuts down cleanly
		prepare:    p.prepare,
		command:    p.command,
		probe:      p.probe,
	}, nil
}

// prepare creates the cluster where there is none. It does so beside the final place, so that an
// interrupted attempt is never taken for a cluster.
func (p *postgresServer) prepare(ctx context.Context) error {
	if _, err := os.Stat(p.cluster); err == nil {
		return p.identity.own(p.dataDir, p.cluster)
	}
	unfinished := filepath.Join(p.dataDir, dirPostgresNew)
	if err := os.RemoveAll(unfinished); err != nil {
		return fmt.Errorf("removing an unfinished cluster: %w", err)
	}
	if err := os.Mkdir(unfinished, 0o700); err != nil {
		return fmt.Errorf("creating cluster directory: %w", err)
	}
	password := filepath.Join(p.dataDir, filePostgresPass)
	if err := writeFileAtomic(password, []byte(p.creds.PostgresOwner+"\n")); err != nil {
		return fmt.Errorf("writing password file: %w", err)
	}
	defer os.Remove(password)
	if err := errors.Join(p.identity.own(p.dataDir, unfinished), p.identity.own(p.dataDir, password)); err != nil {
		return err
	}

	args := append([]string{
		"--pgdata", unfinished, "--username", postgresOwner, "--auth", "scram-sha-256", "--pwfile", password,
		"--encoding", "UTF8", "--no-instructions",
	}, p.programs.localeArgs()...)
	initdb, err := spawn(p.run("initdb", args...), p.log, syscall.SIGKILL)
	if err != nil {
		return err
	}
	select {
	case <-initdb.exited:
	case <-ctx.Done():
		initdb.stop(syscall.SIGINT)
		return ctx.Err()
	}
	if state := initdb.cmd.ProcessState; !state.Success() {
		return fmt.Errorf("initdb ended with %s: %s; its log is %s", state, lastLine(p.log), p.log)
	}
	if err := os.Rename(unfinished, p.cluster); err != nil {
		return fmt.Errorf("putting the new cluster in place: %w", err)
	}
	return nil
}

func (p *postgresServer) command() (*exec.Cmd, error) {
	host, port, err := net.SplitHostPort(p.address)
	if err != nil {
		return nil, fmt.Errorf("parsing address: %w", err)
	}
	return p.run("postgres", "-D", p.cluster, "-p", port,
		"-c", "listen_addresses="+host,
		"-c", "unix_socket_directories=",
		"-c", "max_connections="+postgresConnections,
		"-c", "timezone=UTC", // I6
		"-c", "log_timezone=UTC",
		"-c", "logging_collector=off",
		// without the values of rows, such as the e-mail address that is taken
		"-c", "log_error_verbosity=terse",
	), nil
}

// run is a command of PostgreSQL's own, under an identity that it accepts, without the caller's PG…
// variables.
func (p *postgresServer) run(program string, args ...string) *exec.Cmd {
	cmd := exec.Command(filepath.Join(p.programs.dir, program), args...)
	cmd.Dir = "/"
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "LC_ALL=C", "TZ=UTC"}
	cmd.SysProcAttr = p.identity.attr()
	return cmd
}

// probe opens the shop's database, and makes role and database when they are not there yet.
func (p *postgresServer) probe(ctx context.Context) error {
	shop := postgresDSN(p.address, databaseUser, p.creds.PostgresPassword, postgresDatabase)
	err := execSQL(ctx, shop, "SELECT 1")
	var refusal *pgconn.PgError
	if !errors.As(err, &refusal) || (refusal.Code != sqlStateNoDatabase && refusal.Code != sqlStateNoPassword) {
		return err
	}
	owner := postgresDSN(p.address, postgresOwner, p.creds.PostgresOwner, "postgres")
	if refusal.Code == sqlStateNoPassword {
		// no superuser: that one may start programs, and this one's password is in every stream
		role := "CREATE ROLE " + databaseUser + " LOGIN CREATEDB PASSWORD '" + p.creds.PostgresPassword + "'"
		if err := execSQL(ctx, owner, role); err != nil {
			return err
		}
	}
	return execSQL(ctx, owner, "CREATE DATABASE "+postgresDatabase+" OWNER "+databaseUser)
}

func execSQL(ctx context.Context, dsn, sql string) error {
	conn, err := pgx.Connect(ctx, dsn)
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	_, err = conn.Exec(ctx, sql)
	return err
}

// clusterMajor is the version that a cluster was made with, "" where there is none.
func clusterMajor(cluster string) (string, error) {
	text, err := os.ReadFile(filepath.Join(cluster, "PG_VERSION"))
	switch {
	case err == nil:
		return strings.TrimSpace(string(text)), nil
	case errors.Is(err, os.ErrNotExist):
		return "", nil
	default:
		return "", fmt.Errorf("reading the version of PostgreSQL's data: %w", err)
	}
}
