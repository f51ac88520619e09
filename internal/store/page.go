package store

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
)

// ErrCursor is returned for a cursor that no page gave out.
var ErrCursor = errors.New("the cursor is not one that a page gave out")

// Page says which part of a list is wanted. Lists begin with the newest row.
type Page struct {
	Skip, Limit int
	// Cursor is where an earlier page ended; a page behind it costs the same however deep it is.
	Cursor string
}

// listing is a query of a list whose conditions depend on what is asked for. A condition that is always
// there and sometimes true would keep PostgreSQL from its indexes.
type listing struct {
	conditions []string
	arguments  []any
}

// where adds a condition in which each ? stands for the next of the values.
func (l *listing) where(condition string, values ...any) {
	for _, v := range values {
		l.arguments = append(l.arguments, v)
		condition = strings.Replace(condition, "?", "$"+strconv.Itoa(len(l.arguments)), 1)
	}
	l.conditions = append(l.conditions, condition)
}

// query asks for one row more than the page has, to know whether another page follows.
func (l *listing) query(columns, table, order string, p Page) (string, []any) {
	text := "SELECT " + columns + " FROM " + table
	if len(l.conditions) > 0 {
		text += " WHERE " + strings.Join(l.conditions, " AND ")
	}
	return fmt.Sprintf("%s ORDER BY %s LIMIT %d OFFSET %d", text, order, p.Limit+1, p.Skip), l.arguments
}

// readPage reads a page and, where another one follows, the cursor of its end.
func readPage[T any](ctx context.Context, s *Store, doing string, p Page, scan pgx.RowToFunc[T], cursor func(T) string, text string, arguments []any) (page []T, next string, err error) {
	rows, err := s.pool.Query(ctx, text, arguments...)
	if err == nil {
		page, err = pgx.CollectRows(rows, scan)
	}
	if err != nil {
		return nil, "", fmt.Errorf("%s: %w", doing, err)
	}
	if len(page) > p.Limit {
		page = page[:p.Limit]
		next = cursor(page[len(page)-1])
	}
	return page, next, nil
}

// A cursor by time holds the time and the id of the last row of a page.
func timeCursor(at time.Time, id string) string {
	return base64.RawURLEncoding.EncodeToString([]byte(strconv.FormatInt(at.UnixMicro(), 10) + " " + id))
}

func parseTimeCursor(cursor string) (at time.Time, id string, err error) {
	text, err := base64.RawURLEncoding.DecodeString(cursor)
	if err != nil {
		return at, "", ErrCursor
	}
	micros, id, ok := strings.Cut(string(text), " ")
	n, err := strconv.ParseInt(micros, 10, 64)
	if !ok || err != nil || !storable(id) || n < 0 || n > maxMicros {
		return at, "", ErrCursor
	}
	return time.UnixMicro(n).UTC(), id, nil
}

// maxMicros is the end of the year 9999, which PostgreSQL can hold and JSON can write.
const maxMicros = 253402300799999999

// A cursor by number is the number of the last row of a page.
func parseNumberCursor(cursor string) (int64, error) {
	n, err := strconv.ParseInt(cursor, 10, 64)
	if err != nil {
		return 0, ErrCursor
	}
	return n, nil
}
