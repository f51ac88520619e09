package icebergsink

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/redpanda-data/benthos/v4/public/service"

	"github.com/shop-connect/shop-connect/internal/columns"
	"github.com/shop-connect/shop-connect/internal/contract"
	"github.com/shop-connect/shop-connect/internal/record"
)

// decoded is what became of the rows of a batch that fit.
type decoded struct {
	// id tells them from those of another batch.
	id      batchID
	refused service.MessageBatch
	// whole says that they are all that were left.
	whole bool
}

// decode turns the rows of a batch behind the first few into columns, until one does not fit any more.
func (o *output) decode(w *work, batch service.MessageBatch, behind int) (d decoded, err error) {
	i := -1
	for row, err := range record.Rows(batch) {
		if i++; i < behind {
			continue
		}
		if err != nil {
			return d, fmt.Errorf("reading row %d: %w", i, err)
		}
		pos := row.Position
		if !row.Placed {
			pos = columns.Position{Timestamp: time.Now().UnixMicro()}
		}
		reasons := o.refuseNameless(row.Value, row.Placed)
		if row.Forged() {
			reasons = forged
		}
		if reasons == nil {
			reasons, err = o.decoder.Append(w.batch, row.Value, pos, i)
		}
		if errors.Is(err, columns.ErrFull) {
			return d, nil // what the batch holds is committed first
		}
		if err != nil {
			return d, err
		}
		switch {
		case len(reasons) == 0:
			w.noteLast(o.seed, row.Value)
		case !o.offsets.contains(pos):
			d.refused = append(d.refused, o.refused.Mark(row.Message(), pos, o.cfg.contract, reasons))
		}
		if row.Placed {
			w.taken.at(pos).add(pos.Offset, pos.Timestamp)
		}
		d.id.add(row.Position)
	}
	d.whole = true
	return d, nil
}

// forged is why a record is refused whose headers overwrite its place: without the true one it could
// not be told from a redelivery (I3).
var forged = []contract.Reason{{Rule: "record", Message: "must not have headers named kafka_topic, kafka_partition, kafka_offset or kafka_timestamp_ms"}}

// refuseNameless refuses a row without a key that came from elsewhere than Kafka: with no place there
// to derive an id from, all such rows would be one.
func (o *output) refuseNameless(value []byte, placed bool) []contract.Reason {
	if placed {
		return nil
	}
	if reasons := o.decoder.Decode(value); len(reasons) > 0 {
		return reasons
	}
	if key := o.cfg.contract.Key; !o.decoder.Has(key) {
		return []contract.Reason{o.cfg.contract.Fields[key].Absent()}
	}
	return nil
}

// batchID recognises a batch that is written again after a fault.
type batchID struct {
	first, last columns.Position
	len         int
}

func (id *batchID) add(pos columns.Position) {
	if id.len == 0 {
		id.first = pos
	}
	id.last = pos
	id.len++
}

// setRefusedAside writes refused rows once, however often the rest of their batch has to be tried.
func (o *output) setRefusedAside(ctx context.Context, id batchID, refused service.MessageBatch) error {
	if len(refused) == 0 || (id.first.Topic != "" && id == o.setAside) {
		return nil
	}
	if err := o.refused.Write(ctx, refused); err != nil {
		return err
	}
	o.setAside = id
	o.metrics.refused.Incr(int64(len(refused)))
	return nil
}
