// Package topiclookup is the processor `topic_lookup`: it joins a stream with compacted topics, such as
// purchases with their products, without a database between them.
//
// The messages stay bytes: the joined fields are spliced in as JSON behind the object's own.
package topiclookup

import (
	"context"
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/redpanda-data/benthos/v4/public/service"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/shop-connect/shop-connect/internal/columns"
	"github.com/shop-connect/shop-connect/internal/contract"
	"github.com/shop-connect/shop-connect/internal/dimension"
	"github.com/shop-connect/shop-connect/internal/record"
)

func init() { service.MustRegisterBatchProcessor("topic_lookup", Spec(), fromParsed) }

// Spec documents the component.
func Spec() *service.ConfigSpec {
	return service.NewConfigSpec().
		Categories("Mapping").
		Summary("Adds to each JSON object what Kafka topics say of the keys in it, as it was at the object's own time.").
		Description(`The topics are read into memory at the first message and followed from then on. Before a batch is joined, everything that they hold by then has been read: what was acknowledged before a message was sent is found. A message whose key is unknown gets the members as null: what a producer wrote under their names never passes for what the topic says. A message that is not a JSON object passes as it is, and so does one with ` + "`\"deleted\": true`" + `.

A record of a topic is a version of its key. It begins at its member ` + "`updated_at`" + `, or at its Kafka timestamp where it has none. Records that break the topic's contract are passed over; one with ` + "`\"deleted\": true`" + ` ends the version before it, and one without a value removes all that is known of its key. Memory follows the number of keys and of versions that differ in what is added, 64 of them for a key.`).
		Fields(dimension.Fields()...)
}

type processor struct {
	set  *dimension.Set
	scan scanner
}

var _ service.BatchProcessor = (*processor)(nil)

func fromParsed(conf *service.ParsedConfig, mgr *service.Resources) (service.BatchProcessor, error) {
	cfg, err := dimension.FromParsed(conf)
	if err != nil {
		return nil, err
	}
	scan, err := newScanner(&cfg)
	if err != nil {
		return nil, err
	}
	return &processor{set: dimension.Open(cfg, mgr.Logger()), scan: scan}, nil
}

// ProcessBatch joins a batch. Topics that cannot be read are an error of every message.
func (p *processor) ProcessBatch(ctx context.Context, batch service.MessageBatch) ([]service.MessageBatch, error) {
	if err := p.set.CatchUp(ctx); err != nil {
		return nil, err
	}
	known := p.set.Read()
	defer known.Done()
	scan := p.scan.another()
	var into chunk
	for i, msg := range batch {
		block := record.BlockOf(msg)
		if block == nil {
			value, err := msg.AsBytes()
			if err != nil {
				return nil, fmt.Errorf("reading message %d of the batch: %w", i, err)
			}
			msg.SetBytes(scan.join(known, &into, value))
			continue
		}
		// copies: others may have the records in hand
		joined := make([]kgo.Record, len(block.Records))
		records := make([]*kgo.Record, len(block.Records))
		for j, r := range block.Records {
			joined[j] = *r
			joined[j].Value, records[j] = scan.join(known, &into, r.Value), &joined[j]
		}
		batch[i] = (&record.Block{Records: records, TopicID: block.TopicID}).Message().WithContext(msg.Context())
	}
	return []service.MessageBatch{batch}, nil
}

// Close stops following the topics, unless others do.
func (p *processor) Close(context.Context) error {
	p.set.Close()
	return nil
}

// scanner reads keys and time of a row. It is not safe for concurrent use.
type scanner struct {
	members *contract.Contract
	zone    *time.Location
	decoder *columns.Decoder
	// on are the places of the lookups' keys among the members; at is that of the time, -1 for none.
	on []int
	at int
}

// newScanner makes of the members that lookups need a contract, by which rows are read as everywhere else.
func newScanner(cfg *dimension.Config) (s scanner, err error) {
	var text strings.Builder
	fmt.Fprintf(&text, "entity: rows\nversion: 1\nkey: %q\nfields:\n", cfg.Lookups[0].On)
	written := map[string]bool{}
	for i := range cfg.Lookups {
		if on := cfg.Lookups[i].On; !written[on] {
			fmt.Fprintf(&text, "  - {name: %q, type: string, accept_integer: true}\n", on)
			written[on] = true
		}
	}
	if cfg.At != "" && !written[cfg.At] {
		fmt.Fprintf(&text, "  - {name: %q, type: timestamp}\n", cfg.At)
	}
	if s.members, err = contract.Parse([]byte(text.String())); err != nil {
		return s, fmt.Errorf("%s and %s: %w", dimension.FieldLookups, dimension.FieldAt, err)
	}
	for i := range cfg.Lookups {
		s.on = append(s.on, s.members.Index(cfg.Lookups[i].On))
	}
	s.at, s.zone = s.members.Index(cfg.At), cfg.Timezone
	return s, nil
}

// another returns a scanner for one batch.
func (s scanner) another() *scanner {
	s.decoder = columns.NewDecoder(s.members, columns.Typed, s.zone)
	return &s
}

// join returns a row with the members that its keys get.
func (s *scanner) join(known dimension.Reader, into *chunk, row []byte) []byte {
	// bytes that are no object, or have more behind it, are for the output to refuse
	if reasons := s.decoder.Decode(row); len(reasons) > 0 && reasons[0].Rule == contract.RuleJSON || s.decoder.Deleted() {
		return row
	}
	at := int64(math.MaxInt64)
	if s.at >= 0 && s.decoder.Has(s.at) {
		at = s.decoder.Int(s.at)
	}
	into.begin(len(row))
	into.object(row)
	for lookup, on := range s.on {
		var key []byte
		if s.decoder.Has(on) {
			key = s.decoder.Text(on)
		}
		members, _ := known.Members(lookup, key, at)
		into.members(members)
	}
	return into.end()
}

// chunk is memory that many rows are written into, one behind the other.
type chunk struct {
	data  []byte
	start int
	// empty says that the object in hand has no members yet.
	empty bool
}

const (
	chunkSize = 1 << 20
	// roomForMembers is what a row usually gets; more is no harm.
	roomForMembers = 512
)

func (c *chunk) begin(row int) {
	if room := row + roomForMembers; cap(c.data)-len(c.data) < room {
		c.data = make([]byte, 0, max(chunkSize, room))
	}
	c.start = len(c.data)
}

// object writes a JSON object without its end.
func (c *chunk) object(object []byte) {
	end := len(object) - 1
	for object[end] != '}' {
		end--
	}
	last := end - 1
	for object[last] == ' ' || object[last] == '\n' || object[last] == '\t' || object[last] == '\r' {
		last--
	}
	c.data, c.empty = append(c.data, object[:end]...), object[last] == '{'
}

// members writes members behind those that are there. Of a repeated name the last counts, so what is joined
// wins over what a producer wrote under the same name.
func (c *chunk) members(members []byte) {
	if len(members) == 0 {
		return
	}
	if !c.empty {
		c.data = append(c.data, ',')
	}
	c.data, c.empty = append(c.data, members...), false
}

func (c *chunk) end() []byte {
	c.data = append(c.data, '}')
	return c.data[c.start:len(c.data):len(c.data)]
}
