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
// different days, at least one finds the other, in whatever order, batch or process they are written.
// The latest event says where the id is; all its other days are cancelled, again and again if need be:
// cancelling is idempotent, and so repairs a crash in between (I3).

// cancel says that an id is not on a day, whatever events before a version said.
type cancel struct {
	key     string
	day     int32
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

// history is what is known of one id: the days it was seen on, each with the version of the event.
type history struct {
	days     []int32
	versions []uint64
}

func (h *history) add(day int32, version uint64) {
	h.days, h.versions = append(h.days, day), append(h.versions, version)
}

// earlier reads the histories that selectEarlier finds for the batch entered at a moment.
func earlier(ctx context.Context, conn driver.Conn, query string, seenAt int64) (map[string]*history, error) {
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
		histories[key].add(day, version)
	}
	return histories, rows.Err()
}

// keys finds the rows of a batch by their key.
type keys struct {
	seed maphash.Seed
	// last is the last row with a key of a hash; before leads from a row to the one before it, or to -1.
	last   map[uint64]int32
	before []int32
}

func newKeys() *keys { return &keys{seed: maphash.MakeSeed(), last: map[uint64]int32{}} }

// read takes in a batch, and returns a row of every key that the batch has on more than one day.
func (k *keys) read(batch *columns.Batch) (several []int32) {
	clear(k.last)
	k.before = k.before[:0]
	for row := range int32(batch.Len) {
		hash := maphash.Bytes(k.seed, batch.Key(int(row)))
		before, repeated := k.last[hash]
		if !repeated {
			before = -1
		} else if batch.Day[before] != batch.Day[row] {
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
			h.add(batch.Day[row], rowVersion(batch, int(row)))
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

// appendCancels cancels an id on every day but that of its latest event. A cancellation is one above the
// version of that event: it wins over an equal version, which two partitions or two time zones could
// bring about, and loses to the next event.
func (h *history) appendCancels(cancels []cancel, key string) []cancel {
	latest := 0
	for i := range h.days {
		if h.versions[i] > h.versions[latest] || h.versions[i] == h.versions[latest] && h.days[i] > h.days[latest] {
			latest = i
		}
	}
	done := map[int32]bool{h.days[latest]: true}
	for _, day := range h.days {
		if !done[day] {
			done[day] = true
			cancels = append(cancels, cancel{key, day, h.versions[latest] + 1})
		}
	}
	return cancels
}
