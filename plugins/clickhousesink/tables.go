package clickhousesink

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"github.com/shop-connect/shop-connect/internal/contract"
)

// The columns that the sink itself fills, besides those of the contract.
const (
	columnVersion   = "version"
	columnDeleted   = "is_deleted"
	columnIndexDay  = "day"
	columnSlice     = "slice"
	columnIndexSeen = "seen_at"
)

// Types as the sink sends them. ClickHouse converts a block to the types of its table.
const (
	typeString    = "String"
	typeInt64     = "Int64"
	typeUInt64    = "UInt64"
	typeUInt8     = "UInt8"
	typeUInt32    = "UInt32"
	typeDecimal   = "Decimal(18, 4)"
	typeTimestamp = "DateTime64(6, 'UTC')"
	typeNanos     = "DateTime64(9, 'UTC')"
	typeDate      = "Date32"
	typeBool      = "Bool"
)

var wireTypes = [...]string{
	contract.String: typeString, contract.Int64: typeInt64, contract.Decimal: typeDecimal,
	contract.Timestamp: typeTimestamp, contract.Date: typeDate, contract.Bool: typeBool,
}

// accepted are the types of table columns that hold every value of a type of ours.
var accepted = map[string][]string{
	typeString:    {typeString},
	typeInt64:     {typeInt64, "Int128", "Int256"},
	typeUInt64:    {typeUInt64},
	typeUInt8:     {typeUInt8, typeBool},
	typeUInt32:    {typeUInt32},
	typeDecimal:   {typeDecimal, "Decimal(38, 4)"}, // I5
	typeTimestamp: {typeTimestamp, "DateTime64(6)"},
	typeNanos:     {typeNanos, "DateTime64(9)"},
	typeDate:      {typeDate},
	typeBool:      {typeBool, typeUInt8},
}

// tables is what the sink knows of the tables it writes to.
type tables struct {
	// nullable says for each field of the contract whether its column can be null.
	nullable []bool

	insertRows, insertIndex, insertDays, selectEarlier string
}

// wanted is a column that a table must have, by the type that the sink sends.
type wanted struct{ name, wire string }

// loadTables checks the tables and reports everything about them that does not fit.
func loadTables(ctx context.Context, conn driver.Conn, cfg config) (*tables, error) {
	key := cfg.contract.Fields[cfg.contract.Key].Name
	columns := make([]wanted, 0, len(cfg.contract.Fields)+3)
	for _, field := range cfg.contract.Fields {
		columns = append(columns, wanted{field.Name, wireTypes[field.Type]})
	}
	if cfg.dayColumn != "" {
		columns = append(columns, wanted{cfg.dayColumn, typeDate})
	}
	if cfg.hourColumn != "" {
		columns = append(columns, wanted{cfg.hourColumn, typeUInt8})
	}
	if cfg.sliceColumn != "" {
		columns = append(columns, wanted{cfg.sliceColumn, typeUInt32})
	}
	columns = append(columns, wanted{columnVersion, typeUInt64}, wanted{columnDeleted, typeUInt8})
	if err := addColumns(ctx, conn, cfg); err != nil {
		return nil, err
	}
	present, err := check(ctx, conn, cfg.table, columns)
	faults := []error{err}
	t := &tables{insertRows: insert(cfg.table, columns)}
	for _, field := range cfg.contract.Fields {
		t.nullable = append(t.nullable, strings.HasPrefix(strings.TrimPrefix(present[field.Name], "LowCardinality("), "Nullable("))
	}
	if cfg.sliceColumn != "" && err == nil {
		faults = append(faults, checkSorted(ctx, conn, cfg.table, cfg.sliceColumn))
	}
	if cfg.dayIndex != "" {
		columns := []wanted{{key, typeString}, {columnIndexDay, typeDate}, {columnVersion, typeUInt64}, {columnIndexSeen, typeNanos}}
		_, err := check(ctx, conn, cfg.dayIndex, columns)
		faults = append(faults, err)
		t.insertIndex = insert(cfg.dayIndex, columns)
		t.selectEarlier = selectEarlier(cfg.dayIndex, key)
	}
	if cfg.daysTouched != "" {
		columns := []wanted{{columnIndexDay, typeDate}}
		if cfg.sliceColumn != "" {
			columns = append(columns, wanted{columnSlice, typeUInt32})
		}
		_, err := check(ctx, conn, cfg.daysTouched, columns)
		faults = append(faults, err)
		t.insertDays = insert(cfg.daysTouched, columns)
	}
	if err := errors.Join(faults...); err != nil {
		return nil, err
	}
	return t, nil
}

func insert(table string, columns []wanted) string {
	names := make([]string, len(columns))
	for i, column := range columns {
		names[i] = quote(column.name)
	}
	return "INSERT INTO " + table + " (" + strings.Join(names, ", ") + ")"
}

func quote(name string) string { return "`" + strings.ReplaceAll(name, "`", "``") + "`" }

// columnsOf returns the types of the columns that can be written to, by name.
func columnsOf(ctx context.Context, conn driver.Conn, table string) (map[string]string, error) {
	database, name, found := strings.Cut(table, ".")
	if !found {
		database, name = "", table
	}
	rows, err := conn.Query(ctx, `SELECT name, type, default_kind FROM system.columns
WHERE database = if(? = '', currentDatabase(), ?) AND table = ?`, database, database, name)
	if err != nil {
		return nil, fmt.Errorf("reading the columns of table %s: %w", table, err)
	}
	defer rows.Close()
	present := map[string]string{}
	for rows.Next() {
		var column, kind, computed string
		if err := rows.Scan(&column, &kind, &computed); err != nil {
			return nil, fmt.Errorf("reading the columns of table %s: %w", table, err)
		}
		if computed != "ALIAS" && computed != "MATERIALIZED" {
			present[column] = kind
		}
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("reading the columns of table %s: %w", table, err)
	}
	if len(present) == 0 {
		return nil, fmt.Errorf("table %s does not exist: run `shop-connect provision`, or create it", table)
	}
	return present, nil
}

// checkSorted says whether rows of a key in different slices are rows of their own. If they were not, what cancels
// the old one would cancel the new one too.
func checkSorted(ctx context.Context, conn driver.Conn, table, column string) error {
	database, name, found := strings.Cut(table, ".")
	if !found {
		database, name = "", table
	}
	var key string
	err := conn.QueryRow(ctx, `SELECT sorting_key FROM system.tables WHERE database = if(? = '', currentDatabase(), ?) AND name = ?`, database, database, name).Scan(&key)
	if err != nil {
		return fmt.Errorf("reading the sorting key of table %s: %w", table, err)
	}
	if !slices.Contains(strings.Split(key, ", "), column) {
		return fmt.Errorf("column %s is not in the sorting key of table %s, which is (%s): create the table with it", column, table, key)
	}
	return nil
}

// check compares a table with the columns wanted of it, and returns the types it has.
func check(ctx context.Context, conn driver.Conn, table string, columns []wanted) (map[string]string, error) {
	present, err := columnsOf(ctx, conn, table)
	if err != nil {
		return nil, err
	}
	return present, errors.Join(misfits(table, present, columns)...)
}

// misfits are the columns wanted of a table that it lacks, or has with a type that does not hold every value.
func misfits(table string, present map[string]string, columns []wanted) (faults []error) {
	for _, column := range columns {
		kind, ok := present[column.name]
		switch {
		case !ok:
			faults = append(faults, fmt.Errorf("table %s has no column %s: run ALTER TABLE %s ADD COLUMN %s %s",
				table, column.name, table, quote(column.name), column.wire))
		case !slices.Contains(accepted[column.wire], plain(kind)):
			faults = append(faults, fmt.Errorf("column %s of table %s is %s: it must be %s to hold every valid value",
				column.name, table, kind, strings.Join(accepted[column.wire], " or ")))
		}
	}
	return faults
}

// plain is a type without what only says how it is stored.
func plain(kind string) string {
	for _, wrapper := range []string{"LowCardinality(", "Nullable("} {
		if inner, ok := strings.CutPrefix(kind, wrapper); ok {
			kind = strings.TrimSuffix(inner, ")")
		}
	}
	return kind
}
