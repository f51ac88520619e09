package lakeupkeep

import (
	"errors"
	"fmt"
	"time"

	"github.com/redpanda-data/benthos/v4/public/service"

	"github.com/shop-connect/shop-connect/internal/store"
)

const (
	fieldLayer      = "layer"
	fieldBucket     = "bucket"
	fieldDay        = "day"
	fieldTarget     = "target_bytes"
	fieldMinObjects = "min_objects"
	fieldSettled    = "settled_for"
)

const (
	defaultTarget = 64 << 20
	// An object is sent in one request, and one source at a time is in memory.
	maxTarget = 1 << 30
	minTarget = 1 << 16
)

func init() { service.MustRegisterProcessor("lake_compact", CompactSpec(), newCompactor) }

// CompactSpec documents the processor lake_compact.
func CompactSpec() *service.ConfigSpec {
	return service.NewConfigSpec().
		Categories("Services").
		Summary("Merges the small Parquet objects of a layer into large ones, for each message.").
		Description(`
Objects of one topic, partition and day are merged in the order of their offsets, up to `+"`target_bytes`"+`; those of half of that and more stay. Large row groups are copied as the bytes they are, small ones become large ones. An object of an older contract gets the columns that it lacks, with nulls.

Of RAW only what is in STAGE is merged, of STAGE only what the ledger has. Nothing is merged across an object that stays: one that waits for STAGE, is younger than `+"`settled_for`"+`, or is damaged. A damaged object is left alone and reported.

The merged object is put before its sources are removed: no row is ever missing, and for a moment rows may be there twice. A crash in between is finished by the next run, first. The name of a merged object sorts behind its sources, so that no reader that lists the folder while that happens misses a row.

The message becomes a report: `+"`"+`{"layer", "merged", "into", "rows", "repeated", "bytes", "left", "damaged": [{"key", "reason"}]}`+"`"+`. In a batch run its counts are entered in the ledger.`).
		Fields(lakeFields()...).
		Fields(
			service.NewStringAnnotatedEnumField(fieldLayer, map[string]string{
				string(store.LayerRaw):   "What was read from Kafka, and is in STAGE.",
				string(store.LayerStage): "What obeys its contract.",
			}).Description("The layer that the bucket is."),
			service.NewStringField(fieldBucket).Description("The bucket of the layer.").Example("shop-raw-data"),
			service.NewStringField(fieldDay).Description("Only objects in a folder of this business day, such as `purchase_date=2026-01-02/`. Empty: all.").Default("").Example("2026-01-02"),
			service.NewIntField(fieldTarget).Description("How large a merged object becomes at most.").Default(defaultTarget),
			service.NewIntField(fieldMinObjects).Description("How many objects are worth a merge.").Default(4),
			service.NewDurationField(fieldSettled).Description("How long ago an object was written, at least.").Default("1h"),
		)
}

type compactConfig struct {
	*lake
	layer      store.Layer
	bucket     string
	day        string
	target     int64
	minObjects int
	settled    time.Duration
}

func parseCompact(conf *service.ParsedConfig) (compactConfig, error) {
	var f faults
	c := compactConfig{lake: f.lake(conf)}
	switch c.layer = store.Layer(f.text(conf, fieldLayer)); c.layer {
	case store.LayerRaw, store.LayerStage:
	default:
		f.note(fieldLayer, fmt.Errorf("%q is no layer with objects to merge; use %s or %s", c.layer, store.LayerRaw, store.LayerStage))
	}
	if c.bucket = f.text(conf, fieldBucket); c.bucket == "" {
		f.note(fieldBucket, errors.New("must not be empty"))
	}
	if c.day = f.text(conf, fieldDay); c.day != "" {
		_, err := time.Parse(time.DateOnly, c.day)
		f.note(fieldDay, err)
	}
	target, err := conf.FieldInt(fieldTarget)
	f.note(fieldTarget, err)
	if c.target = int64(target); c.target < minTarget || c.target > maxTarget {
		f.note(fieldTarget, fmt.Errorf("must be from %d to %d, is %d", minTarget, maxTarget, c.target))
	}
	c.minObjects, err = conf.FieldInt(fieldMinObjects)
	f.note(fieldMinObjects, err)
	if c.minObjects < 2 {
		f.note(fieldMinObjects, fmt.Errorf("must be 2 or more, is %d", c.minObjects))
	}
	c.settled, err = conf.FieldDuration(fieldSettled)
	f.note(fieldSettled, err)
	if c.settled < 0 {
		f.note(fieldSettled, errors.New("must not be negative"))
	}
	return c, errors.Join(f...)
}

func newCompactor(conf *service.ParsedConfig, _ *service.Resources) (service.Processor, error) {
	cfg, err := parseCompact(conf)
	if err != nil {
		return nil, err
	}
	return &compactor{compactConfig: cfg, now: time.Now}, nil
}
