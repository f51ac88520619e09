package icebergsink

import (
	"context"
	"fmt"
	"hash/maphash"
	"math"
	"slices"

	"github.com/shop-connect/shop-connect/internal/clock"
	"github.com/shop-connect/shop-connect/internal/columns"
	"github.com/shop-connect/shop-connect/internal/contract"
)

// work is one batch as it came: decoded once, planned again whenever the table has moved.
type work struct {
	batch *columns.Batch
	// hashes and contents are, per row, of the key and of the bytes that the row came as.
	hashes, contents []uint64
	// taken are the offsets of all messages, refused ones too.
	taken cursor
	// topics are the ids of the rows' topics, where they are known.
	topics topics
	// seen is scratch: the keys met so far, from the last row backwards.
	seen *keyTable
}

func newWork(c *contract.Contract, capacity int) *work {
	w := &work{batch: columns.NewBatch(c, capacity), seen: newKeyTable(capacity)}
	w.reset()
	return w
}

func (w *work) reset() {
	w.batch.Reset()
	w.hashes, w.contents, w.taken = w.hashes[:0], w.contents[:0], cursor{offsets: offsets{}}
}

// oldest is the timestamp of the oldest record.
func (w *work) oldest() int64 {
	oldest := int64(math.MaxInt64)
	for i := range w.batch.Position[:w.batch.Len] {
		oldest = min(oldest, w.batch.Position[i].Timestamp)
	}
	return oldest
}

// noteLast hashes the row that was appended last.
func (w *work) noteLast(seed maphash.Seed, value []byte) {
	row := w.batch.Len - 1
	w.hashes = append(w.hashes, w.keyHash(seed, row))
	w.contents = append(w.contents, nonZero(maphash.Bytes(seed, value)))
}

// keyHash identifies a key for as long as this process runs. Of 100 million keys, two share a hash
// with a probability of 1 in 3,700.
func (w *work) keyHash(seed maphash.Seed, row int) uint64 {
	c := w.batch.Contract
	if c.Fields[c.Key].Type == contract.String {
		return hashText(seed, w.batch.Key(row))
	}
	return hashInt(seed, w.batch.Columns[c.Key].Int[row])
}

func hashString(seed maphash.Seed, key string) uint64 { return nonZero(maphash.String(seed, key)) }
func hashText(seed maphash.Seed, key []byte) uint64   { return nonZero(maphash.Bytes(seed, key)) }
func hashInt(seed maphash.Seed, key int64) uint64     { return nonZero(maphash.Comparable(seed, key)) }

// nonZero keeps 0 for "none".
func nonZero(hash uint64) uint64 { return max(hash, 1) }

// plan is what a batch changes in the table as it stands now.
type plan struct {
	// rows are appended; places are the partitions they go to. Rows of one partition lie together, in
	// the order they came.
	rows   []int32
	places []uint32
	// removals name keys whose row in the table goes: they are deleted, or replaced by one of rows.
	removals []removal
	// offsets are what the table has taken in once this is committed.
	offsets offsets

	redelivered, superseded, repeated int
}

// removal is a key, by a row of the batch that has it, and the partition where the table has its row.
type removal struct {
	row   int32
	place uint32
}

func (p *plan) empty() bool { return len(p.rows) == 0 && len(p.removals) == 0 }

// sameChange says whether the files written for one plan serve another.
func (p *plan) sameChange(other *plan) bool {
	return slices.Equal(p.rows, other.rows) && slices.Equal(p.removals, other.removals)
}

// permanentError stops the stream: writing the same batch again cannot help.
type permanentError struct{ error }

func (e permanentError) Unwrap() error { return e.error }

// plan decides what of a batch is new. It has no effect on the table, and none on what is remembered
// except that keys are looked up.
func (o *output) plan(ctx context.Context, w *work) (*plan, error) {
	if err := o.identify(w.topics); err != nil {
		return nil, err
	}
	p := &plan{}
	fresh, err := o.freshRows(w, p)
	if err != nil {
		return nil, err
	}
	if err := o.findForgotten(ctx, w, fresh); err != nil {
		return nil, err
	}
	committed := cursor{offsets: o.offsets}
	for _, row := range fresh {
		place, content := o.keys.find(w.hashes[row])
		known := place != placeNowhere
		c := committed.at(w.batch.Position[row])
		switch {
		case known && c != nil && w.batch.Position[row].Offset < c.end():
			// A record that comes after later ones of its partition does not replace what is there.
			p.superseded++
			continue
		case known && !w.batch.Deleted[row] && content == w.contents[row]:
			// I8: a repeat with the same content changes nothing.
			p.repeated++
			continue
		case known:
			p.removals = append(p.removals, removal{row, place})
		}
		if !w.batch.Deleted[row] {
			p.rows = append(p.rows, row)
		}
	}
	o.cluster(w, p)
	p.offsets = merged(o.offsets, w.taken.offsets)
	return p, nil
}

// freshRows leaves out what the table has taken in already (I3), and of each key all but the last row:
// the later event wins.
func (o *output) freshRows(w *work, p *plan) ([]int32, error) {
	b, committed := w.batch, cursor{offsets: o.offsets}
	fresh := make([]int32, 0, b.Len)
	w.seen.reset()
	for row := b.Len - 1; row >= 0; row-- {
		pos := b.Position[row]
		if c := committed.at(pos); c != nil && c.contains(pos.Offset) {
			if pos.Timestamp > c.newest {
				return nil, permanentError{recreatedTopic(pos, c)}
			}
			p.redelivered++
			continue
		}
		if i := w.seen.slot(w.hashes[row]); w.seen.hashes[i] != 0 {
			p.superseded++
			continue
		}
		w.seen.put(w.hashes[row], 0, 0)
		fresh = append(fresh, int32(row))
	}
	slices.Reverse(fresh)
	return fresh, nil
}

// recreatedTopic tells a topic that began anew from a redelivery: a redelivered record was taken in, so
// it cannot be newer than the newest one taken in.
func recreatedTopic(pos columns.Position, c *progress) error {
	return fmt.Errorf("offset %d of topic %q, partition %d, is of %s, but the table holds offsets below %d that are of %s or before: "+
		"the topic was deleted and created again; give it a new name, or write to a new table",
		pos.Offset, pos.Topic, pos.Partition, clock.String(pos.Timestamp), c.end(), clock.String(c.newest))
}

// findForgotten looks up in the table those keys that may be there without being remembered.
func (o *output) findForgotten(ctx context.Context, w *work, rows []int32) error {
	if o.keys.complete {
		return nil
	}
	var forgotten []int32
	for _, row := range rows {
		if place, _ := o.keys.find(w.hashes[row]); place == placeUnknown {
			forgotten = append(forgotten, row)
		}
	}
	if len(forgotten) == 0 {
		return nil
	}
	found, err := o.lookUp(ctx, w.batch, forgotten)
	if err != nil {
		return fmt.Errorf("looking up %d keys that are no longer remembered: %w", len(forgotten), err)
	}
	for _, row := range forgotten {
		place, there := found[w.hashes[row]]
		if !there {
			place = placeNowhere
		}
		o.keys.put(w.hashes[row], 0, place)
	}
	return nil
}

// cluster brings rows of one partition together. The library would do it too, but row by row, and by
// copying every value once more.
func (o *output) cluster(w *work, p *plan) {
	p.places = make([]uint32, len(p.rows))
	var counts []int
	for i, row := range p.rows {
		place := o.partitions.ofRow(w.batch, int(row))
		p.places[i] = place
		for int(place) >= len(counts) {
			counts = append(counts, 0)
		}
		counts[place]++
	}
	start := 0
	for place, n := range counts {
		counts[place] = start
		start += n
	}
	rows, places := make([]int32, len(p.rows)), make([]uint32, len(p.rows))
	for i, row := range p.rows {
		at := counts[p.places[i]]
		counts[p.places[i]]++
		rows[at], places[at] = row, p.places[i]
	}
	p.rows, p.places = rows, places
}

// inOrder says that the plan appends the whole batch as it lies.
func (p *plan) inOrder(b *columns.Batch) bool {
	return len(p.rows) == b.Len && slices.IsSorted(p.rows)
}

// remember notes what a commit has changed.
func (o *output) remember(w *work, p *plan) {
	for _, r := range p.removals {
		o.keys.put(w.hashes[r.row], 0, placeNowhere)
	}
	for i, row := range p.rows {
		o.keys.put(w.hashes[row], w.contents[row], p.places[i])
	}
	o.offsets = p.offsets
}
