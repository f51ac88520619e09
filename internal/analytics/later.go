package analytics

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/shop-connect/shop-connect/internal/store"
)

// Later is what an event says of a purchase that was sold before it.
type Later struct {
	Purchase store.Purchase
	Deleted  bool
}

// clockSkew is how far the clocks of PostgreSQL and of the streams may be apart.
const clockSkew = 5 * time.Second

// LaterThan returns the last event of a purchase if it came after the one of its sale, or store.ErrNotFound.
//
// Versions of different sources cannot be compared, but the index has every event of an id and when it was
// first seen. The sale itself is seen once it is entered. So where two events are, one is later than the
// sale, or the sale is the last: what the last one says is right. Before its row can be read it does not count.
func (r *Reader) LaterThan(ctx context.Context, id string, entered time.Time) (Later, error) {
	var p located
	var deleted bool
	err := p.scan(r.db.QueryRowContext(ctx, `
		SELECT `+purchaseColumns+`, is_deleted FROM purchases
		WHERE id = ? AND (purchase_date, slice) IN `+places+` AND version = (
			SELECT if(count() > 1, max(version), 1) -- events have even versions
			FROM (SELECT version, min(seen_at) AS first FROM purchase_day_index WHERE id = ? GROUP BY version)
			WHERE first >= fromUnixTimestamp64Micro(?))
		LIMIT 1`, id, id, id, entered.Add(-clockSkew).UnixMicro()), &deleted)
	if errors.Is(err, sql.ErrNoRows) {
		err = store.ErrNotFound
	}
	if err != nil {
		return Later{}, fmt.Errorf("looking in ClickHouse for what became of purchase %q: %w", id, err)
	}
	return Later{Purchase: p.Purchase, Deleted: deleted}, nil
}
