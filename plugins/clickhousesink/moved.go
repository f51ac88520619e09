package clickhousesink

import (
	"bytes"
	"context"
	"fmt"
	"hash/maphash"
	"sync/atomic"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"github.com/shop-connect/shop-connect/internal/columns"
)

// A day index holds a row (id, day, version) for every day that an id has been seen on. A batch enters its
// own rows first and then asks what else is known of its ids: of any two events of one id that name
// different places, at least one finds the other, in whatever order, batch or process they are written.
// The latest event says where the id is; all its other places are cancelled, again and again if need be:
// cancelling is idempotent, and so repairs a crash in between (I3).

// place is where rows of one key replace each other: a day, and within it a slice.
type place struct {
	day   int32
	slice uint32
}

// sliceBits makes a slice of 131,072 offsets of every partition: what one event makes others compute anew is
// bounded by that, however many purchases a day has, and most days have few slices.
const sliceBits = 17

// placeOf returns where an event of a version lies. The version is twice the offset, so the index need not
// hold slices.
func (c *config) placeOf(day int32, version uint64) place {
	if c.sliceColumn == "" {
		return place{day: day}
	}
	return place{day, uint32(version >> (sliceBits + 1))}
}

// cancel says that an id is not in a place, whatever events before a version said.
type cancel struct {
	key string
	place
	version uint64
}

// selectEarlier finds what other batches have entered of the ids of one batch. The batch names its ids by
// seen_at, which its own part of the index has alone. PREWHERE makes the ids choose what is read, and the
// skip index on seen_at leaves out the batch itself: where ids grow with time, nothing is left to read.
func selectEarlier(index, key string) string {
	return fmt.Sprintf(`SELECT %[2]s, toInt32(%[3]s), %[4]s
FROM %[1]s
PREWHERE %[2]s IN (SELECT %[2]s FROM %[1]s WHERE %[5]s = fromUnixTimestamp64Nano(?))
WHERE %[5]s != fromUnixTimestamp64Nano(?)`, index, quote(key), columnIndexDay, columnVersion, columnIndexSeen)
}

// lastSeen is the latest moment that batchMoment gave out.
var lastSeen atomic.Int64

// batchMoment is the present in nanoseconds, and names a batch: no two of a process have the same, and
// those of two processes do not meet.
func batchMoment() int64 {
	for {
		last := lastSeen.Load()
		moment := max(time.Now().UnixNano(), last+1)
		if lastSeen.CompareAndSwap(last, moment) {
			return moment
		}
	}
}

// history is what is known of one id: the places it was seen in, each with the version of the event.
type history struct {
	places   []place
	versions []uint64
}

func (h *history) add(at place, version uint64) {
	h.places, h.versions = append(h.places, at), append(h.versions, version)
}

// earlier reads the histories that selectEarlier finds for the batch entered at a moment.
func (c *config) earlier(ctx context.Context, conn driver.Conn, query string, seenAt int64) (map[string]*history, error) {
	rows, err := conn.Query(ctx, query, seenAt, seenAt)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	histories := map[string]*history{}
	for rows.Next() {
		var key string
		var day int32
		var version uint64
		if err := rows.Scan(&key, &day, &version); err != nil {
			return nil, err
		}
		if histories[key] == nil {
			histories[key] = &history{}
		}
		histories[key].add(c.placeOf(day, version), version)
	}
	return histories, rows.Err()
}

func (c *config) rowPlace(batch *columns.Batch, row int) place {
	return c.placeOf(batch.Day[row], rowVersion(batch, row))
}

// keys finds the rows of a batch by their key.
type keys struct {
	cfg  *config
	seed maphash.Seed
	// last is the last row with a key of a hash; before leads from a row to the one before it, or to -1.
	last   map[uint64]int32
	before []int32
}

func newKeys(cfg *config) *keys {
	return &keys{cfg: cfg, seed: maphash.MakeSeed(), last: map[uint64]int32{}}
}

// read takes in a batch, and returns a row of every key that the batch has in more than one place.
func (k *keys) read(batch *columns.Batch) (several []int32) {
	clear(k.last)
	k.before = k.before[:0]
	for row := range int32(batch.Len) {
		hash := maphash.Bytes(k.seed, batch.Key(int(row)))
		before, repeated := k.last[hash]
		if !repeated {
			before = -1
		} else if k.cfg.rowPlace(batch, int(before)) != k.cfg.rowPlace(batch, int(row)) {
			several = append(several, row)
		}
		k.before = append(k.before, before)
		k.last[hash] = row
	}
	return several
}

// complete adds to a history what the batch itself says of the key.
func (k *keys) complete(h *history, batch *columns.Batch, key []byte) {
	row, found := k.last[maphash.Bytes(k.seed, key)]
	for ; found && row >= 0; row = k.before[row] {
		if bytes.Equal(batch.Key(int(row)), key) {
			h.add(k.cfg.rowPlace(batch, int(row)), rowVersion(batch, int(row)))
		}
	}
}

// cancels returns what a batch has to cancel, given what other batches said of its ids.
func (k *keys) cancels(batch *columns.Batch, histories map[string]*history) []cancel {
	for _, row := range k.read(batch) {
		if key := batch.Key(int(row)); histories[string(key)] == nil {
			histories[string(key)] = &history{}
		}
	}
	var cancels []cancel
	for key, h := range histories {
		k.complete(h, batch, []byte(key))
		cancels = h.appendCancels(cancels, key)
	}
	return cancels
}

// appendCancels cancels an id in every place but that of its latest event. A cancellation is one above the
// version of that event: it wins over an equal version, which two partitions or two time zones could
// bring about, and loses to the next event.
func (h *history) appendCancels(cancels []cancel, key string) []cancel {
	latest := 0
	for i := range h.places {
		if h.versions[i] > h.versions[latest] || h.versions[i] == h.versions[latest] && h.places[i].day > h.places[latest].day {
			latest = i
		}
	}
	done := map[place]bool{h.places[latest]: true}
	for _, at := range h.places {
		if !done[at] {
			done[at] = true
			cancels = append(cancels, cancel{key, at, h.versions[latest] + 1})
		}
	}
	return cancels
}
