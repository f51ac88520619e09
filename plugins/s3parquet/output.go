// Package s3parquet keeps rows as Parquet objects in S3-compatible stores: the output s3_parquet writes
// typed rows (RAW), the output s3_quarantine writes refused ones, and the input s3_parquet lists objects.
//
// Everything that is written stands for a range of offsets of one Kafka partition, and is named by the
// first of them: what is redelivered overwrites itself, and readers know what came before what.
package s3parquet

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"time"

	"github.com/redpanda-data/benthos/v4/public/service"
	"golang.org/x/sync/errgroup"

	"github.com/shop-connect/shop-connect/internal/clock"
	"github.com/shop-connect/shop-connect/internal/columns"
	"github.com/shop-connect/shop-connect/internal/contract"
	"github.com/shop-connect/shop-connect/internal/parquetfile"
	"github.com/shop-connect/shop-connect/internal/quarantine"
	"github.com/shop-connect/shop-connect/internal/record"
	"github.com/shop-connect/shop-connect/internal/store"
)

const (
	fieldPrefix      = "prefix"
	fieldDayFolder   = "day_folder"
	fieldContract    = "contract"
	fieldTimezone    = "timezone"
	fieldCompression = "compression"
	fieldMaxInFlight = "max_in_flight"
	fieldBatching    = "batching"
)

// parallelPuts is how many objects of one batch are on their way at a time. A batch of many days is many
// small objects, which wait for the store more than they keep a processor busy.
const parallelPuts = 8

func init() {
	service.MustRegisterBatchOutput("s3_parquet", OutputSpec(), newOutput)
}

// OutputSpec documents the output s3_parquet.
func OutputSpec() *service.ConfigSpec {
	return service.NewConfigSpec().
		Categories("Services").
		Summary("Writes the records of Kafka topics as typed Parquet objects, one per batch, partition and business day.").
		Description(`
An object holds the contract's fields, each empty where the record has no value, and then `+"`deleted`, `_topic`, `_partition`, `_offset`, `_timestamp` and `_value`"+`,
the record's bytes as they came. A record that is not JSON, or whose values do not have the contract's types, goes to `+"`refused`"+`.
The contract's other rules are not asked for here: that is what the next layer does.

Its key is `+"`<prefix><day_folder>=YYYY-MM-DD/<topic>-<partition>-<first offset>.parquet`"+`, with the first offset that the batch has in
that partition: a batch that is redelivered overwrites itself. A deletion without an event time is in the folder of its Kafka timestamp's day.

With `+"`postgres_dsn`"+`, a contract that rows stored so far do not fit is refused before the first object.

A batch is acknowledged once all its objects are in the store and, with `+"`postgres_dsn`"+`, registered in PostgreSQL. While that is away, batches are held back. Readers rely on the objects of a partition appearing in the order of their
offsets. So the input must hold a partition's next batch back until the one before is acknowledged, as the inputs `+"`kafka_rows`"+` and, unless
`+"`unordered_processing`"+` is enabled, `+"`redpanda`"+` do; then `+"`max_in_flight`"+` is over different partitions only. Behind `+"`kafka_rows`"+` leave `+"`batching`"+` out: the input makes the batches. One batch of `+"`redpanda`"+` is at most
`+"`max_yield_batch_bytes`"+`; `+"`batching.byte_size`"+` should be no more than half of it, or a backlog moves at one batch per
`+"`batching.period`"+`.`).
		Fields(bucketFields()...).
		Fields(
			service.NewStringField(fieldPrefix).Description("What keys begin with. A folder ends in a slash.").Default("").Example("purchases/"),
			service.NewStringField(fieldDayFolder).Description("Name of the folder that each business day has. Empty: days have no folders.").Default("").Example("purchase_date"),
			service.NewStringField(fieldContract).Description("The contract of the rows.").Example("${CONTRACTS_DIR:pipelines/contracts}/purchases.yaml"),
			service.NewStringField(fieldTimezone).Description("The zone of times that name none, and of business days.").Default("UTC").Example("${SHOP_TIMEZONE:UTC}"),
			service.NewStringEnumField(fieldCompression, parquetfile.Compressions()...).Description("Codec of data pages.").Default(string(parquetfile.Zstd)).Advanced(),
			service.NewStringField(fieldPostgres).Description("The PostgreSQL database in which objects are registered, for the input `raw_pending`. Empty: they are found by listing alone.").Secret().Default("").Example("${POSTGRES_DSN}"),
			quarantine.Field(),
			service.NewIntField(fieldMaxInFlight).Description("How many batches are written at a time.").Default(4),
			service.NewBatchPolicyField(fieldBatching),
		)
}

type output struct {
	bucket    *bucket
	prefix    string
	dayFolder string

	contract    *contract.Contract
	layout      *parquetfile.Layout
	shop        *time.Location
	compression parquetfile.Compression
	refused     *quarantine.Refused
	ledger      ledger

	adopting sync.Mutex
	adopted  bool

	decoders sync.Pool
	// writers are as many as there are processors: encoding is bound by them, and each writer holds
	// pages of every column.
	writers chan *parquetfile.Writer
}

var _ service.BatchOutput = (*output)(nil)

func newOutput(conf *service.ParsedConfig, _ *service.Resources) (service.BatchOutput, service.BatchPolicy, int, error) {
	o := &output{}
	var policy service.BatchPolicy
	var inFlight int
	var faults []error
	fault := func(name string, err error) {
		if err != nil {
			faults = append(faults, fmt.Errorf("field %q: %w", name, err))
		}
	}
	var err error
	if o.bucket, err = bucketFromParsed(conf); err != nil {
		faults = append(faults, err)
	}
	o.prefix, err = conf.FieldString(fieldPrefix)
	fault(fieldPrefix, err)
	o.dayFolder, err = conf.FieldString(fieldDayFolder)
	fault(fieldDayFolder, err)
	if strings.ContainsAny(o.dayFolder, "/=") {
		fault(fieldDayFolder, fmt.Errorf("%q must be the name of one folder, without / and =", o.dayFolder))
	}
	if strings.HasPrefix(o.prefix, "/") {
		fault(fieldPrefix, fmt.Errorf("%q must not begin with a slash", o.prefix))
	}
	fault(fieldContract, o.readContract(conf))
	zone, err := conf.FieldString(fieldTimezone)
	fault(fieldTimezone, err)
	if o.shop, err = time.LoadLocation(zone); err != nil {
		fault(fieldTimezone, fmt.Errorf("%w; use a name such as Europe/Berlin", err))
	}
	codec, err := conf.FieldString(fieldCompression)
	fault(fieldCompression, err)
	o.compression, err = parquetfile.ParseCompression(codec)
	fault(fieldCompression, err)
	inFlight, err = conf.FieldInt(fieldMaxInFlight)
	fault(fieldMaxInFlight, err)
	if inFlight < 1 {
		fault(fieldMaxInFlight, errors.New("must be 1 or more"))
	}
	if o.ledger, err = ledgerFromParsed(conf, false); err != nil {
		faults = append(faults, err)
	}
	policy, err = conf.FieldBatchPolicy(fieldBatching)
	fault(fieldBatching, err)
	if err := errors.Join(faults...); err != nil {
		return nil, policy, 0, err
	}
	if o.refused, err = quarantine.FromParsed(conf, quarantine.LayerRaw); err != nil {
		return nil, policy, 0, err
	}
	o.decoders.New = func() any {
		return &decoding{
			decoder: columns.NewDecoder(o.contract, columns.Typed, o.shop),
			batch:   columns.NewBatch(o.contract, 0),
		}
	}
	return o, policy, inFlight, nil
}

func (o *output) readContract(conf *service.ParsedConfig) error {
	path, err := conf.FieldString(fieldContract)
	if err != nil {
		return err
	}
	if o.contract, err = contract.Load(path); err != nil {
		return err
	}
	if o.dayFolder != "" && o.contract.EventTime < 0 {
		return fmt.Errorf("contract %q has no event_time for the field %q to go by", o.contract.Entity, fieldDayFolder)
	}
	o.layout, err = parquetfile.NewLayout(o.contract)
	return err
}

func (o *output) Connect(ctx context.Context) error {
	if err := o.bucket.connect(ctx); err != nil {
		return err
	}
	if err := o.ledger.connect(ctx); err != nil {
		return err
	}
	if o.writers == nil {
		o.writers = make(chan *parquetfile.Writer, runtime.GOMAXPROCS(0))
		for range cap(o.writers) {
			o.writers <- o.layout.NewWriter(o.compression)
		}
	}
	return nil
}

// adopt asks when the first rows come, so that a run fails with the reason: an output that does not connect is
// only tried again.
func (o *output) adopt(ctx context.Context) error {
	o.adopting.Lock()
	defer o.adopting.Unlock()
	if o.adopted {
		return nil
	}
	err := o.ledger.adopt(ctx, o.contract)
	o.adopted = err == nil
	return err
}

// WriteBatch returns once every row is in the store, every refused one is set aside and every object is
// registered (I2, I4).
func (o *output) WriteBatch(ctx context.Context, messages service.MessageBatch) error {
	if err := o.adopt(ctx); err != nil {
		return err
	}
	d := o.decoders.Get().(*decoding)
	defer func() {
		clear(d.values)
		o.decoders.Put(d)
	}()
	instead, err := o.instead(ctx, d, messages)
	if err != nil {
		return err
	}
	refused, err := o.decode(d, messages, instead)
	if err != nil {
		return err
	}
	// the goroutines are done with d when Wait returns, also after an error
	group, writing := errgroup.WithContext(ctx)
	group.SetLimit(parallelPuts)
	group.Go(func() error { return o.refused.Write(writing, refused) })
	objects := split(d.batch, o.dayFolder != "")
	written := make([]store.RawObject, len(objects))
	for i, object := range objects {
		group.Go(func() (err error) {
			written[i], err = o.write(writing, d, object)
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	return o.ledger.register(ctx, o.bucket.name, o.contract.Entity, written)
}

// decoding is what a batch is decoded with and into.
type decoding struct {
	decoder *columns.Decoder
	batch   *columns.Batch
	// values holds the bytes of each row, by its index in the batch.
	values [][]byte
}

func (o *output) decode(d *decoding, messages service.MessageBatch, instead map[int][]byte) (refused service.MessageBatch, err error) {
	d.batch.Reset()
	d.values = d.values[:0]
	for row, err := range record.Rows(messages) {
		source := len(d.values)
		if err != nil {
			return nil, fmt.Errorf("reading row %d of the batch: %w", source, err)
		}
		if kept, replaced := instead[source]; replaced {
			row.Value = kept
		}
		d.values = append(d.values, row.Value)
		reasons := noPosition
		if _, gone := row.Tombstone(); gone && instead != nil && row.Value == nil {
			continue // of a key that no row has
		}
		if row.Placed {
			if reasons, err = d.decoder.Append(d.batch, row.Value, row.Position, source); err != nil {
				return nil, fmt.Errorf("decoding a batch of %d rows: %w; lower its batching", record.Count(messages), err)
			}
		}
		if len(reasons) > 0 {
			refused = append(refused, o.refused.Mark(row.Message(), row.Position, o.contract, reasons))
		}
	}
	return refused, nil
}

// noPosition is why a message is refused that would have no name to be stored under: one that did not
// come from Kafka, or whose producer set headers with the names of the input's own metadata.
var noPosition = []contract.Reason{{
	Rule:    "kafka_position",
	Message: "must come from Kafka, without headers that are named kafka_topic, kafka_partition or kafka_offset",
}}

func (o *output) write(ctx context.Context, d *decoding, object *object) (store.RawObject, error) {
	var file bytes.Buffer
	if err := o.encode(ctx, &file, d, object); err != nil {
		return store.RawObject{}, err
	}
	last := d.batch.Position[object.rows[len(object.rows)-1]].Offset
	stored, err := o.bucket.put(ctx, o.key(object), file.Bytes(), last)
	if stored.LastOffset == last {
		stored.Rows = int64(len(object.rows))
	}
	return stored, err
}

func (o *output) encode(ctx context.Context, file *bytes.Buffer, d *decoding, object *object) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case writer := <-o.writers:
		defer func() { o.writers <- writer }()
		return writer.WriteFile(file, d.batch, object.rows, func(row int32) []byte { return d.values[d.batch.Source[row]] })
	}
}

func (o *output) key(object *object) string {
	key := o.prefix
	if o.dayFolder != "" {
		key += o.dayFolder + "=" + clock.DateString(int64(object.day)) + "/"
	}
	return key + object.name(object.first)
}

// Close leaves nothing behind: connections to the store are closed when they have been idle.
func (o *output) Close(ctx context.Context) error {
	o.ledger.close()
	return o.refused.Close(ctx)
}
