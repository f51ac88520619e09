package main

import (
	"fmt"
	"path/filepath"
	"time"

	"github.com/shop-connect/shop-connect/internal/columns"
	"github.com/shop-connect/shop-connect/internal/contract"
)

// decodedLimit is how many rows the bare libraries write at once.
const decodedLimit = 50_000

// decoded returns the accepted rows as columns, in batches: what the bare libraries write, so that
// their figures are those of writing alone.
func (b *bench) decoded(entity string) ([]*columns.Batch, error) {
	rules, err := contract.Load(filepath.Join(b.pipelines, "contracts", entity+".yaml"))
	if err != nil {
		return nil, err
	}
	rows, err := b.validRows()
	if err != nil {
		return nil, err
	}
	decoder := columns.NewDecoder(rules, columns.Valid, time.UTC)
	var batches []*columns.Batch
	for i, row := range rows {
		if i%decodedLimit == 0 {
			batches = append(batches, columns.NewBatch(rules, decodedLimit))
		}
		reasons, err := decoder.Append(batches[len(batches)-1], row.json, columns.Position{Topic: "purchases", Offset: int64(i)}, i)
		if err != nil || len(reasons) > 0 {
			return nil, fmt.Errorf("decoding generated row %d: %v %w", i, reasons, err)
		}
	}
	return batches, nil
}
