package lakeupkeep

import (
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"time"

	"github.com/redpanda-data/benthos/v4/public/service"
)

const (
	fieldRaw            = "raw_bucket"
	fieldStage          = "stage_bucket"
	fieldQuarantine     = "quarantine_bucket"
	fieldKeepRaw        = "keep_raw"
	fieldKeepStage      = "keep_stage"
	fieldKeepQuarantine = "keep_quarantine"
	fieldKeepLedgers    = "keep_ledgers"
	fieldOpenToo        = "open_too"
	fieldDryRun         = "dry_run"
)

func init() { service.MustRegisterProcessor("lake_retention", RetentionSpec(), newRetainer) }

// RetentionSpec documents the processor lake_retention.
func RetentionSpec() *service.ConfigSpec {
	keep := func(field, what string) *service.ConfigField {
		return service.NewStringField(field).Description("How long " + what + " kept, in days. Empty: for ever.").Default("").Example("90d")
	}
	return service.NewConfigSpec().
		Categories("Services").
		Summary("Removes what is older than is kept, by layer, for each message. Nothing is removed unless it is said how long to keep it.").
		Description(`
What has a business day in its key is as old as that day, anything else as when it was written. Of RAW nothing is removed that waits for STAGE, and of the quarantine no object with a row that is still open, unless `+"`open_too`"+` says so.

What was removed stays known as staged: no later run takes it for new, or for lost.

The message becomes a report: `+"`"+`{"dry_run", "raw", "stage", "quarantine": {"objects", "bytes", "kept"}, "ledgers": {table: rows}}`+"`"+`. In a batch run objects and bytes are entered in the ledger; of a dry run, as objects that are unchanged.`).
		Fields(lakeFields()...).
		Fields(
			service.NewStringField(fieldRaw).Description("Bucket of RAW.").Default("shop-raw-data"),
			service.NewStringField(fieldStage).Description("Bucket of STAGE.").Default("shop-stage-data"),
			service.NewStringField(fieldQuarantine).Description("Bucket of the quarantine.").Default("shop-quarantine"),
			keep(fieldKeepRaw, "objects of RAW are"),
			keep(fieldKeepStage, "objects of STAGE are"),
			keep(fieldKeepQuarantine, "objects of the quarantine are"),
			keep(fieldKeepLedgers, "finished runs, deletions, idempotency keys and what is known of objects that are gone are"),
			service.NewBoolField(fieldOpenToo).Description("Remove refused rows that nobody has replayed or discarded, too.").Default(false),
			service.NewBoolField(fieldDryRun).Description("Remove nothing, and say what would go.").Default(false),
		)
}

// days is how long something is kept; 0 is for ever.
type days int

var daysText = regexp.MustCompile(`^[1-9][0-9]{0,4}d$`)

func parseDays(text string) (days, error) {
	if text == "" {
		return 0, nil
	}
	if !daysText.MatchString(text) {
		return 0, fmt.Errorf("%q is no number of days: write it as 90d, or leave it empty to keep everything", text)
	}
	n, err := strconv.Atoi(text[:len(text)-1])
	return days(n), err
}

type retentionConfig struct {
	*lake
	raw, stage, quarantine                          string
	keepRaw, keepStage, keepQuarantine, keepLedgers days
	openToo, dryRun                                 bool
}

func parseRetention(conf *service.ParsedConfig) (retentionConfig, error) {
	var f faults
	c := retentionConfig{lake: f.lake(conf)}
	for field, into := range map[string]*string{fieldRaw: &c.raw, fieldStage: &c.stage, fieldQuarantine: &c.quarantine} {
		if *into = f.text(conf, field); *into == "" {
			f.note(field, errors.New("must not be empty"))
		}
	}
	for field, into := range map[string]*days{
		fieldKeepRaw: &c.keepRaw, fieldKeepStage: &c.keepStage, fieldKeepQuarantine: &c.keepQuarantine, fieldKeepLedgers: &c.keepLedgers,
	} {
		var err error
		*into, err = parseDays(f.text(conf, field))
		f.note(field, err)
	}
	for field, into := range map[string]*bool{fieldOpenToo: &c.openToo, fieldDryRun: &c.dryRun} {
		var err error
		*into, err = conf.FieldBool(field)
		f.note(field, err)
	}
	return c, errors.Join(f...)
}

func newRetainer(conf *service.ParsedConfig, _ *service.Resources) (service.Processor, error) {
	cfg, err := parseRetention(conf)
	if err != nil {
		return nil, err
	}
	return &retainer{retentionConfig: cfg, now: time.Now}, nil
}
