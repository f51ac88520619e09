// Package quarantine is how a refused row travels: its bytes as they came, with who refused it and
// every reason why, until it is a row of a Parquet object in the quarantine bucket (I4).
//
// The API edge and the sinks mark refused messages with metadata and hand them to an output that the
// YAML names; the topic <entity>.rejected carries the metadata as headers; one stream writes them all.
package quarantine

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"sync/atomic"

	"github.com/redpanda-data/benthos/v4/public/service"

	"github.com/shop-connect/shop-connect/internal/columns"
	"github.com/shop-connect/shop-connect/internal/contract"
)

// The metadata of a refused message.
const (
	// MetaReasons holds the reasons as a JSON array of {field, rule, message}.
	MetaReasons = "refused_reasons"
	// MetaBy names the layer that refused: api, raw, clickhouse, iceberg.
	MetaBy = "refused_by"
	// MetaEntity and MetaVersion name the contract it was held against.
	MetaEntity  = "refused_entity"
	MetaVersion = "refused_contract_version"
	// MetaSource says where the row stood: topic-partition-offset, or request id and index in the body.
	MetaSource = "refused_source"
)

// The layers that refuse rows, as MetaBy and the layer= folders of the bucket name them.
const (
	LayerAPI        = "api"
	LayerRaw        = "raw"
	LayerStage      = "stage"
	LayerClickHouse = "clickhouse"
	LayerIceberg    = "iceberg"
)

// Row is one refused row in the quarantine bucket, under
// <entity>/layer=<layer>/date=<day of refusal>/<name>.parquet.
type Row struct {
	Entity          string `parquet:"entity,dict"`
	ContractVersion int64  `parquet:"contract_version"`
	Layer           string `parquet:"layer,dict"`
	// Reasons is a JSON array of {field, rule, message}.
	Reasons string `parquet:"reasons"`
	// Source names the place of the row: topic-partition-offset, object key and row, or request and index.
	Source    string `parquet:"source"`
	RefusedAt int64  `parquet:"refused_at,timestamp(microsecond)"`
	// Value is the row's bytes as they came.
	Value []byte `parquet:"_value"`
	// Topic, Partition and Offset are the place of the record that carried the refused row here.
	Topic     string `parquet:"_topic,dict"`
	Partition int32  `parquet:"_partition"`
	Offset    int64  `parquet:"_offset"`
	// ReplayRun is the last run that tried to bring the row back and could not, ReplayReasons is why not.
	ReplayRun     string `parquet:"replay_run,optional,dict"`
	ReplayReasons string `parquet:"replay_reasons,optional"`
}

// Mark notes on a message who refused it and why.
func Mark(msg *service.Message, layer string, c *contract.Contract, source string, reasons []contract.Reason) {
	for name, value := range Headers(layer, c, source, reasons) {
		msg.MetaSetMut(name, value)
	}
}

// Headers are what Mark notes, for rows that travel another way than in a message.
func Headers(layer string, c *contract.Contract, source string, reasons []contract.Reason) map[string]string {
	return map[string]string{
		MetaReasons: ReasonsJSON(reasons), MetaBy: layer, MetaEntity: c.Entity, MetaVersion: strconv.Itoa(c.Version), MetaSource: source,
	}
}

// ReasonsJSON writes reasons the way Row.Reasons and MetaReasons hold them.
func ReasonsJSON(reasons []contract.Reason) string {
	text, err := json.Marshal(reasons)
	if err != nil {
		// three strings always have a JSON form
		panic(err)
	}
	return string(text)
}

// FieldRefused is the config field of a sink that names where its refused rows go.
const FieldRefused = "refused"

// Field declares FieldRefused.
func Field() *service.ConfigField {
	return service.NewOutputField(FieldRefused).
		Description("Where rows go that the contract refuses, each with its bytes and the metadata `" + MetaReasons + "`, `" + MetaBy + "`, `" + MetaEntity + "`, `" + MetaVersion + "` and `" + MetaSource + "`. A batch is acknowledged only once they are there.")
}

// Refused sends refused rows of a sink to the output that its config names. It is safe for concurrent use.
type Refused struct {
	layer  string
	output *service.OwnedOutput
	used   atomic.Bool
}

// FromParsed reads FieldRefused.
func FromParsed(conf *service.ParsedConfig, layer string) (*Refused, error) {
	output, err := conf.FieldOutput(FieldRefused)
	if err != nil {
		return nil, fmt.Errorf("reading field %q: %w", FieldRefused, err)
	}
	return &Refused{layer: layer, output: output}, nil
}

// Mark returns a copy of a refused message that says who refused it and why, for Write.
func (r *Refused) Mark(msg *service.Message, pos columns.Position, c *contract.Contract, reasons []contract.Reason) *service.Message {
	refused := msg.Copy()
	Mark(refused, r.layer, c, string(columns.AppendDerivedID(nil, pos)), reasons)
	return refused
}

// Write returns once marked rows are durable where the YAML sends them. Call it before the batch that
// they came in is acknowledged (I4).
func (r *Refused) Write(ctx context.Context, batch service.MessageBatch) error {
	if len(batch) == 0 {
		return nil
	}
	r.used.Store(true)
	if err := r.output.WriteBatch(ctx, batch); err != nil {
		return fmt.Errorf("setting aside %d refused rows: %w", len(batch), err)
	}
	return nil
}

// Close closes the output. One that was never written to was never started, and would be waited for in
// vain.
func (r *Refused) Close(ctx context.Context) error {
	if !r.used.Load() {
		return nil
	}
	return r.output.Close(ctx)
}
