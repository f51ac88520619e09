package clickhousesink

import (
	"context"
	"fmt"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
)

// A day index holds a row (id, day, version) for every day that an id has been seen on. A batch enters its
// own rows first and then asks for the ids that have more than one day: of any two events of one id
// that name different days, at least one finds the other, in whatever order, batch or process they are
// written. The latest event says where the id is; all its other days are cancelled, again and again if
// need be: cancelling is idempotent, and repairs a crash in between (I3).

// cancel says that an id is not on a day, whatever events before a version said.
type cancel struct {
	key     string
	day     int32
	version uint64
}

// selectMoved finds the ids of one batch that were seen on more than one day. The batch finds its own
// ids by seen_at, which the newest parts have alone. Ids that grow with time touch the end of the index
// only; the order of the index lets the rest be grouped without a hash table.
func selectMoved(index, key string) string {
	return fmt.Sprintf(`SELECT %[2]s, groupArray(toInt32(%[3]s)), groupArray(%[4]s)
FROM %[1]s
WHERE %[2]s IN (SELECT %[2]s FROM %[1]s WHERE %[5]s = fromUnixTimestamp64Micro(?))
GROUP BY %[2]s
HAVING min(%[3]s) != max(%[3]s)
SETTINGS optimize_aggregation_in_order = 1`, index, quote(key), columnIndexDay, columnVersion, columnIndexSeen)
}

// moved returns what a batch, entered in the index at a moment, has to cancel.
func moved(ctx context.Context, conn driver.Conn, query string, seenAt int64) ([]cancel, error) {
	rows, err := conn.Query(ctx, query, seenAt)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var cancels []cancel
	for rows.Next() {
		var key string
		var days []int32
		var versions []uint64
		if err := rows.Scan(&key, &days, &versions); err != nil {
			return nil, err
		}
		cancels = appendCancels(cancels, key, days, versions)
	}
	return cancels, rows.Err()
}

// appendCancels cancels an id on every day but that of its latest event. A cancellation is one above the
// version of that event: it wins over an equal version, which two partitions or two time zones could
// bring about, and loses to the next event.
func appendCancels(cancels []cancel, key string, days []int32, versions []uint64) []cancel {
	latest := 0
	for i := range days {
		if versions[i] > versions[latest] || versions[i] == versions[latest] && days[i] > days[latest] {
			latest = i
		}
	}
	done := map[int32]bool{days[latest]: true}
	for _, day := range days {
		if !done[day] {
			done[day] = true
			cancels = append(cancels, cancel{key, day, versions[latest] + 1})
		}
	}
	return cancels
}
