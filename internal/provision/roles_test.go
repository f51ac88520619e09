package provision

import (
	"context"
	"encoding/json"
	"maps"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/jackc/pgx/v5"

	"github.com/shop-connect/shop-connect/internal/env"
	"github.com/shop-connect/shop-connect/internal/store"
)

// shipped is the folder that the distributed stack is provisioned from.
const shipped = "../../compose/provision"

// rolesEnv is what the container has: an administrator of each server, and the users' passwords.
func rolesEnv(t *testing.T) map[string]string {
	t.Helper()
	var secrets struct {
		Owner string `json:"postgres_owner_password"`
	}
	text, err := os.ReadFile(filepath.Join(dataDir, "credentials.json"))
	if err == nil {
		err = json.Unmarshal(text, &secrets)
	}
	if err != nil {
		t.Fatal(err)
	}
	names := maps.Clone(vars)
	names[postgresAdminDSN] = as(t, vars[env.PostgresDSN], "postgres", secrets.Owner, "postgres")
	names[clickhouseAdminDSN] = vars[env.ClickHouseDSN]
	for _, name := range []string{
		"POSTGRES_SHOP_PASSWORD", "POSTGRES_AIRFLOW_PASSWORD", "POSTGRES_SPARK_PASSWORD", "CLICKHOUSE_SHOP_PASSWORD",
		"CLICKHOUSE_SPARK_PASSWORD", "CLICKHOUSE_READER_PASSWORD", "SHOP_ADMIN_PASSWORD", "SHOP_AIRFLOW_PASSWORD",
	} {
		names[name] = "a-password-of-" + name
	}
	names[env.PostgresDSN] = as(t, vars[env.PostgresDSN], "shop", names["POSTGRES_SHOP_PASSWORD"], "roles_shop")
	return names
}

// as is a connection string for another user and database of the same server.
func as(t *testing.T, dsn, user, password, database string) string {
	t.Helper()
	u, err := url.Parse(dsn)
	if err != nil {
		t.Fatal(err)
	}
	u.User, u.Path = url.UserPassword(user, password), "/"+database
	return u.String()
}

// rolesOf loads the shipped roles for a database of this test's own; the embedded server has one called shop.
func rolesOf(t *testing.T, names map[string]string) *Roles {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(shipped, rolesFile))
	if err != nil {
		t.Fatal(err)
	}
	own := strings.NewReplacer("shop: shop", "roles_shop: shop", "airflow: airflow", "roles_airflow: airflow", "DATABASE shop", "DATABASE roles_shop").Replace(string(text))
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, rolesFile), []byte(own), 0o600); err != nil {
		t.Fatal(err)
	}
	roles, err := LoadRoles(dir, func(name string) (string, bool) { value, ok := names[name]; return value, ok })
	if err != nil {
		t.Fatal(err)
	}
	return roles
}

func TestRolesMayWhatTheyNeedAndNoMore(t *testing.T) {
	names := rolesEnv(t)
	roles := rolesOf(t, names)
	for range 2 { // safe to repeat
		for _, step := range []func() error{
			func() error { return roles.makePostgresUsers(t.Context()) },
			func() error { return All(t.Context(), names) },
			func() error { return roles.grantPostgres(t.Context(), names) },
			func() error { return roles.makeAPIUsers(t.Context(), names) },
		} {
			if err := step(); err != nil {
				t.Fatal(err)
			}
		}
	}
	connect := func(user, database string) (*pgx.Conn, error) {
		return pgx.Connect(t.Context(), as(t, vars[env.PostgresDSN], user, names["POSTGRES_"+strings.ToUpper(user)+"_PASSWORD"], database))
	}
	for _, refused := range []struct{ user, database string }{{"spark", "roles_airflow"}, {"airflow", "roles_shop"}, {"shop", "roles_airflow"}} {
		if conn, err := connect(refused.user, refused.database); err == nil {
			conn.Close(context.Background())
			t.Errorf("%s may connect to %s", refused.user, refused.database)
		}
	}
	spark, err := connect("spark", "roles_shop")
	if err != nil {
		t.Fatal(err)
	}
	defer spark.Close(context.Background())
	if _, err := spark.Exec(t.Context(), "SELECT count(*) FROM iceberg_tables"); err != nil {
		t.Errorf("spark cannot read the Iceberg catalog: %v", err)
	}
	for _, forbidden := range []string{"SELECT * FROM users", "SELECT * FROM customers", "DROP TABLE iceberg_tables", "CREATE TABLE mine (x int)", "CREATE ROLE mine"} {
		if _, err := spark.Exec(t.Context(), forbidden); err == nil {
			t.Errorf("spark may %s", forbidden)
		}
	}

	users, err := store.Open(t.Context(), names[env.PostgresDSN])
	if err != nil {
		t.Fatal(err)
	}
	defer users.Close()
	for name, scopes := range map[string]string{"admin": "read write admin", "airflow": "read write"} {
		user, err := users.User(t.Context(), name)
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.Join(user.Scopes, " "); got != scopes {
			t.Errorf("API user %s has the scopes %s, want %s", name, got, scopes)
		}
	}
	void, err := users.VoidTokens(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if len(void) != 0 {
		t.Errorf("provisioning again voids the tokens of %v", void)
	}
}

// The embedded engine has no users, so this shows that ClickHouse reads the statements, and no more.
func TestClickHouseReadsTheStatementsOfTheRoles(t *testing.T) {
	options, err := clickhouse.ParseDSN(vars[env.ClickHouseDSN])
	if err != nil {
		t.Fatal(err)
	}
	conn, err := clickhouse.Open(options)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	for _, statement := range rolesOf(t, rolesEnv(t)).clickHouseStatements() {
		if err := conn.Exec(t.Context(), "EXPLAIN AST "+statement.sql); err != nil {
			t.Errorf("%s: %v", statement.does, err)
		}
	}
}

func TestFaultsOfRolesAreReportedAllAtOnceAndWithoutPasswords(t *testing.T) {
	names := map[string]string{
		"POSTGRES_SHOP_PASSWORD": "short", "POSTGRES_AIRFLOW_PASSWORD": `it's-a-quoted-one`, "SHOP_ADMIN_PASSWORD": "long-enough-here",
	}
	_, err := LoadRoles(shipped, func(name string) (string, bool) { value, ok := names[name]; return value, ok })
	if err == nil {
		t.Fatal("roles without passwords were taken")
	}
	for _, want := range []string{
		"POSTGRES_ADMIN_DSN is not set", "CLICKHOUSE_READER_PASSWORD is not set", "POSTGRES_SHOP_PASSWORD is shorter", "POSTGRES_AIRFLOW_PASSWORD has one of",
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("the error lacks %q:\n%v", want, err)
		}
	}
	if strings.Contains(err.Error(), "it's-a") {
		t.Errorf("the error shows a password:\n%v", err)
	}
}
