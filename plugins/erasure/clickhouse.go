package erasure

import (
	"context"
	"database/sql"
	"fmt"
	"regexp"
	"slices"
	"strings"

	// The driver of clickhouse_dsn.
	_ "github.com/ClickHouse/clickhouse-go/v2"
)

// customersTable is how a table is named that has a row, or some, for each customer. In others a column named as a
// field of the customer's, such as a segment that was computed, is something else.
var customersTable = regexp.MustCompile(`(^|_)customers(_|$)`)

// personalColumns are the columns of a table that say more of a customer than the number: the fields of the
// contract, behind customer_ or, in a table of customers, as they are.
func (e *erasure) personalColumns(table string, columns []string) (personal []string) {
	for _, name := range columns {
		field, prefixed := strings.CutPrefix(name, "customer_")
		c := e.cfg.contracts[entityCustomers]
		if c != nil && name != columnCustomer && c.Index(field) >= 0 && (prefixed || customersTable.MatchString(table)) {
			personal = append(personal, name)
		}
	}
	return personal
}

// analytic is a table of ClickHouse with a column for the customer and others that tell of them.
type analytic struct {
	name     string
	columns  []string
	sorting  []string
	personal []string
}

// eraseFromClickHouse removes the customer's row from tables of customers, and takes what tells of them out of
// other tables that have their number, such as facts, whose rows stay in the statistics.
func (e *erasure) eraseFromClickHouse(ctx context.Context) error {
	if e.cfg.clickhouse == "" {
		return nil
	}
	db, err := sql.Open("clickhouse", e.cfg.clickhouse)
	if err != nil {
		return fmt.Errorf("reading the connection string: %w", err)
	}
	defer db.Close()
	tables, err := e.analytics(ctx, db)
	if err != nil {
		return err
	}
	for _, t := range tables {
		if err := e.eraseAnalytic(ctx, db, t); err != nil {
			return fmt.Errorf("table %s: %w", t.name, err)
		}
	}
	return nil
}

func (e *erasure) analytics(ctx context.Context, db *sql.DB) (found []analytic, err error) {
	rows, err := db.QueryContext(ctx, `
		SELECT t.name, groupArray(c.name), any(splitByString(', ', t.sorting_key))
		FROM system.tables AS t JOIN system.columns AS c ON c.database = t.database AND c.table = t.name
		WHERE t.database = currentDatabase() AND t.engine LIKE '%MergeTree' AND c.default_kind NOT IN ('ALIAS', 'MATERIALIZED')
		GROUP BY t.name HAVING has(groupArray(c.name), '`+columnCustomer+`') ORDER BY t.name`)
	if err != nil {
		return nil, fmt.Errorf("listing tables: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var t analytic
		if err := rows.Scan(&t.name, &t.columns, &t.sorting); err != nil {
			return nil, fmt.Errorf("listing tables: %w", err)
		}
		if t.personal = e.personalColumns(t.name, t.columns); len(t.personal) > 0 {
			found = append(found, t)
		}
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("listing tables: %w", err)
	}
	return found, nil
}

func quoted(name string) string { return "`" + strings.ReplaceAll(name, "`", "``") + "`" }

func (e *erasure) eraseAnalytic(ctx context.Context, db *sql.DB, t analytic) error {
	where := fmt.Sprintf("%s = %d", columnCustomer, e.cfg.customer)
	var told, sets []string
	for _, name := range t.personal {
		column := quoted(name)
		empty := "defaultValueOfTypeName(toTypeName(" + column + "))"
		told = append(told, "ifNull(toString("+column+"), '') != ifNull(toString("+empty+"), '')")
		if slices.Contains(t.sorting, name) && !customersTable.MatchString(t.name) {
			// what a table is sorted by cannot be changed in place
			e.report.remain(layerClickHouse, "column "+name+" of table "+t.name, "the table is built anew")
			continue
		}
		sets = append(sets, column+" = "+empty)
	}
	change := "UPDATE " + strings.Join(sets, ", ")
	switch {
	case customersTable.MatchString(t.name):
		change = "DELETE"
	case len(sets) == 0:
		return nil
	}
	where += " AND (" + strings.Join(told, " OR ") + ")"
	var n uint64
	if err := db.QueryRowContext(ctx, "SELECT count() FROM "+quoted(t.name)+" WHERE "+where).Scan(&n); err != nil {
		return fmt.Errorf("counting rows: %w", err)
	}
	if n == 0 {
		return nil
	}
	if _, err := db.ExecContext(ctx, "ALTER TABLE "+quoted(t.name)+" "+change+" WHERE "+where+" SETTINGS mutations_sync = 2"); err != nil {
		return fmt.Errorf("erasing rows: %w", err)
	}
	e.report.Layers[layerClickHouse].Rows += int64(n)
	e.report.remain(layerClickHouse, "replaced parts of table "+t.name, "the server removes them, some minutes after (old_parts_lifetime)")
	return nil
}
