package quarantine

import (
	"encoding/json"
	"slices"
	"strconv"
	"strings"

	"github.com/google/uuid"

	"github.com/shop-connect/shop-connect/internal/contract"
)

// RejectedSuffix ends the name of the topic of an entity's refused rows.
const RejectedSuffix = ".rejected"

// Place names a row, however many layers refused it and however often it was delivered: a number in a
// space. It is the Kafka record that the row was, else the one that carried it here, else the row of the
// object that it stood in. object and index say where in the bucket the row is.
func (r *Row) Place(object string, index int64) (space string, number uint64) {
	if topic, partition, offset, ok := r.record(); ok {
		return topic + "-" + strconv.Itoa(partition), offset
	}
	if r.Topic != "" && r.Offset >= 0 {
		return r.Topic + "-" + strconv.Itoa(int(r.Partition)), uint64(r.Offset)
	}
	if at := strings.LastIndexByte(r.Source, '#'); at > 0 && strings.HasPrefix(r.Source, "s3://") {
		if row, err := strconv.ParseUint(r.Source[at+1:], 10, 63); err == nil {
			// an object that is overwritten has other rows: they are refused at another time
			return r.Source[:at] + "@" + strconv.FormatInt(r.RefusedAt, 10), row
		}
	}
	return object, uint64(index)
}

// record is the Kafka record of the entity's topic that the row was.
func (r *Row) record() (topic string, partition int, offset uint64, ok bool) {
	if r.Topic != "" && !strings.HasSuffix(r.Topic, RejectedSuffix) && r.Offset >= 0 {
		return r.Topic, int(r.Partition), uint64(r.Offset), true
	}
	rest, text, ok1 := cutLast(r.Source)
	topic, number, ok2 := cutLast(rest)
	partition, partitionErr := strconv.Atoi(number)
	offset, offsetErr := strconv.ParseUint(text, 10, 63)
	ok = ok1 && ok2 && partitionErr == nil && offsetErr == nil && partition >= 0 && r.Layer != LayerAPI
	return topic, partition, offset, ok
}

func cutLast(text string) (before, after string, ok bool) {
	at := strings.LastIndexByte(text, '-')
	if at < 1 {
		return "", "", false
	}
	return text[:at], text[at+1:], true
}

// rowIDs is the namespace of ids that are made from a row's source and bytes.
var rowIDs = uuid.MustParse("5b0f5f0e-6e0c-4bb5-9d0c-0c6a9a4f7c11")

// StableID is the id of a row that came without one, the same however often the row is replayed (I3). For a
// Kafka record it is the one that every sink derives; a client may use the id of a request twice, so with
// other sources the bytes count too.
func (r *Row) StableID(object string, index int64) string {
	if topic, partition, offset, ok := r.record(); ok && len(topic) <= 150 {
		return topic + "-" + strconv.Itoa(partition) + "-" + strconv.FormatUint(offset, 10)
	}
	source := r.Source
	if source == "" {
		source = object + "#" + strconv.FormatInt(index, 10)
	}
	return uuid.NewSHA1(rowIDs, append([]byte(source+"\x00"), r.Value...)).String()
}

// ReadReasons reads a JSON array of reasons. What is none is one reason itself.
func ReadReasons(text string) []contract.Reason {
	var list []contract.Reason
	if json.Unmarshal([]byte(text), &list) != nil {
		return []contract.Reason{{Rule: unknownReason, Message: text}}
	}
	return list
}

const (
	labelPart = 60
	labelSize = 200
)

// Label sums up a JSON array of reasons as "field rule; field rule". Rows with one label have the same
// faults, and one mapping may repair them all.
func Label(reasons string) string {
	list := ReadReasons(reasons)
	if len(list) == 0 {
		return unknownReason
	}
	parts := make([]string, 0, len(list))
	for _, r := range list {
		parts = append(parts, cut(strings.TrimSpace(r.Field+" "+r.Rule), labelPart))
	}
	slices.Sort(parts)
	return cut(strings.Join(slices.Compact(parts), "; "), labelSize)
}

const unknownReason = "unknown"

func cut(text string, limit int) string {
	text = strings.Map(func(c rune) rune {
		if c < ' ' || c == 0x7f {
			return '·'
		}
		return c
	}, strings.ToValidUTF8(text, "·"))
	if runes := []rune(text); len(runes) > limit {
		return string(runes[:limit]) + "…"
	}
	return text
}
