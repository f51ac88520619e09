// Package topiclookup is the processor `topic_lookup`: it joins a stream with a compacted topic, such
// as purchases with their products, without a database between them.
//
// The messages stay bytes: the joined fields are spliced in as JSON behind the object's own.
package topiclookup

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"

	"github.com/go-faster/jx"
	"github.com/redpanda-data/benthos/v4/public/service"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/shop-connect/shop-connect/internal/contract"
	"github.com/shop-connect/shop-connect/internal/money"
	"github.com/shop-connect/shop-connect/internal/record"
)

const (
	fieldBrokers  = "seed_brokers"
	fieldTopic    = "topic"
	fieldContract = "contract"
	fieldOn       = "on"
	fieldAdd      = "add"
	fieldTLS      = "tls"
)

func init() { service.MustRegisterBatchProcessor("topic_lookup", Spec(), fromParsed) }

// Spec documents the component.
func Spec() *service.ConfigSpec {
	return service.NewConfigSpec().
		Categories("Mapping").
		Summary("Adds to each JSON object fields of the latest record that a Kafka topic holds for a key.").
		Description(`The whole topic is read into memory at the first message and followed from then on. A key that is not there makes the processor ask Kafka for the topic's end and read up to it before it gives up, so that what was acknowledged before a message was sent is found when the message is joined. A message whose key is unknown gets the members as null: what a producer wrote under their names never passes for what the topic says. A message that is not a JSON object passes as it is.

Records that break the topic's contract are passed over, a record without a value or with `+"`\"deleted\": true`"+` removes its key. Memory follows the number of keys: about 300 bytes each.`).
		Fields(
			service.NewStringListField(fieldBrokers).Description("Kafka brokers, host:port each; an item may list several with commas."),
			service.NewStringField(fieldTopic).Description("The topic to join with; its records are keyed by entity id."),
			service.NewStringField(fieldContract).Description("Path of the contract of the topic's records."),
			service.NewStringField(fieldOn).Description("The member of the message that holds the key; a string, or an integer as its decimal text."),
			service.NewStringMapField(fieldAdd).Description("Members to add, each with the member of the topic's record that it takes its value from."),
			service.NewTLSToggledField(fieldTLS),
		)
}

type processor struct {
	on      string
	records *table
}

var _ service.BatchProcessor = (*processor)(nil)

func fromParsed(conf *service.ParsedConfig, mgr *service.Resources) (service.BatchProcessor, error) {
	cfg, err := parse(conf)
	if err != nil {
		return nil, err
	}
	return &processor{on: cfg.on, records: newTable(cfg, mgr.Logger())}, nil
}

// config is the parsed YAML.
type config struct {
	brokers  []string
	topic    string
	contract *contract.Contract
	on       string
	add      []addition
	tls      tlsConfig
}

type addition struct{ name, from string }

func parse(conf *service.ParsedConfig) (config, error) {
	var cfg config
	var faults []error
	note := func(err error) {
		if err != nil {
			faults = append(faults, err)
		}
	}
	var err error
	cfg.brokers, err = conf.FieldStringList(fieldBrokers)
	note(err)
	cfg.topic, err = conf.FieldString(fieldTopic)
	note(err)
	cfg.on, err = conf.FieldString(fieldOn)
	note(err)
	cfg.tls.config, cfg.tls.enabled, err = conf.FieldTLSToggled(fieldTLS)
	note(err)
	path, err := conf.FieldString(fieldContract)
	note(err)
	cfg.contract, err = contract.Load(path)
	note(err)
	add, err := conf.FieldStringMap(fieldAdd)
	note(err)
	for name, from := range add {
		if cfg.contract != nil && cfg.contract.Index(from) < 0 {
			note(fmt.Errorf("%s.%s: contract %q has no field %q", fieldAdd, name, cfg.contract.Entity, from))
		}
		cfg.add = append(cfg.add, addition{name, from})
	}
	slices.SortFunc(cfg.add, func(a, b addition) int { return compare(a.name, b.name) })
	return cfg, errors.Join(faults...)
}

func compare(a, b string) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

// ProcessBatch joins a batch. A topic that cannot be read is an error of every message.
func (p *processor) ProcessBatch(ctx context.Context, batch service.MessageBatch) ([]service.MessageBatch, error) {
	if err := p.records.start(ctx); err != nil {
		return nil, err
	}
	rows := record.Count(batch)
	values, keys, objects := make([][]byte, 0, rows), make([]string, 0, rows), make([]bool, 0, rows)
	scan := scanner{on: p.on}
	for row, err := range record.Rows(batch) {
		if err != nil {
			return nil, fmt.Errorf("reading row %d of the batch: %w", len(values), err)
		}
		key, isObject := scan.key(row.Value)
		values, keys, objects = append(values, row.Value), append(keys, key), append(objects, isObject)
	}
	fragments, err := p.records.lookup(ctx, keys)
	if err != nil {
		return nil, err
	}
	p.join(values, objects, fragments)
	for i, msg := range batch {
		block := record.BlockOf(msg)
		if block == nil {
			msg.SetBytes(values[0])
			values = values[1:]
			continue
		}
		// copies: others may have the records in hand
		joined := make([]kgo.Record, len(block.Records))
		records := make([]*kgo.Record, len(block.Records))
		for j, r := range block.Records {
			joined[j] = *r
			joined[j].Value, records[j] = values[j], &joined[j]
		}
		batch[i] = (&record.Block{Records: records}).Message().WithContext(msg.Context())
		values = values[len(records):]
	}
	return []service.MessageBatch{batch}, nil
}

// join replaces each object with one that has the members too, all in one piece of memory.
func (p *processor) join(values [][]byte, objects []bool, fragments [][]byte) {
	size := 0
	for i, fragment := range fragments {
		if fragment == nil {
			fragments[i] = p.records.unknown
		}
		if objects[i] {
			size += len(values[i]) + len(fragments[i]) + 1
		}
	}
	memory := make([]byte, 0, size)
	for i, value := range values {
		if objects[i] {
			start := len(memory)
			memory = splice(memory, value, fragments[i])
			values[i] = memory[start:len(memory):len(memory)]
		}
	}
}

// Close stops following the topic.
func (p *processor) Close(context.Context) error {
	p.records.close()
	return nil
}

// scanner finds the key of a message.
type scanner struct {
	on    string
	json  jx.Decoder
	found string
}

// key returns the value of the member, "" where the message has none; isObject is false for a message
// that is not one well-formed object.
func (s *scanner) key(raw []byte) (key string, isObject bool) {
	s.found = ""
	s.json.ResetBytes(raw)
	if s.json.Next() != jx.Object || s.json.ObjBytes(s.member) != nil {
		return "", false
	}
	// bytes behind the object are for the output to refuse
	if err := s.json.Skip(); !errors.Is(err, io.EOF) {
		return "", false
	}
	return s.found, true
}

func (s *scanner) member(d *jx.Decoder, key []byte) error {
	if string(key) != s.on {
		return d.Skip()
	}
	switch d.Next() {
	case jx.String:
		text, err := d.StrBytes()
		s.found = string(text)
		return err
	case jx.Number:
		num, err := d.Num()
		if err != nil {
			return err
		}
		if v, fault := money.ParseInteger(num); fault == nil {
			s.found = strconv.FormatInt(v, 10)
		}
		return nil
	}
	return d.Skip()
}

// splice appends a JSON object with members behind its own. Of a repeated name the last counts, so what is
// joined wins over what a producer wrote under the same name.
func splice(to, object, members []byte) []byte {
	end := len(object) - 1
	for object[end] != '}' {
		end--
	}
	last := end - 1
	for object[last] == ' ' || object[last] == '\n' || object[last] == '\t' || object[last] == '\r' {
		last--
	}
	to = append(to, object[:end]...)
	if object[last] != '{' {
		to = append(to, ',')
	}
	return append(append(to, members...), '}')
}
