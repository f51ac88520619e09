// Package erasure forgets a person: the processor `erase_customer` takes a customer out of every layer that
// holds anything of them but a number, and leaves every count and every statistic as it is.
//
// README.md says what is the person's, what becomes of it where, and what stays for how long.
package erasure

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	icebergtable "github.com/apache/iceberg-go/table"
	"github.com/redpanda-data/benthos/v4/public/service"

	"github.com/shop-connect/shop-connect/internal/contract"
	"github.com/shop-connect/shop-connect/internal/objectstore"
	"github.com/shop-connect/shop-connect/internal/parquetfile"
	"github.com/shop-connect/shop-connect/internal/store"
)

const (
	fieldCustomer   = "customer_id"
	fieldContract   = "contract"
	fieldPostgres   = "postgres_dsn"
	fieldBrokers    = "seed_brokers"
	fieldTLS        = "tls"
	fieldClickHouse = "clickhouse_dsn"
	fieldRaw        = "raw_bucket"
	fieldStage      = "stage_bucket"
	fieldQuarantine = "quarantine_bucket"
	fieldCatalog    = "catalog"
	fieldWarehouse  = "warehouse"
	fieldFacts      = "facts_table"
	fieldWait       = "wait"
	fieldFull       = "rewrite_tables_below"
)

func init() { service.MustRegisterProcessor("erase_customer", Spec(), newProcessor) }

// Spec documents the processor erase_customer.
func Spec() *service.ConfigSpec {
	return service.NewConfigSpec().
		Categories("Services").
		Summary("Takes a customer out of PostgreSQL, Kafka, RAW, STAGE, quarantine, ClickHouse and Iceberg, for each message.").
		Description(`
Rows stay where they are counted, with the customer's number and nothing else of the person; purchases stay as they are. What is on its way is waited for, so that nothing brings the person back.
It may be repeated, and goes on where a crash has ended it.

The message becomes the report, which is also that of the batch run: what was rewritten in each layer, and what remains for how long.`).
		Fields(objectstore.Fields()...).
		Fields(
			service.NewStringField(fieldCustomer).Description("The customer's number."),
			service.NewStringField(fieldContract).Description("Folder of the contracts, which say what a row may hold.").Example("${CONTRACTS_DIR:pipelines/contracts}"),
			service.NewStringField(fieldPostgres).Description("Connection string of the shop's database.").Secret().Example("${POSTGRES_DSN}"),
			service.NewStringListField(fieldBrokers).Description("Kafka brokers, host:port each; an item may list several with commas."),
			service.NewTLSToggledField(fieldTLS),
			service.NewStringField(fieldClickHouse).Description("Connection string of the analytics database. Empty: there is none.").Secret().Default("").Example("${CLICKHOUSE_DSN}"),
			service.NewStringField(fieldRaw).Description("The bucket of RAW.").Default("shop-raw-data"),
			service.NewStringField(fieldStage).Description("The bucket of STAGE.").Default("shop-stage-data"),
			service.NewStringField(fieldQuarantine).Description("The bucket of refused rows.").Default("shop-quarantine"),
			service.NewStringField(fieldCatalog).Description("The name of the Iceberg catalog, which is in the shop's database.").Default("shop"),
			service.NewStringField(fieldWarehouse).Description("Where the tables of the catalog are.").Default("s3://analytics/"),
			service.NewStringField(fieldFacts).Description("The Iceberg table of purchases joined with what was known of their customers.").Default("analytics.purchase_product_facts"),
			service.NewDurationField(fieldWait).Description("How long one of the streams, or a batch run that began before, may take to be through with what is on its way.").Default("10m"),
			service.NewIntField(fieldFull).Description("Tables of PostgreSQL with fewer bytes are written anew, which keeps everybody out of them for that long. In larger ones the room of deleted rows is freed, and overwritten with time.").Default(256<<20).Advanced(),
		)
}

type config struct {
	objects         objectstore.Config
	customer        int64
	contracts       map[string]*contract.Contract
	layouts         map[string]*parquetfile.Layout
	dsn, clickhouse string
	brokers         []string
	tls             *tlsConfig
	raw, stage      string
	quarantine      string
	catalog         string
	warehouse       string
	facts           icebergtable.Identifier
	wait            time.Duration
	full            int64
}

func parse(conf *service.ParsedConfig) (c config, err error) {
	var faults []error
	fault := func(field string, err error) {
		if err != nil {
			faults = append(faults, fmt.Errorf("field %q: %w", field, err))
		}
	}
	text := func(field string) string {
		v, err := conf.FieldString(field)
		fault(field, err)
		return v
	}
	if c.objects, err = objectstore.FromParsed(conf); err != nil {
		faults = append(faults, err)
	}
	number := text(fieldCustomer)
	if c.customer, err = strconv.ParseInt(number, 10, 64); err != nil || c.customer < 1 {
		fault(fieldCustomer, fmt.Errorf("%.40q must be a customer's number, such as 17", number))
	}
	c.contracts, err = contract.LoadDir(text(fieldContract))
	fault(fieldContract, err)
	c.layouts = map[string]*parquetfile.Layout{}
	for entity, rules := range c.contracts {
		c.layouts[entity], err = parquetfile.NewLayout(rules)
		fault(fieldContract, err)
	}
	c.dsn = text(fieldPostgres)
	fault(fieldPostgres, store.CheckDSN(c.dsn))
	brokers, err := conf.FieldStringList(fieldBrokers)
	fault(fieldBrokers, err)
	for item := range strings.SplitSeq(strings.Join(brokers, ","), ",") {
		if item = strings.TrimSpace(item); item != "" {
			c.brokers = append(c.brokers, item)
		}
	}
	if err == nil && len(c.brokers) == 0 {
		fault(fieldBrokers, errors.New("must not be empty"))
	}
	tls, useTLS, err := conf.FieldTLSToggled(fieldTLS)
	fault(fieldTLS, err)
	if useTLS {
		c.tls = tls
	}
	c.clickhouse = text(fieldClickHouse)
	facts := ""
	for field, value := range map[string]*string{
		fieldRaw: &c.raw, fieldStage: &c.stage, fieldQuarantine: &c.quarantine, fieldCatalog: &c.catalog, fieldWarehouse: &c.warehouse, fieldFacts: &facts,
	} {
		if *value = text(field); *value == "" {
			fault(field, errors.New("must not be empty"))
		}
	}
	c.facts = strings.Split(facts, ".")
	c.wait, err = conf.FieldDuration(fieldWait)
	fault(fieldWait, err)
	full, err := conf.FieldInt(fieldFull)
	fault(fieldFull, err)
	c.full = int64(full)
	return c, errors.Join(faults...)
}

func newProcessor(conf *service.ParsedConfig, _ *service.Resources) (service.Processor, error) {
	cfg, err := parse(conf)
	if err != nil {
		return nil, err
	}
	return &processor{cfg: cfg}, nil
}
