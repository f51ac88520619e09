package icebergsink

import (
	"fmt"

	"github.com/apache/iceberg-go"
	"github.com/apache/iceberg-go/table"

	"github.com/shop-connect/shop-connect/internal/contract"
)

// drift is where a table has come apart from its contract.
type drift struct {
	// gained and widened are what the sink puts right when it starts.
	gained, widened []iceberg.NestedField
	// faults keep it from starting.
	faults []error
}

// Drift says where a table has come apart from its contract: the fields that the contract has gained, for which
// the sink adds a column when it starts, and what keeps the sink from starting. It changes nothing.
func Drift(tbl *table.Table, c *contract.Contract) (gained []string, faults []error) {
	cfg := config{contract: c}
	if c.EventTime >= 0 {
		cfg.dayColumn = defaultDayColumn
	}
	d := compare(tbl, &cfg)
	for _, field := range d.gained {
		gained = append(gained, field.Name)
	}
	return gained, d.faults
}

func compare(tbl *table.Table, cfg *config) (d drift) {
	fault := func(format string, args ...any) { d.faults = append(d.faults, fmt.Errorf(format, args...)) }
	wanted := cfg.schema()
	for _, want := range wanted.Fields() {
		have, found := tbl.Schema().FindFieldByName(want.Name)
		_, wasInt := have.Type.(iceberg.Int32Type)
		switch {
		case !found && wasColumn(tbl, want.Name):
			// Adding it anew would leave what it held under another name, or nowhere.
			fault("column %q was dropped or renamed in the table: rename it back, or take the field out of the contract or give it another name", want.Name)
		case !found && want.Required:
			fault("the table has no column %q: create a new table", want.Name)
		case !found:
			d.gained = append(d.gained, want)
		case have.Type.Equals(want.Type):
		case wasInt && want.Type.Equals(iceberg.PrimitiveTypes.Int64):
			d.widened = append(d.widened, want)
		default:
			fault("column %q is %s in the table and %s by the contract: change one of them", want.Name, have.Type, want.Type)
		}
		if i := cfg.contract.Index(want.Name); found && have.Required && i >= 0 && i != cfg.contract.Key && !cfg.contract.Fields[i].Required {
			fault("column %q is required in the table and may be absent by the contract", want.Name)
		}
	}
	for _, have := range tbl.Schema().Fields() {
		if _, known := wanted.FindFieldByName(have.Name); have.Required && !known {
			fault("column %q is required in the table and unknown to the contract", have.Name)
		}
	}
	return d
}
