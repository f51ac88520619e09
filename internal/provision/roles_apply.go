package provision

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"slices"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/shop-connect/shop-connect/internal/auth"
	"github.com/shop-connect/shop-connect/internal/env"
	"github.com/shop-connect/shop-connect/internal/store"
)

// WithRoles makes the users, then everything that All makes, then gives the users their rights.
func WithRoles(ctx context.Context, roles *Roles, vars map[string]string) error {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	unlock, err := lock(ctx, roles.postgresAdmin, rolesLockKey)
	if err != nil {
		return err
	}
	defer unlock()
	if err := errors.Join(roles.makePostgresUsers(ctx), roles.makeClickHouseUsers(ctx)); err != nil {
		return err
	}
	if err := All(ctx, vars); err != nil {
		return err
	}
	return errors.Join(roles.grantPostgres(ctx, vars), roles.makeAPIUsers(ctx, vars))
}

// duplicateObject is what PostgreSQL says of a role that is there; another replica may have made it since.
const duplicateObject = "42710"

func (r *Roles) makePostgresUsers(ctx context.Context) error {
	conn, err := pgx.Connect(ctx, r.postgresAdmin)
	if err != nil {
		return fmt.Errorf("connecting to PostgreSQL (%s): %w", postgresAdminDSN, err)
	}
	defer conn.Close(context.WithoutCancel(ctx))
	for _, name := range sortedKeys(r.Postgres.Users) {
		var refused *pgconn.PgError
		if _, err := conn.Exec(ctx, "CREATE ROLE "+name); err != nil && (!errors.As(err, &refused) || refused.Code != duplicateObject) {
			return fmt.Errorf("making PostgreSQL user %s: %w", name, err)
		}
		alter := "ALTER ROLE " + name + " LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION PASSWORD " + quote(r.Postgres.Users[name].value)
		if _, err := conn.Exec(ctx, alter); err != nil {
			return fmt.Errorf("setting the password of PostgreSQL user %s: %w", name, err)
		}
	}
	for _, name := range sortedKeys(r.Postgres.Databases) {
		if err := makeDatabase(ctx, conn, name, r.Postgres.Databases[name]); err != nil {
			return fmt.Errorf("making PostgreSQL database %s: %w", name, err)
		}
	}
	return nil
}

func makeDatabase(ctx context.Context, conn *pgx.Conn, name, owner string) error {
	var there bool
	if err := conn.QueryRow(ctx, "SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)", name).Scan(&there); err != nil {
		return err
	}
	if !there {
		if _, err := conn.Exec(ctx, "CREATE DATABASE "+name+" OWNER "+owner); err != nil {
			return err
		}
	}
	_, err := conn.Exec(ctx, "REVOKE ALL ON DATABASE "+name+" FROM PUBLIC")
	return err
}

func (r *Roles) grantPostgres(ctx context.Context, vars map[string]string) error {
	conn, err := pgx.Connect(ctx, vars[env.PostgresDSN])
	if err != nil {
		return fmt.Errorf("connecting to PostgreSQL (%s): %w", env.PostgresDSN, err)
	}
	defer conn.Close(context.WithoutCancel(ctx))
	for _, right := range r.Postgres.Rights {
		if _, err := conn.Exec(ctx, right); err != nil {
			return fmt.Errorf("giving rights in PostgreSQL: %q: %w", right, err)
		}
	}
	return nil
}

func (r *Roles) makeClickHouseUsers(ctx context.Context) error {
	options, err := clickhouse.ParseDSN(r.clickhouseAdmin)
	if err != nil {
		return fmt.Errorf("parsing %s: %w", clickhouseAdminDSN, withoutPassword(err))
	}
	conn, err := clickhouse.Open(options)
	if err != nil {
		return fmt.Errorf("reading %s: %w", clickhouseAdminDSN, err)
	}
	defer conn.Close()
	for _, statement := range r.clickHouseStatements() {
		if err := conn.Exec(ctx, statement.sql); err != nil {
			return fmt.Errorf("%s: %w", statement.does, err)
		}
	}
	return nil
}

// statement is SQL that may hold a password, and what to call it.
type statement struct{ does, sql string }

func (r *Roles) clickHouseStatements() []statement {
	var all []statement
	for _, name := range sortedKeys(r.ClickHouse.Users) {
		identified := name + " IDENTIFIED BY " + quote(r.ClickHouse.Users[name].value)
		all = append(all,
			statement{"making ClickHouse user " + name, "CREATE USER IF NOT EXISTS " + identified},
			statement{"setting the password of ClickHouse user " + name, "ALTER USER " + identified})
	}
	for _, right := range r.ClickHouse.Rights {
		all = append(all, statement{fmt.Sprintf("giving rights in ClickHouse: %q", right), right})
	}
	return all
}

func (r *Roles) makeAPIUsers(ctx context.Context, vars map[string]string) error {
	users, err := store.Open(ctx, vars[env.PostgresDSN])
	if err != nil {
		return err
	}
	defer users.Close()
	for _, name := range sortedKeys(r.API.Users) {
		user := r.API.Users[name]
		if err := auth.EnsureUser(ctx, users, name, user.Password.value, user.Scopes); err != nil {
			return err
		}
	}
	return nil
}

// quote writes a text as a literal; what the servers would read differently is refused when roles are read.
func quote(text string) string { return "'" + text + "'" }

// withoutPassword keeps what is wrong with a URL, and not the URL.
func withoutPassword(err error) error {
	if wrong, ok := errors.AsType[*url.Error](err); ok {
		return wrong.Err
	}
	return err
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
