package icebergsink

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"github.com/apache/iceberg-go/table"
	"github.com/google/uuid"
	"github.com/redpanda-data/benthos/v4/public/service"

	"github.com/shop-connect/shop-connect/internal/icebergcatalog"
	"github.com/shop-connect/shop-connect/internal/record"
)

// topics are the ids that Kafka gave to topics when they were created. An offset says which record is meant
// only together with one: a topic that was deleted and created again has the same offsets once more.
type topics map[string]uuid.UUID

func committedTopics(tbl *table.Table) (topics, error) {
	t := topics{}
	text := icebergcatalog.Committed(tbl, icebergcatalog.TopicsKey)
	if text == "" {
		return t, nil
	}
	if err := json.Unmarshal([]byte(text), &t); err != nil {
		return nil, fmt.Errorf("reading %s of the table: %w; it is written by this sink alone, restore it", icebergcatalog.TopicsKey, err)
	}
	return t, nil
}

func (t topics) encode() string {
	text, err := json.Marshal(t)
	if err != nil {
		// maps of text always have a JSON form
		panic(err)
	}
	return string(text)
}

// topicsOf are the topics of a batch, where their ids are known.
func topicsOf(batch service.MessageBatch) (topics, error) {
	t := topics{}
	for _, msg := range batch {
		block := record.BlockOf(msg)
		if block == nil || len(block.Records) == 0 || block.TopicID == uuid.Nil {
			continue
		}
		topic, id := block.Records[0].Topic, uuid.UUID(block.TopicID)
		if known, found := t[topic]; found && known != id {
			return nil, permanentError{fmt.Errorf("topic %q has id %s in one part of a batch and %s in another: it was deleted and created again; restart the stream", topic, known, id)}
		}
		t[topic] = id
	}
	return t, nil
}

// identify compares the topics of a batch with those that the table has taken records of. What the table
// has of a topic before the one that accept_topics names counts no longer.
func (o *output) identify(batch topics) error {
	for _, topic := range slices.Sorted(maps.Keys(batch)) {
		id := batch[topic]
		switch known, found := o.topics[topic]; {
		case found && known == id:
			continue
		case found && !slices.Contains(o.cfg.acceptTopics, id):
			return permanentError{fmt.Errorf("topic %q is not the one that table %s was filled from: it was deleted and created again, and has id %s instead of %s; "+
				"write to a new table, or, to go on in this one with all that the new topic holds, set %s: [%s]", topic, o.name, id, known, fieldAcceptTopics, id)}
		case found:
			o.log.Infof("Going on in %s with topic %s as it was created again: id %s instead of %s", o.name, topic, id, known)
			delete(o.offsets, topic)
		}
		o.topics[topic] = id
	}
	return nil
}

// adoptTopics takes over what a loaded table says of topics, but for those that this writer has accepted
// as created again: the table learns of that with the next commit.
func (o *output) adoptTopics(committed topics, taken offsets) {
	for topic, id := range committed {
		if known, found := o.topics[topic]; found && known != id && slices.Contains(o.cfg.acceptTopics, known) {
			delete(taken, topic)
			continue
		}
		o.topics[topic] = id
	}
}
