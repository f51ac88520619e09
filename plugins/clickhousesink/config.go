package clickhousesink

import (
	"errors"
	"fmt"
	"regexp"
	"time"

	"github.com/ClickHouse/ch-go/compress"
	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/redpanda-data/benthos/v4/public/service"

	"github.com/shop-connect/shop-connect/internal/contract"
)

// config is the parsed YAML.
type config struct {
	server      *clickhouse.Options
	table       string
	contract    *contract.Contract
	shop        *time.Location
	dayColumn   string
	hourColumn  string
	sliceColumn string
	dayIndex    string
	daysTouched string
	compression compress.Method
	maxInFlight int
}

// tableName admits what needs no quoting, with or without its database.
var tableName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)?$`)

var compressions = map[string]compress.Method{"none": compress.None, "lz4": compress.LZ4, "zstd": compress.ZSTD}

// parse reads the YAML and reports all its faults at once.
func parse(conf *service.ParsedConfig) (config, error) {
	var cfg config
	var faults []error
	note := func(field string, err error) {
		if err != nil {
			faults = append(faults, fmt.Errorf("%s: %w", field, err))
		}
	}
	text := func(field string) string {
		if !conf.Contains(field) {
			return ""
		}
		v, err := conf.FieldString(field)
		note(field, err)
		return v
	}

	var err error
	cfg.server, err = parseDSN(text(fieldDSN))
	note(fieldDSN, err)
	cfg.contract, err = contract.Load(text(fieldContract))
	note(fieldContract, err)
	cfg.shop, err = time.LoadLocation(text(fieldTimezone))
	note(fieldTimezone, err)
	cfg.maxInFlight, err = conf.FieldMaxInFlight()
	note(fieldMaxInFlight, err)
	if cfg.maxInFlight < 1 {
		note(fieldMaxInFlight, fmt.Errorf("must be 1 or more, is %d", cfg.maxInFlight))
	}
	cfg.compression = compressions[text(fieldCompression)]

	cfg.table, cfg.dayColumn, cfg.hourColumn, cfg.sliceColumn = text(fieldTable), text(fieldDayColumn), text(fieldHourColumn), text(fieldSliceColumn)
	cfg.dayIndex, cfg.daysTouched = text(fieldDayIndex), text(fieldDaysTouched)
	for field, name := range map[string]string{fieldTable: cfg.table, fieldDayIndex: cfg.dayIndex, fieldDaysTouched: cfg.daysTouched} {
		if (name != "" || field == fieldTable) && !tableName.MatchString(name) {
			note(field, fmt.Errorf("%q is not the name of a table, such as analytics.purchases", name))
		}
	}
	for field, name := range map[string]string{fieldDayIndex: cfg.dayIndex, fieldDaysTouched: cfg.daysTouched} {
		if name != "" && cfg.dayColumn == "" {
			note(field, fmt.Errorf("needs %s: name the column that holds the day", fieldDayColumn))
		}
	}
	if cfg.sliceColumn != "" && cfg.dayIndex == "" {
		note(fieldSliceColumn, fmt.Errorf("needs %s: a repeat in another slice is found by it", fieldDayIndex))
	}
	if c := cfg.contract; c != nil && cfg.hourColumn != "" && c.EventTime < 0 {
		note(fieldHourColumn, fmt.Errorf("contract %q has no event_time", c.Entity))
	}
	if c := cfg.contract; c != nil && cfg.dayIndex != "" && c.Fields[c.Key].Type != contract.String {
		note(fieldDayIndex, fmt.Errorf("the key %q of contract %q is no string", c.Fields[c.Key].Name, c.Entity))
	}
	return cfg, errors.Join(faults...)
}

// parseDSN reads the address of ClickHouse's HTTP interface: it is the one that takes finished blocks.
func parseDSN(dsn string) (*clickhouse.Options, error) {
	if dsn == "" {
		return nil, errors.New("is empty; name the HTTP interface, such as http://user:password@127.0.0.1:8123/analytics")
	}
	server, err := clickhouse.ParseDSN(dsn)
	if err != nil {
		return nil, err
	}
	if server.Protocol != clickhouse.HTTP {
		return nil, errors.New("must begin with http:// or https://; blocks are sent over ClickHouse's HTTP interface, mostly on port 8123 or 8443")
	}
	if server.Compression != nil && server.Compression.Method != clickhouse.CompressionNone {
		return nil, fmt.Errorf("must not set compress; use the field %s", fieldCompression)
	}
	return server, nil
}
