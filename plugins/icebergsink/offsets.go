package icebergsink

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/apache/iceberg-go/table"

	"github.com/shop-connect/shop-connect/internal/columns"
	"github.com/shop-connect/shop-connect/internal/icebergcatalog"
)

const offsetsKey = icebergcatalog.OffsetsKey

// maxGaps bounds what a partition adds to a snapshot summary. Records that a topic never had (removed
// by compaction, markers of transactions) are gaps for ever; beyond this many, the oldest one closes.
const maxGaps = 32

// span is a run of offsets, the second one not included.
type span struct{ from, to int64 }

// progress is what is taken in of one partition.
type progress struct {
	spans []span
	// newest is the greatest record timestamp taken in. A record at an offset that is in, with a
	// timestamp above it, cannot be a redelivery.
	newest int64
}

// offsets is what is taken in, by topic and partition. It outlives processes and consumer groups: what
// is in it is in the table, in the quarantine or superseded, whatever Kafka redelivers (I3).
type offsets map[string]map[int32]*progress

func (o offsets) at(topic string, partition int32) *progress {
	byPartition := o[topic]
	if byPartition == nil {
		byPartition = map[int32]*progress{}
		o[topic] = byPartition
	}
	p := byPartition[partition]
	if p == nil {
		p = &progress{}
		byPartition[partition] = p
	}
	return p
}

// add takes in one record. Records of one partition mostly come one after the other.
func (p *progress) add(offset, timestamp int64) {
	p.newest = max(p.newest, timestamp)
	if n := len(p.spans); n > 0 && p.spans[n-1].to == offset {
		p.spans[n-1].to++
		return
	}
	p.spans = append(p.spans, span{offset, offset + 1})
}

func (p *progress) contains(offset int64) bool {
	for _, v := range slices.Backward(p.spans) {
		if offset >= v.from {
			return offset < v.to
		}
	}
	return false
}

func (o offsets) contains(pos columns.Position) bool {
	p := o[pos.Topic][pos.Partition]
	return p != nil && p.contains(pos.Offset)
}

// end is the offset after the highest one taken in.
func (p *progress) end() int64 {
	if len(p.spans) == 0 {
		return 0
	}
	return p.spans[len(p.spans)-1].to
}

// tidy sorts the spans, joins those that touch and closes the oldest gaps beyond maxGaps.
func (p *progress) tidy() {
	slices.SortFunc(p.spans, func(a, b span) int { return cmp.Compare(a.from, b.from) })
	joined := p.spans[:0]
	for _, s := range p.spans {
		if n := len(joined); n > 0 && s.from <= joined[n-1].to {
			joined[n-1].to = max(joined[n-1].to, s.to)
			continue
		}
		joined = append(joined, s)
	}
	if excess := len(joined) - 1 - maxGaps; excess > 0 {
		joined[excess].from = joined[0].from
		joined = slices.Delete(joined, 0, excess)
	}
	p.spans = joined
}

// merged returns what is in either of two offsets, and shares nothing with them.
func merged(a, b offsets) offsets {
	sum := offsets{}
	for _, o := range []offsets{a, b} {
		for topic, byPartition := range o {
			for partition, p := range byPartition {
				into := sum.at(topic, partition)
				into.spans = append(into.spans, p.spans...)
				into.newest = max(into.newest, p.newest)
			}
		}
	}
	for _, byPartition := range sum {
		for _, p := range byPartition {
			p.tidy()
		}
	}
	return sum
}

// encode writes {"topic":{"partition":[newest timestamp, from, to, from, to, …]}}.
func (o offsets) encode() string {
	doc := make(map[string]map[int32][]int64, len(o))
	for topic, byPartition := range o {
		doc[topic] = make(map[int32][]int64, len(byPartition))
		for partition, p := range byPartition {
			numbers := []int64{p.newest}
			for _, s := range p.spans {
				numbers = append(numbers, s.from, s.to)
			}
			doc[topic][partition] = numbers
		}
	}
	text, err := json.Marshal(doc)
	if err != nil {
		// maps of integers always have a JSON form
		panic(err)
	}
	return string(text)
}

func decodeOffsets(text string) (offsets, error) {
	doc := map[string]map[int32][]int64{}
	if err := json.Unmarshal([]byte(text), &doc); err != nil {
		return nil, err
	}
	o := offsets{}
	for topic, byPartition := range doc {
		for partition, numbers := range byPartition {
			if len(numbers)%2 != 1 {
				return nil, fmt.Errorf("partition %d of topic %q has a span without an end", partition, topic)
			}
			p := o.at(topic, partition)
			p.newest = numbers[0]
			for i := 1; i < len(numbers); i += 2 {
				p.spans = append(p.spans, span{numbers[i], numbers[i+1]})
			}
		}
	}
	return o, nil
}

// committedOffsets reads what the table has taken in.
func committedOffsets(tbl *table.Table) (offsets, error) {
	text := icebergcatalog.Committed(tbl, offsetsKey)
	if text == "" {
		return offsets{}, nil
	}
	o, err := decodeOffsets(text)
	if err != nil {
		return nil, fmt.Errorf("reading %s of the table: %w; it is written by this sink alone, restore it", offsetsKey, err)
	}
	return o, nil
}

// cursor finds the progress of a row's partition; neighbouring rows mostly share it.
type cursor struct {
	offsets   offsets
	topic     string
	partition int32
	progress  *progress
}

// at returns nil for a row that did not come from Kafka.
func (c *cursor) at(pos columns.Position) *progress {
	if pos.Topic == "" {
		return nil
	}
	if c.progress == nil || c.partition != pos.Partition || c.topic != pos.Topic {
		c.topic, c.partition, c.progress = pos.Topic, pos.Partition, c.offsets.at(pos.Topic, pos.Partition)
	}
	return c.progress
}
