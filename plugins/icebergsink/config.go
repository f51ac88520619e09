package icebergsink

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/apache/iceberg-go/table"
	"github.com/google/uuid"
	"github.com/redpanda-data/benthos/v4/public/service"

	"github.com/shop-connect/shop-connect/internal/contract"
	"github.com/shop-connect/shop-connect/internal/icebergcatalog"
	"github.com/shop-connect/shop-connect/internal/quarantine"
)

const (
	fieldContract    = "contract"
	fieldDayColumn   = "day_column"
	fieldPartitionBy = "partition_by"
	fieldSortBy      = "sort_by"
	fieldTargetBytes = "target_bytes"
	fieldTimezone    = "timezone"
	fieldRecentKeys  = "recent_keys"
	fieldBatching    = "batching"

	fieldAcceptTopics = "accept_topics"
)

// Spec documents the output; the editor schema is generated from it.
func Spec() *service.ConfigSpec {
	return service.NewConfigSpec().
		Summary("Writes JSON rows of a contract to an Apache Iceberg table, each Kafka record exactly once and one row per key.").
		Description("The table and its namespace are created from the contract when they are missing. Every commit carries the Kafka offsets of its rows, so whatever is redelivered, retried or written by two processes at once counts once. A key that comes again with other content replaces its row, also across partitions; `{\"<key>\":…,\"deleted\":true}` removes it; of several events the one with the highest offset wins. That needs the records of one partition in order: leave `unordered_processing` of the `redpanda` input off.").
		Categories("Services").
		Fields(icebergcatalog.Fields()...).
		Fields(
			service.NewStringField(fieldContract).Description("Path of the contract whose fields are the table's columns. A field added to it later becomes a column of the table at the next start."),
			service.NewStringField(fieldDayColumn).Description("Name of a column with the row's business day in `timezone`, which the sink computes for contracts that have an event time. Empty for none.").Default(defaultDayColumn),
			service.NewStringListField(fieldPartitionBy).Description("Partition fields: a column, or `year(c)`, `month(c)`, `day(c)`, `hour(c)`, `bucket(n, c)`, `truncate(n, c)` of one.").Default([]any{}).Example([]any{"purchase_date", "bucket(16, id)"}),
			service.NewStringListField(fieldSortBy).Description("Columns that each file is sorted by, each with `desc` behind it where it descends, so that readers can pass over what they do not look for. Sorting costs throughput; without it rows lie as they came.").Default([]any{}).Example([]any{"product_id", "purchased_at desc"}).Advanced(),
			service.NewIntField(fieldTargetBytes).Description("How large a data file becomes at most, about. A batch that is larger makes several of a partition.").Default(128<<20).Advanced(),
			service.NewStringField(fieldTimezone).Description("The zone of times that name none and of the business day.").Default("UTC"),
			service.NewIntField(fieldRecentKeys).Description("How many keys are remembered in memory, at 25 to 55 bytes each. With every key of the table remembered, a key is known to be new without a look at the table; beyond that, keys that may be older are looked up in the files whose key range they fall in.").Default(10_000_000).Advanced(),
			service.NewStringListField(fieldAcceptTopics).Description("Ids of topics that take the place of those of the same name which the table was filled from. A topic that was deleted and created again stops the stream, with an error that names its new id; with that id here, all that the new topic holds is taken in. Ids come with `kafka_rows`.").Default([]any{}).Advanced(),
			service.NewBatchPolicyField(fieldBatching).Description("One batch is one commit. Thousands of rows and seconds make good files; single rows make a table of tiny ones."),
			quarantine.Field(),
		)
}

const defaultDayColumn = "purchase_date"

func init() {
	service.MustRegisterBatchOutput("iceberg_table", Spec(), fromParsed)
}

func fromParsed(conf *service.ParsedConfig, mgr *service.Resources) (service.BatchOutput, service.BatchPolicy, int, error) {
	cfg, err := parseConfig(conf)
	policy, policyErr := conf.FieldBatchPolicy(fieldBatching)
	if err = errors.Join(err, policyErr); err != nil {
		return nil, policy, 0, err
	}
	refused, err := quarantine.FromParsed(conf, quarantine.LayerIceberg)
	if err != nil {
		return nil, policy, 0, err
	}
	// One batch in flight: commits to one table are serial anyway, and the later event of a key wins
	// only while batches keep their order.
	return newOutput(cfg, refused, mgr), policy, 1, nil
}

type config struct {
	catalog     icebergcatalog.Config
	ident       table.Identifier
	contract    *contract.Contract
	dayColumn   string
	partitionBy []partitionField
	sortBy      []sortField
	targetBytes int64
	shop        *time.Location
	recentKeys  int

	acceptTopics []uuid.UUID
}

// parseConfig reports every fault it finds, without touching the network.
func parseConfig(conf *service.ParsedConfig) (cfg config, err error) {
	var faults []error
	fault := func(path string, err error) {
		if err != nil {
			faults = append(faults, fmt.Errorf("%s: %w", path, err))
		}
	}
	text := func(path ...string) string {
		v, err := conf.FieldString(path...)
		fault(strings.Join(path, "."), err)
		return v
	}
	cfg.catalog, cfg.ident, err = icebergcatalog.FromParsed(conf)
	if err != nil {
		faults = append(faults, err)
	}
	cfg.shop, err = time.LoadLocation(text(fieldTimezone))
	if err != nil {
		fault(fieldTimezone, fmt.Errorf("%w; use a name such as UTC or Europe/London", err))
	}
	if cfg.recentKeys, err = conf.FieldInt(fieldRecentKeys); err != nil || cfg.recentKeys < minRecentKeys {
		fault(fieldRecentKeys, cmpErr(err, fmt.Errorf("must be at least %d, is %d", minRecentKeys, cfg.recentKeys)))
	}
	partitionBy, err := conf.FieldStringList(fieldPartitionBy)
	fault(fieldPartitionBy, err)
	sortBy, err := conf.FieldStringList(fieldSortBy)
	fault(fieldSortBy, err)
	targetBytes, err := conf.FieldInt(fieldTargetBytes)
	if err != nil || targetBytes < 1<<20 {
		fault(fieldTargetBytes, cmpErr(err, fmt.Errorf("must be at least %d, is %d", 1<<20, targetBytes)))
	}
	cfg.targetBytes = int64(targetBytes)
	dayColumn := text(fieldDayColumn)
	accepted, err := conf.FieldStringList(fieldAcceptTopics)
	fault(fieldAcceptTopics, err)
	for _, id := range accepted {
		parsed, err := uuid.Parse(id)
		if err != nil {
			fault(fieldAcceptTopics, fmt.Errorf("%q is no id of a topic, such as 5f0c3e9e-77c5-4a3b-9f3a-0d3b6d4d0b9c", id))
		}
		cfg.acceptTopics = append(cfg.acceptTopics, parsed)
	}

	cfg.contract, err = contract.Load(text(fieldContract))
	fault(fieldContract, err)
	if err == nil {
		if cfg.contract.EventTime >= 0 {
			cfg.dayColumn = dayColumn
		}
		fault(fieldContract, cfg.checkContract())
		cfg.partitionBy, err = parsePartitionFields(partitionBy, cfg.schema())
		fault(fieldPartitionBy, err)
		cfg.sortBy, err = parseSortFields(sortBy, cfg.schema())
		fault(fieldSortBy, err)
	}
	return cfg, errors.Join(faults...)
}

func cmpErr(err, otherwise error) error {
	if err != nil {
		return err
	}
	return otherwise
}

func (c *config) checkContract() error {
	key := &c.contract.Fields[c.contract.Key]
	if key.Type != contract.String && key.Type != contract.Int64 {
		return fmt.Errorf("key %q is of type %s; a key must be a string or an int64", key.Name, key.Type)
	}
	if c.dayColumn != "" && c.contract.Index(c.dayColumn) >= 0 {
		return fmt.Errorf("field %q has the name of %s; rename one of them", c.dayColumn, fieldDayColumn)
	}
	return nil
}
