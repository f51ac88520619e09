package doctor

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"github.com/shop-connect/shop-connect/internal/analytics"
	"github.com/shop-connect/shop-connect/internal/contract"
	"github.com/shop-connect/shop-connect/internal/env"
	"github.com/shop-connect/shop-connect/internal/provision"
	"github.com/shop-connect/shop-connect/plugins/clickhousesink"
)

const (
	// statisticsStale is where the alert ShopStatisticsStale fires.
	statisticsStale = 30 * time.Second
	// testedClickHouse is the oldest year's version that the tables are tested with.
	testedClickHouse = 26

	codeSyntax = 62
	salesTable = "purchases"
)

func (e *examination) clickhouse() server {
	dsn := e.Vars[env.ClickHouseDSN]
	s := server{name: "ClickHouse", address: hostOf(dsn), needs: []string{env.ClickHouseDSN}}
	options, err := clickhouse.ParseDSN(dsn)
	if err == nil && options.Auth.Database == "" {
		err = errors.New("it names no database")
	}
	if err != nil {
		s.reach = check{"reach", func(context.Context) []Finding {
			return []Finding{fault("write http://user:password@host:8123/analytics", "%s cannot be read", env.ClickHouseDSN)} // the message would show the password
		}}
		return s
	}
	conn, err := clickhouse.Open(options)
	reader, readerErr := analytics.Open(dsn)
	if err := errors.Join(err, readerErr); err != nil {
		s.reach = check{"reach", func(context.Context) []Finding {
			return []Finding{fault("write http://user:password@host:8123/analytics", "%v", err)}
		}}
		return s
	}
	e.onClose(func() { _, _ = conn.Close(), reader.Close() })
	s.reach = check{"reach", func(ctx context.Context) []Finding { return reachClickHouse(ctx, conn) }}
	s.checks = []check{
		{"migrations", func(ctx context.Context) []Finding { return checkClickHouseMigrations(ctx, conn) }},
		{"rights", func(ctx context.Context) []Finding { return checkGrants(ctx, conn, options.Auth.Database) }},
		{"schema", func(ctx context.Context) []Finding { return e.checkSales(ctx, conn) }},
		{"statistics", func(ctx context.Context) []Finding { return checkStatistics(ctx, reader) }},
	}
	return s
}

func reachClickHouse(ctx context.Context, conn driver.Conn) []Finding {
	var version string
	var clock time.Time
	asked := time.Now()
	err := conn.QueryRow(ctx, `SELECT version(), now64(6, 'UTC')`).Scan(&version, &clock)
	answered := time.Now()
	if err != nil {
		return []Finding{fault("start the server, or correct "+env.ClickHouseDSN+"; `shop-connect provision` makes its database. What comes meanwhile waits in Kafka", "%v", err)}
	}
	found := []Finding{fine("version %s", version)}
	if year(version) < testedClickHouse {
		found = []Finding{warning("upgrade it to a long-term version of 26 or later", "version %s is older than any that is tested", version)}
	}
	return append(found, clockOf(clock, asked, answered))
}

func year(version string) (n int) {
	for _, digit := range version {
		if digit < '0' || digit > '9' {
			break
		}
		n = n*10 + int(digit-'0')
	}
	return n
}

func checkClickHouseMigrations(ctx context.Context, conn driver.Conn) []Finding {
	var applied []string
	if err := conn.QueryRow(ctx, `SELECT groupUniqArray(name) FROM schema_migrations`).Scan(&applied); err != nil {
		return []Finding{fault(provisionDoes, "reading which migrations have run: %v", err)}
	}
	known := provision.ClickHouseMigrations()
	var missing, newer []string
	for _, name := range known {
		if !slices.Contains(applied, name) {
			missing = append(missing, name)
		}
	}
	for _, name := range applied {
		if !slices.Contains(known, name) {
			newer = append(newer, name)
		}
	}
	slices.Sort(newer)
	switch {
	case len(missing) > 0:
		return []Finding{fault(migrationsDo, "migrations have not run: %s", strings.Join(missing, ", "))}
	case len(newer) > 0:
		return []Finding{warning(newerDo, "a newer version has migrated it: %s", strings.Join(newer, ", "))}
	}
	return []Finding{fine("all have run")}
}

// grants are what the user needs in its database.
var grants = []string{"SELECT", "INSERT", "ALTER", "CREATE TABLE", "CREATE VIEW", "DROP TABLE", "TRUNCATE", "OPTIMIZE"}

func checkGrants(ctx context.Context, conn driver.Conn, database string) []Finding {
	var missing []string
	for _, grant := range grants {
		var granted uint8
		err := conn.QueryRow(ctx, "CHECK GRANT "+grant+" ON `"+database+"`.*").Scan(&granted)
		if exception, ok := errors.AsType[*clickhouse.Exception](err); ok && exception.Code == codeSyntax {
			return []Finding{fine("this version does not tell them")}
		}
		if err != nil {
			return []Finding{warning("see SHOW GRANTS", "asking for rights: %v", err)}
		}
		if granted == 0 {
			missing = append(missing, grant)
		}
	}
	if len(missing) > 0 {
		list := strings.Join(missing, ", ")
		return []Finding{fault("GRANT "+list+" ON "+database+".* TO the user of "+env.ClickHouseDSN+", as `shop-connect provision --roles` does", "rights on %s are missing: %s", database, list)}
	}
	return []Finding{fine("the user may do what the streams do")}
}

func (e *examination) checkSales(ctx context.Context, conn driver.Conn) (found []Finding) {
	contracts, err := contract.LoadDir(e.contractsDir())
	if err != nil || contracts[salesTable] == nil {
		return nil // said among the settings
	}
	gained, faults := clickhousesink.Drift(ctx, conn, salesTable, contracts[salesTable])
	for _, err := range faults {
		found = append(found, fault("change the table or the contract as the message says; purchases_clickhouse does not start before", "%v", err))
	}
	if len(gained) > 0 {
		found = append(found, warning("start purchases_clickhouse again: it adds the columns, see its log where it does not", "table %s has no column for fields that its contract has gained: %s", salesTable, strings.Join(gained, ", ")))
	}
	if len(found) == 0 {
		found = append(found, fine("table %s fits its contract", salesTable))
	}
	return found
}

func checkStatistics(ctx context.Context, reader *analytics.Reader) []Finding {
	days, age, err := reader.StatisticsDue(ctx)
	switch {
	case err != nil:
		return []Finding{fault(provisionDoes, "%v", err)}
	case seconds(age) > statisticsStale:
		return []Finding{warning("docs/runbook.md, ShopStatisticsStale: see whether the stream clickhouse_stats runs, and its log", "the statistics of %d days are due, the oldest for %s", days, ago(seconds(age)))}
	}
	return []Finding{fine("of %d days are due", days)}
}
