package icebergrepair

import (
	"errors"
	"fmt"
	"slices"

	"github.com/apache/iceberg-go/table"
	"github.com/redpanda-data/benthos/v4/public/service"

	"github.com/shop-connect/shop-connect/internal/contract"
	"github.com/shop-connect/shop-connect/internal/dimension"
	"github.com/shop-connect/shop-connect/internal/icebergcatalog"
)

const fieldContract = "contract"

func init() { service.MustRegisterProcessor("iceberg_repair", Spec(), fromParsed) }

// Spec documents the processor; the editor schema is generated from it.
func Spec() *service.ConfigSpec {
	return service.NewConfigSpec().
		Categories("Services").
		Summary("Fills in, in rows of an Iceberg table, what `topic_lookup` did not know when they were written, once for each message.").
		Description(`
A row that lacks something says so itself: a member such as ` + "`product_known`" + ` is false. Once the product is known, the row is read from the table as it is then, gets what ` + "`topic_lookup`" + ` would give it now, and takes the old row's place in one snapshot, fenced to the one that it was read from. So a correction or a deletion that came meanwhile is never undone, and nothing but the table has to be remembered.

Which files hold such rows is read from the bounds in the table's metadata, and which keys they lack once for each file. A message while nothing new is committed and nothing has become known costs one look into the catalog.

The message becomes a report: ` + "`" + `{"table", "rows", "files", "keys_missing", "conflicts"}` + "`" + `.`).
		Fields(icebergcatalog.Fields()...).
		Fields(service.NewStringField(fieldContract).Description("Path of the contract that the table's columns are of.")).
		Fields(dimension.Fields()...)
}

type config struct {
	catalog  icebergcatalog.Config
	ident    table.Identifier
	contract *contract.Contract
	join     dimension.Config
}

// parseConfig reports every fault it finds, without touching the network.
func parseConfig(conf *service.ParsedConfig) (cfg config, err error) {
	var faults []error
	fault := func(path string, err error) {
		if err != nil {
			faults = append(faults, fmt.Errorf("%s: %w", path, err))
		}
	}
	if cfg.catalog, cfg.ident, err = icebergcatalog.FromParsed(conf); err != nil {
		faults = append(faults, err)
	}
	if cfg.join, err = dimension.FromParsed(conf); err != nil {
		faults = append(faults, err)
	}
	path, err := conf.FieldString(fieldContract)
	fault(fieldContract, err)
	if cfg.contract, err = contract.Load(path); err != nil {
		fault(fieldContract, err)
		return cfg, errors.Join(faults...)
	}
	if at := cfg.join.At; at != "" && !cfg.has(at, contract.Timestamp) {
		fault(dimension.FieldAt, fmt.Errorf("contract %q has no timestamp %q", cfg.contract.Entity, at))
	}
	for i := range cfg.join.Lookups {
		l, path := &cfg.join.Lookups[i], fmt.Sprintf("%s[%d]", dimension.FieldLookups, i)
		if l.Known == "" {
			fault(path, errors.New("known: is required, for it tells the rows that lack something"))
		} else if !cfg.has(l.Known, contract.Bool) {
			fault(path, fmt.Errorf("known: contract %q has no bool %q", cfg.contract.Entity, l.Known))
		}
		if !cfg.has(l.On, contract.String, contract.Int64) {
			fault(path, fmt.Errorf("on: contract %q has no string or int64 %q", cfg.contract.Entity, l.On))
		}
		for _, add := range l.Add {
			if cfg.contract.Index(add.Name) < 0 {
				fault(path, fmt.Errorf("add: contract %q has no field %q", cfg.contract.Entity, add.Name))
			}
		}
	}
	return cfg, errors.Join(faults...)
}

func (c *config) has(field string, types ...contract.Type) bool {
	i := c.contract.Index(field)
	return i >= 0 && slices.Contains(types, c.contract.Fields[i].Type)
}

// marks are the columns that say whether something is lacking.
func (c *config) marks() (names []string) {
	for i := range c.join.Lookups {
		names = append(names, c.join.Lookups[i].Known)
	}
	return names
}
