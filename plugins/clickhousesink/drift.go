package clickhousesink

import (
	"context"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"github.com/shop-connect/shop-connect/internal/contract"
)

// Drift says where a table has come apart from its contract: the fields that the contract has gained, for which
// the sink adds a column when it starts, and what keeps the sink from starting. It changes nothing.
func Drift(ctx context.Context, conn driver.Conn, table string, c *contract.Contract) (gained []string, faults []error) {
	present, err := columnsOf(ctx, conn, table)
	if err != nil {
		return nil, []error{err}
	}
	columns := []wanted{{columnVersion, typeUInt64}, {columnDeleted, typeUInt8}}
	for i, field := range c.Fields {
		if gains(c, i, present) {
			gained = append(gained, field.Name)
			continue
		}
		columns = append(columns, wanted{field.Name, wireTypes[field.Type]})
	}
	return gained, misfits(table, present, columns)
}

// gains says whether a field is one for which the sink adds a column.
func gains(c *contract.Contract, field int, present map[string]string) bool {
	_, found := present[c.Fields[field].Name]
	return !found && !c.Fields[field].Required && field != c.Key
}
