package s3parquet

import (
	"context"
	"fmt"
	"strconv"

	"github.com/redpanda-data/benthos/v4/public/service"

	"github.com/shop-connect/shop-connect/internal/contract"
	"github.com/shop-connect/shop-connect/internal/record"
)

// peopleEntity is the one whose rows are people, who may ask to be forgotten.
const peopleEntity = "customers"

// instead returns what is written in the place of rows, by their index in the batch; nil for an entity that is
// not people.
//
// A record without a value is the deletion of its key. A row of somebody who was erased comes late, or from a
// producer who has not heard of it: of it the number is kept, and that it is gone. Who was erased by the time
// that a record was read is asked for each batch, so that no record behind the deletion slips through.
func (o *output) instead(ctx context.Context, d *decoding, messages service.MessageBatch) (map[int][]byte, error) {
	if o.contract.Entity != peopleEntity || o.contract.Fields[o.contract.Key].Type != contract.Int64 {
		return nil, nil
	}
	kept := map[int][]byte{}
	numbers := map[int64][]int{} // the rows of each
	index := -1
	for row, err := range record.Rows(messages) {
		index++
		if err != nil {
			return nil, fmt.Errorf("reading row %d of the batch: %w", index, err)
		}
		if key, gone := row.Tombstone(); gone {
			if id, err := strconv.ParseInt(string(key), 10, 64); err == nil {
				kept[index] = o.deletionOf(id)
			}
			continue
		}
		// what is refused for its other values has a number all the same
		d.decoder.Decode(row.Value)
		if d.decoder.Has(o.contract.Key) && !d.decoder.Deleted() {
			id := d.decoder.Int(o.contract.Key)
			numbers[id] = append(numbers[id], index)
		}
	}
	if o.ledger.store == nil || len(numbers) == 0 {
		return kept, nil
	}
	ids := make([]int64, 0, len(numbers))
	for id := range numbers {
		ids = append(ids, id)
	}
	erased, err := o.ledger.erased(ctx, ids)
	for id := range erased {
		for _, index := range numbers[id] {
			kept[index] = o.deletionOf(id)
		}
	}
	return kept, err
}

func (o *output) deletionOf(id int64) []byte {
	return fmt.Appendf(nil, `{%q:%d,"deleted":true}`, o.contract.Fields[o.contract.Key].Name, id)
}
