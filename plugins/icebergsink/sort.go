package icebergsink

import (
	"errors"
	"fmt"
	"strings"

	"github.com/apache/iceberg-go"
	"github.com/apache/iceberg-go/table"
)

// sortField is one element of sort_by.
type sortField struct {
	column     string
	descending bool
}

func parseSortFields(texts []string, schema *iceberg.Schema) ([]sortField, error) {
	var faults []error
	fields := make([]sortField, 0, len(texts))
	for _, text := range texts {
		words := strings.Fields(text)
		f := sortField{descending: len(words) == 2 && strings.EqualFold(words[1], "desc")}
		if len(words) == 0 || len(words) > 2 || (len(words) == 2 && !f.descending && !strings.EqualFold(words[1], "asc")) {
			faults = append(faults, fmt.Errorf("%q must be a column, and asc or desc", text))
			continue
		}
		f.column = words[0]
		if _, found := schema.FindFieldByName(f.column); !found {
			faults = append(faults, fmt.Errorf("%q: there is no column %q", text, f.column))
		}
		fields = append(fields, f)
	}
	return fields, errors.Join(faults...)
}

func sortOrder(fields []sortField, schema *iceberg.Schema) (table.SortOrder, error) {
	order := make([]table.SortField, len(fields))
	for i, f := range fields {
		column, found := schema.FindFieldByName(f.column)
		if !found {
			return table.SortOrder{}, fmt.Errorf("sorting by %q: the table has no such column", f.column)
		}
		order[i] = table.SortField{SourceIDs: []int{column.ID}, Transform: iceberg.IdentityTransform{}, Direction: table.SortASC, NullOrder: table.NullsFirst}
		if f.descending {
			order[i].Direction, order[i].NullOrder = table.SortDESC, table.NullsLast
		}
	}
	return table.NewSortOrder(table.InitialSortOrderID, order)
}

// resort makes the table's order that of the YAML, for files from now on. Without one in the YAML the table
// keeps its own.
func resort(tx *table.Transaction, tbl *table.Table, fields []sortField) (changed bool, err error) {
	if len(fields) == 0 {
		return false, nil
	}
	order, err := sortOrder(fields, tbl.Schema())
	if err != nil {
		return false, err
	}
	have := tbl.SortOrder()
	same := have.Len() == order.Len()
	for i := 0; same && i < order.Len(); i++ {
		same = have.Field(i).Equals(order.Field(i))
	}
	if same {
		return false, nil
	}
	return true, tx.ReplaceSortOrder(order)
}
