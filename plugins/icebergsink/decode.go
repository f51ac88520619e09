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

// decode turns messages into columns until one does not fit any more, and returns how many it took and
// the refused ones among them.
func (o *output) decode(w *work, batch service.MessageBatch) (taken int, refused service.MessageBatch, err error) {
	for i, msg := range batch {
		value, err := msg.AsBytes()
		if err != nil {
			return 0, nil, fmt.Errorf("reading message %d: %w", i, err)
		}
		pos, placed := record.Position(msg)
		if !placed {
			pos = columns.Position{Timestamp: time.Now().UnixMicro()}
		}
		reasons := o.refuseNameless(value, placed)
		if record.Forged(msg) {
			reasons = forged
		}
		if reasons == nil {
			reasons, err = o.decoder.Append(w.batch, value, pos, i)
		}
		if errors.Is(err, columns.ErrFull) {
			break // what the batch holds is committed first
		}
		if err != nil {
			return 0, nil, err
		}
		switch {
		case len(reasons) == 0:
			w.noteLast(o.seed, value)
		case !o.offsets.contains(pos):
			refused = append(refused, o.refused.Mark(msg, pos, o.cfg.contract, reasons))
		}
		if placed {
			w.taken.at(pos).add(pos.Offset, pos.Timestamp)
		}
		taken++
	}
	return taken, refused, nil
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

func identify(batch service.MessageBatch) batchID {
	first, _ := record.Position(batch[0])
	last, _ := record.Position(batch[len(batch)-1])
	return batchID{first, last, len(batch)}
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
