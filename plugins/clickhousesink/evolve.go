package clickhousesink

import (
	"context"
	"fmt"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
)

// addColumns gives the table a column for each optional field that its contract has gained. Rows that are
// there have null in it. What else does not fit is left to the check of the whole table.
func addColumns(ctx context.Context, conn driver.Conn, cfg config) error {
	present, err := columnsOf(ctx, conn, cfg.table)
	if err != nil {
		return err
	}
	for i, field := range cfg.contract.Fields {
		if !gains(cfg.contract, i, present) {
			continue
		}
		statement := fmt.Sprintf("ALTER TABLE %s ADD COLUMN IF NOT EXISTS %s Nullable(%s)", cfg.table, quote(field.Name), wireTypes[field.Type])
		if err := conn.Exec(ctx, statement); err != nil {
			return fmt.Errorf("adding the column of field %q, which contract %q has gained: %w; run %s", field.Name, cfg.contract.Entity, err, statement)
		}
	}
	return nil
}
