package provision

import (
	"io/fs"
	"strings"
	"testing"

	"github.com/ClickHouse/clickhouse-go/v2"

	"github.com/shop-connect/shop-connect/internal/env"
)

// statements are all that migrateClickHouse ever runs that changes something, by where they come from.
func statements(t *testing.T) map[string]string {
	t.Helper()
	all := map[string]string{"database": createDatabaseOf("analytics"), "ledger": createLedger}
	names, err := fs.Glob(clickhouseFiles, "clickhouse/*.sql")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		text, err := fs.ReadFile(clickhouseFiles, name)
		if err != nil {
			t.Fatal(err)
		}
		all[name] = string(text)
	}
	return all
}

func TestEveryStatementForAClusterIsOneThatClickHouseReads(t *testing.T) {
	if err := All(t.Context(), vars); err != nil {
		t.Fatal(err)
	}
	options, err := clickhouse.ParseDSN(vars[env.ClickHouseDSN])
	if err != nil {
		t.Fatal(err)
	}
	conn, err := clickhouse.Open(options)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	shop, err := parseCluster("{cluster}")
	if err != nil {
		t.Fatal(err)
	}
	for name, written := range statements(t) {
		statement := shop.render(written)
		rows, err := conn.Query(t.Context(), "EXPLAIN AST "+statement)
		if err != nil {
			t.Errorf("%s: %v\n%s", name, err, statement)
			continue
		}
		rows.Close()
		insert := strings.HasPrefix(statement, "INSERT")
		if strings.Contains(statement, " ON CLUSTER '{cluster}'") == insert {
			t.Errorf("%s is on the wrong servers:\n%s", name, statement)
		}
		if strings.Count(statement, "MergeTree") != strings.Count(statement, "ENGINE = Replicated") {
			t.Errorf("%s does not replicate:\n%s", name, statement)
		}
	}
}

func TestStatementsForOneServerAreThoseThatAreWritten(t *testing.T) {
	for name, written := range statements(t) {
		if got := cluster("").render(written); got != written {
			t.Errorf("%s became\n%s", name, got)
		}
	}
}

func TestAClusterOfAnotherNameIsRefused(t *testing.T) {
	for _, name := range []string{"shop' SYNC; DROP TABLE purchases --", "a b", "{", "`x`"} {
		if _, err := parseCluster(name); err == nil {
			t.Errorf("%q is taken for the name of a cluster", name)
		}
	}
	for _, name := range []string{"", "shop", "shop-1.eu", "{cluster}"} {
		if _, err := parseCluster(name); err != nil {
			t.Error(err)
		}
	}
}
