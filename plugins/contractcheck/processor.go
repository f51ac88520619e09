// Package contractcheck is the processor `contract_check`: it holds each record against its entity's
// contract, for streams whose output is a stock component and does not know contracts, as our sinks do.
//
// The rows stay bytes: what is found goes into metadata.
package contractcheck

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/redpanda-data/benthos/v4/public/service"

	"github.com/shop-connect/shop-connect/internal/clock"
	"github.com/shop-connect/shop-connect/internal/columns"
	"github.com/shop-connect/shop-connect/internal/contract"
	"github.com/shop-connect/shop-connect/internal/quarantine"
	"github.com/shop-connect/shop-connect/internal/record"
)

const (
	fieldContract = "contract"
	fieldTimezone = "timezone"
	fieldLayer    = "layer"
)

// The metadata of a good row.
const (
	metaID      = "entity_id"
	metaDeleted = "entity_deleted"
	metaTime    = "record_time"
)

// Spec documents the component.
func Spec() *service.ConfigSpec {
	return service.NewConfigSpec().
		Categories("Mapping").
		Summary("Holds each Kafka record against a contract, and notes in metadata what is found.").
		Description("A good row gets `"+metaID+"`, its business key as text; `"+metaDeleted+"`, whether it says that the key is gone; and `"+metaTime+"`, the time of its record, in UTC. "+
			"A refused row gets `"+quarantine.MetaReasons+"` and the other metadata that rows in a topic of refused rows have; test for it, and send the row there. "+
			"The content of both stays as it is. Rows that come in a block go out as messages of their own.").
		Fields(
			service.NewStringField(fieldContract).Description("Path of the contract of the rows.").Example("${CONTRACTS_DIR:pipelines/contracts}/products.yaml"),
			service.NewStringField(fieldTimezone).Description("The zone of times that name none.").Default("UTC").Example("${SHOP_TIMEZONE:UTC}"),
			service.NewStringField(fieldLayer).Description("What refuses, as the quarantine shows it.").Example("postgres"),
		)
}

func init() { service.MustRegisterBatchProcessor("contract_check", Spec(), fromParsed) }

type processor struct {
	contract *contract.Contract
	layer    string
	decoders sync.Pool
}

var _ service.BatchProcessor = (*processor)(nil)

func fromParsed(conf *service.ParsedConfig, _ *service.Resources) (service.BatchProcessor, error) {
	var faults []error
	str := func(field string) string {
		v, err := conf.FieldString(field)
		faults = append(faults, err)
		return v
	}
	path, zone, layer := str(fieldContract), str(fieldTimezone), str(fieldLayer)
	c, err := contract.Load(path)
	faults = append(faults, err)
	shop, err := time.LoadLocation(zone)
	if err != nil {
		faults = append(faults, fmt.Errorf("field %q: %w; use a name such as Europe/Berlin", fieldTimezone, err))
	}
	if layer == "" {
		faults = append(faults, fmt.Errorf("field %q: is empty; name what refuses, such as postgres", fieldLayer))
	}
	if err := errors.Join(faults...); err != nil {
		return nil, err
	}
	return &processor{contract: c, layer: layer, decoders: sync.Pool{New: func() any { return columns.NewDecoder(c, columns.Valid, shop) }}}, nil
}

// unplaced is why a row is refused whose later event nobody could tell from an earlier one.
var unplaced = []contract.Reason{{
	Rule:    "kafka_position",
	Message: "must come from Kafka, without headers that are named as the metadata of its place there",
}}

// ProcessBatch checks a batch, and drops nothing (I4).
func (p *processor) ProcessBatch(_ context.Context, batch service.MessageBatch) ([]service.MessageBatch, error) {
	decoder := p.decoders.Get().(*columns.Decoder)
	defer p.decoders.Put(decoder)
	decoder.SetNow(time.Now())
	checked := make(service.MessageBatch, 0, record.Count(batch))
	for _, msg := range batch {
		if record.BlockOf(msg) == nil {
			checked = append(checked, msg)
		}
		for row, err := range record.Rows(service.MessageBatch{msg}) {
			if err != nil {
				return nil, fmt.Errorf("reading row %d of the batch: %w", len(checked), err)
			}
			if record.BlockOf(msg) != nil {
				checked = append(checked, row.Message())
			}
			p.check(decoder, checked[len(checked)-1], &row)
		}
	}
	return []service.MessageBatch{checked}, nil
}

// check notes on a row's message what is found.
func (p *processor) check(decoder *columns.Decoder, msg *service.Message, row *record.Row) {
	reasons := unplaced
	if row.Placed {
		reasons = decoder.Decode(row.Value)
	}
	if len(reasons) > 0 {
		quarantine.Mark(msg, p.layer, p.contract, string(columns.AppendDerivedID(nil, row.Position)), reasons)
		return
	}
	msg.MetaDelete(quarantine.MetaReasons) // a producer's header of that name would make it look refused
	msg.MetaSetMut(metaID, p.key(decoder, row.Position))
	msg.MetaSetMut(metaDeleted, decoder.Deleted())
	msg.MetaSetMut(metaTime, clock.String(row.Position.Timestamp))
}

// key is a row's business key, or what stands in for one that is missing, the same at every delivery (I3).
func (p *processor) key(row *columns.Decoder, pos columns.Position) string {
	field := &p.contract.Fields[p.contract.Key]
	switch {
	case !row.Has(p.contract.Key):
		return string(columns.AppendDerivedID(nil, pos))
	case field.Type == contract.String:
		return string(row.Text(p.contract.Key))
	}
	return field.Format(row.Int(p.contract.Key))
}

// Close has nothing to do.
func (p *processor) Close(context.Context) error { return nil }
