package analytics

import (
	"context"
	"fmt"
)

// StatisticsDue says of how many days the statistics are older than the purchases, and for how many seconds the
// longest waiting has been due.
func (r *Reader) StatisticsDue(ctx context.Context) (days int64, age float64, err error) {
	err = r.db.QueryRowContext(ctx, `SELECT toInt64(uniqExact(day)),
		if(count() = 0, 0, greatest(0, dateDiff('millisecond', min(touched_at), now64(6, 'UTC')) / 1000)) FROM purchase_slices_due`).Scan(&days, &age)
	if err != nil {
		return 0, 0, fmt.Errorf("counting the days whose statistics are due: %w", err)
	}
	return days, age, nil
}
