// Package dimension keeps what purchases are joined with, such as products: for each key of a compacted
// Kafka topic what was true of it from when on.
package dimension

import (
	"cmp"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/redpanda-data/benthos/v4/public/service"

	"github.com/shop-connect/shop-connect/internal/contract"
)

// The fields, for errors that name them.
const (
	FieldBrokers  = "seed_brokers"
	FieldTLS      = "tls"
	FieldAt       = "at"
	FieldTimezone = "timezone"
	FieldLookups  = "lookups"
	fieldTopic    = "topic"
	fieldContract = "contract"
	fieldOn       = "on"
	fieldAdd      = "add"
	fieldKnown    = "known"
)

// sinceField is the member of a topic's record that says since when it is true.
const sinceField = "updated_at"

// Fields declares the fields that say what is joined with what.
func Fields() []*service.ConfigField {
	return []*service.ConfigField{
		service.NewStringListField(FieldBrokers).Description("Kafka brokers, host:port each; an item may list several with commas."),
		service.NewStringField(FieldAt).Description("The member of a row that holds its time. A row gets what was true then: the latest version that had begun, else the first that is known. Without it, or in a row that has none, what is true now.").Default(""),
		service.NewStringField(FieldTimezone).Description("The zone of times that name none.").Default("UTC"),
		service.NewObjectListField(FieldLookups,
			service.NewStringField(fieldTopic).Description("The topic to join with; its records are keyed by entity id."),
			service.NewStringField(fieldContract).Description("Path of the contract of the topic's records."),
			service.NewStringField(fieldOn).Description("The member of a row that holds the key; a string, or an integer as its decimal text."),
			service.NewStringMapField(fieldAdd).Description("Members to add, each with the member of the topic's record that it takes its value from."),
			service.NewStringField(fieldKnown).Description("A member to add that says, as true or false, whether the key is known.").Default(""),
		).Description("What rows are joined with."),
		service.NewTLSToggledField(FieldTLS),
	}
}

// Config says what rows are joined with.
type Config struct {
	Brokers []string
	TLS     *tls.Config // nil without TLS
	// At is the member with a row's time, empty for none.
	At       string
	Timezone *time.Location
	Lookups  []Lookup

	// identity is the same for configs that read the same.
	identity string
}

// Lookup is one topic to join with.
type Lookup struct {
	Topic    string
	Contract *contract.Contract
	// On is the member of a row that holds the key.
	On string
	// Add are the members added, by name; Known is one more, empty for none.
	Add   []Addition
	Known string
}

// Addition is a member that a row gets, and the field of the topic's record that it comes from.
type Addition struct{ Name, From string }

// FromParsed reads Fields, without touching the network. All faults are in the error.
func FromParsed(conf *service.ParsedConfig) (Config, error) {
	var c Config
	var faults []error
	fault := func(path string, err error) {
		if err != nil {
			faults = append(faults, fmt.Errorf("%s: %w", path, err))
		}
	}
	lists, err := conf.FieldStringList(FieldBrokers)
	fault(FieldBrokers, err)
	for _, list := range lists {
		for broker := range strings.SplitSeq(list, ",") {
			if broker = strings.TrimSpace(broker); broker != "" {
				c.Brokers = append(c.Brokers, broker)
			}
		}
	}
	if err == nil && len(c.Brokers) == 0 {
		fault(FieldBrokers, errors.New("must name a broker, such as localhost:9092"))
	}
	config, enabled, err := conf.FieldTLSToggled(FieldTLS)
	if fault(FieldTLS, err); enabled {
		c.TLS = config
	}
	c.At, err = conf.FieldString(FieldAt)
	fault(FieldAt, err)
	zone, err := conf.FieldString(FieldTimezone)
	fault(FieldTimezone, err)
	c.Timezone, err = time.LoadLocation(zone)
	if err != nil {
		fault(FieldTimezone, fmt.Errorf("%w; use a name such as UTC or Europe/London", err))
	}
	lookups, err := conf.FieldObjectList(FieldLookups)
	fault(FieldLookups, err)
	if err == nil && len(lookups) == 0 {
		fault(FieldLookups, errors.New("must name a topic to join with"))
	}
	for i, item := range lookups {
		l, err := parseLookup(item)
		fault(fmt.Sprintf("%s[%d]", FieldLookups, i), err)
		c.Lookups = append(c.Lookups, l)
	}
	if len(faults) == 0 {
		c.identity, err = identityOf(conf)
		fault(FieldLookups, err)
	}
	return c, errors.Join(faults...)
}

// identityOf is of what has an effect on what is read from Kafka, and how.
func identityOf(conf *service.ParsedConfig) (string, error) {
	read := map[string]any{}
	for _, name := range []string{FieldBrokers, FieldTLS, FieldTimezone, FieldLookups} {
		var err error
		if read[name], err = conf.FieldAny(name); err != nil {
			return "", err
		}
	}
	text, err := json.Marshal(read)
	return string(text), err
}

func parseLookup(conf *service.ParsedConfig) (l Lookup, err error) {
	var faults []error
	text := func(name string) string {
		v, err := conf.FieldString(name)
		faults = append(faults, err)
		return v
	}
	l = Lookup{Topic: text(fieldTopic), On: text(fieldOn), Known: text(fieldKnown)}
	l.Contract, err = contract.Load(text(fieldContract))
	faults = append(faults, err)
	add, err := conf.FieldStringMap(fieldAdd)
	faults = append(faults, err)
	for name, from := range add {
		if l.Contract != nil && l.Contract.Index(from) < 0 {
			faults = append(faults, fmt.Errorf("%s.%s: contract %q has no field %q", fieldAdd, name, l.Contract.Entity, from))
		}
		l.Add = append(l.Add, Addition{name, from})
	}
	slices.SortFunc(l.Add, func(a, b Addition) int { return cmp.Compare(a.Name, b.Name) })
	return l, errors.Join(faults...)
}

// render writes the members to add: "name":value,"name":value. Values are by the field of the topic's
// record; what has none is null.
func (l *Lookup) render(to []byte, values map[string][]byte, known bool) []byte {
	member := func(name string) {
		if len(to) > 0 {
			to = append(to, ',')
		}
		quoted, _ := json.Marshal(name)
		to = append(append(to, quoted...), ':')
	}
	for _, add := range l.Add {
		member(add.Name)
		if raw, found := values[add.From]; found {
			to = append(to, raw...)
		} else {
			to = append(to, "null"...)
		}
	}
	if l.Known != "" {
		member(l.Known)
		if known {
			to = append(to, "true"...)
		} else {
			to = append(to, "false"...)
		}
	}
	return to
}
