package analytics

import (
	"context"
	"database/sql"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/shop-connect/shop-connect/internal/clock"
	"github.com/shop-connect/shop-connect/internal/store"
)

// Wanted says which purchases to list. What is zero does not matter.
type Wanted struct {
	CustomerID int64
	ProductID  string
}

// Days are read in spans, each longer than the one before: the newest days usually fill a page, and
// whoever buys once a year is found by few queries all the same.
const (
	firstSpan  = 1
	spanFactor = 8
)

// The days that ClickHouse can hold: the years 1900 to 2299, counted from 1970. The last is left out.
const (
	firstDay int32 = -25_567
	lastDay  int32 = 120_528
)

// position is where a page ended: the next one begins behind it.
type position struct {
	Day    int32  `json:"d"`
	Micros int64  `json:"t"`
	ID     string `json:"i"`
}

func (p position) cursor() (string, error) {
	text, err := json.Marshal(p)
	return base64.RawURLEncoding.EncodeToString(text), err
}

func parseCursor(cursor string) (p position, err error) {
	text, err := base64.RawURLEncoding.DecodeString(cursor)
	if err == nil {
		err = json.Unmarshal(text, &p)
	}
	if err != nil || p.Day < firstDay || p.Day > lastDay {
		return p, store.ErrCursor
	}
	return p, nil
}

// Purchases lists purchases, the newest first, and the cursor of the next page, empty where this is the
// last. A page costs what its days hold, however deep it is, unless it is reached by Skip.
func (r *Reader) Purchases(ctx context.Context, wanted Wanted, page store.Page) ([]store.Purchase, string, error) {
	found, err := r.walk(ctx, wanted, page)
	if errors.Is(err, store.ErrCursor) {
		return nil, "", err
	}
	if err != nil {
		return nil, "", fmt.Errorf("listing purchases of ClickHouse: %w", err)
	}
	next := ""
	if end := page.Skip + page.Limit; len(found) > end {
		found = found[:end]
		last := found[end-1]
		if next, err = (position{Day: last.day, Micros: last.PurchasedAt.UnixMicro(), ID: last.ID}).cursor(); err != nil {
			return nil, "", err
		}
	}
	found = found[min(page.Skip, len(found)):]
	purchases := make([]store.Purchase, len(found))
	for i := range found {
		purchases[i] = found[i].Purchase
	}
	return purchases, next, nil
}

// walk reads back from the newest day, or from where the cursor points, until it has one purchase more
// than the page ends with.
func (r *Reader) walk(ctx context.Context, wanted Wanted, page store.Page) (found []located, err error) {
	wants := wanted.condition()
	before := lastDay + 1
	if page.Cursor != "" {
		end, err := parseCursor(page.Cursor)
		if err != nil {
			return nil, err
		}
		// the day where a page ended mostly fills the next one too: there is no need to look for it
		if found, err = r.between(ctx, wants.behind(end), end.Day, end.Day, page.Skip+page.Limit+1); err != nil {
			return nil, err
		}
		before = end.Day
	}
	for span := int32(firstSpan); len(found) <= page.Skip+page.Limit; span *= spanFactor {
		newest, err := r.newestDay(ctx, before)
		if errors.Is(err, sql.ErrNoRows) {
			return found, nil
		}
		if err != nil {
			return nil, err
		}
		from := max(newest-span+1, firstDay)
		more, err := r.between(ctx, wants, from, newest, page.Skip+page.Limit+1-len(found))
		if err != nil {
			return nil, err
		}
		found, before = append(found, more...), from
	}
	return found, nil
}

// newestDay returns the last day with rows before another. Read in the order of the key, it is the first.
func (r *Reader) newestDay(ctx context.Context, before int32) (day int32, err error) {
	err = r.db.QueryRowContext(ctx, `SELECT toInt32(purchase_date) FROM purchases
		WHERE purchase_date < `+date(before)+` ORDER BY purchase_date DESC LIMIT 1`).Scan(&day)
	return day, err
}

func date(day int32) string { return "toDate32('" + clock.DateString(int64(day)) + "')" }

// condition is what rows must fulfil, and the arguments of its text.
type condition struct {
	text      string
	arguments []any
}

func (c condition) and(text string, arguments ...any) condition {
	return condition{c.text + " AND " + text, append(slices.Clip(c.arguments), arguments...)}
}

func (w Wanted) condition() condition {
	c := condition{text: "1"}
	if w.CustomerID != 0 {
		c = c.and("customer_id = ?", w.CustomerID)
	}
	if w.ProductID != "" {
		c = c.and("product_id = ?", w.ProductID)
	}
	return c
}

// behind adds that rows come after a position.
func (c condition) behind(p position) condition {
	const at = "toUnixTimestamp64Micro(purchases.purchased_at)"
	return c.and("("+at+" < ? OR "+at+" = ? AND id < ?)", p.Micros, p.Micros, p.ID)
}

// between reads purchases of some days. Rows of one id and day share a partition, so that no two
// partitions need to be merged.
func (r *Reader) between(ctx context.Context, c condition, from, to int32, limit int) (found []located, err error) {
	rows, err := r.db.QueryContext(ctx, fmt.Sprintf(`
		SELECT %s FROM purchases FINAL
		WHERE purchase_date BETWEEN %s AND %s AND %s
		ORDER BY purchases.purchased_at DESC, id DESC LIMIT %d
		SETTINGS do_not_merge_across_partitions_select_final = 1`, purchaseColumns, date(from), date(to), c.text, limit), c.arguments...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var p located
		if err := p.scan(rows); err != nil {
			return nil, err
		}
		found = append(found, p)
	}
	return found, rows.Err()
}
