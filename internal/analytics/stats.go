package analytics

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
	"time"

	"github.com/shop-connect/shop-connect/internal/clock"
)

// By says what sales are added up by. Its value indexes groupings.
type By int

// What sales can be added up by.
const (
	ByDay By = iota
	ByMonth
	ByHour // of each day, and category
	ByCategory
	ByCategoryAndDay
	ByCategoryAndMonth
	ByProduct
	ByHourOfDay
	ByWeekday
)

// Figures are what every statistic of sales has. Amounts are exact decimal text (I5).
type Figures struct {
	Purchases, Items  int64
	Revenue, AvgPrice string
}

// Sales is a row of a statistic; what it is not by is empty.
type Sales struct {
	Period      string // a day or a month
	Hour        int64
	Weekday     int64 // 1 is Monday
	Category    string
	ProductID   string
	ProductName string
	Days        int64 // with sales
	Figures
}

// SalesWanted says which sales to add up. What is zero does not matter.
type SalesWanted struct {
	By                  By
	From, To            time.Time // business days, both included
	Category, ProductID string
	Limit               int
}

// grouping is how a statistic is made: the expressions of the columns that it is by, of which those that are not named
// are empty, and its order.
type grouping struct {
	period, hour, weekday, product, productName string
	category                                    bool
	order                                       string
}

const (
	day       = "toString(sold.day)"
	month     = "formatDateTime(sold.day, '%Y-%m')"
	none      = "''"
	byRevenue = "sum(sold.revenue) DESC, "
)

var groupings = [...]grouping{
	ByDay:              {period: day, order: "period DESC"},
	ByMonth:            {period: month, order: "period DESC"},
	ByHour:             {period: day, hour: "toInt64(sold.hour)", category: true, order: "period DESC, hour_of_day DESC, category"},
	ByCategory:         {category: true, order: byRevenue + "category"},
	ByCategoryAndDay:   {period: day, category: true, order: "period DESC, " + byRevenue + "category"},
	ByCategoryAndMonth: {period: month, category: true, order: "period DESC, " + byRevenue + "category"},
	ByProduct:          {product: "sold.product_id", productName: "known.product_name", category: true, order: byRevenue + "product"},
	ByHourOfDay:        {hour: "toInt64(sold.hour)", order: "hour_of_day"},
	ByWeekday:          {weekday: "toInt64(toDayOfWeek(sold.day))", order: "day_of_week"},
}

// unknown is the category of products that nobody has told of.
const unknown = "'unknown'"

// statistics end before the client does.
const statistics = "\nSETTINGS max_execution_time = 5"

// Sales adds up sales. It reads the sums of the days asked for, and not their purchases.
func (r *Reader) Sales(ctx context.Context, wanted SalesWanted) ([]Sales, error) {
	query, arguments := wanted.query()
	rows, err := r.db.QueryContext(ctx, query, arguments...)
	if err != nil {
		return nil, fmt.Errorf("adding up sales in ClickHouse: %w", err)
	}
	sales, err := collect(rows, func(s *Sales) []any {
		return []any{&s.Period, &s.Hour, &s.Weekday, &s.Category, &s.ProductID, &s.ProductName, &s.Days, &s.Purchases, &s.Items, &s.Revenue, &s.AvgPrice}
	})
	if err != nil {
		return nil, fmt.Errorf("adding up sales in ClickHouse: %w", err)
	}
	return sales, nil
}

// query is made of fixed text; what a client sent is in its arguments alone.
func (w SalesWanted) query() (string, []any) {
	g := groupings[w.By]
	sums, where, arguments := w.sums(g)
	joined := g.category || w.Category != ""
	category, join := none, ""
	if joined {
		join = "\nLEFT JOIN known_products AS known ON known.product_id = sold.product_id"
	}
	if g.category {
		category = "if(known.category = '', " + unknown + ", known.category)"
	}
	filter := ""
	if w.Category != "" {
		filter = "\nWHERE if(known.category = '', " + unknown + ", known.category) = ?"
		arguments = append(arguments, w.Category)
	}
	or := func(text, otherwise string) string {
		if text == "" {
			return otherwise
		}
		return text
	}
	query := fmt.Sprintf(`SELECT %s AS period, %s AS hour_of_day, %s AS day_of_week, %s AS category, %s AS product, %s AS product_name,
	toInt64(uniqExact(sold.day)), toInt64(sum(sold.purchases)) AS n, toInt64(sum(sold.items)), toString(sum(sold.revenue)),
	toString(round(divideDecimal(sum(sold.prices), toDecimal128(n, 0), 5), 4))
FROM (%s%s) AS sold%s%s
GROUP BY period, hour_of_day, day_of_week, category, product, product_name
ORDER BY %s
LIMIT %d%s`, or(g.period, none), or(g.hour, "toInt64(0)"), or(g.weekday, "toInt64(0)"), category, or(g.product, none), or(g.productName, none),
		sums, where, join, filter, g.order, w.Limit, statistics)
	return query, arguments
}

// sums are the figures that the statistic adds up: those of whole slices where nothing finer is asked for.
func (w SalesWanted) sums(g grouping) (sums, where string, arguments []any) {
	sums = "SELECT purchase_date AS day, total_purchases AS purchases, total_items AS items, total_revenue AS revenue, sum_of_prices AS prices FROM purchase_sums FINAL"
	where = " WHERE total_purchases > 0"
	if g.category || g.product != "" || w.Category != "" || w.ProductID != "" || g.hour != "" {
		sums = `SELECT purchase_date AS day, s.hour AS hour, toString(s.product_id) AS product_id,
		sum(s.purchases) AS purchases, sum(s.items) AS items, sum(s.revenue) AS revenue, sum(s.sum_of_prices) AS prices
	FROM purchase_sums FINAL ARRAY JOIN sold AS s`
		where = " WHERE 1"
		defer func() { where += " GROUP BY day, hour, product_id" }()
	}
	if !w.From.IsZero() {
		where += " AND purchase_date >= toDate32(?)"
		arguments = append(arguments, held(w.From))
	}
	if !w.To.IsZero() {
		where += " AND purchase_date <= toDate32(?)"
		arguments = append(arguments, held(w.To))
	}
	if w.ProductID != "" {
		where += " AND s.product_id = ?"
		arguments = append(arguments, w.ProductID)
	}
	return sums, where, arguments
}

// held is a day that ClickHouse can hold, the nearest one.
func held(day time.Time) string {
	days := min(max(day.Unix()/86_400, int64(firstDay)), int64(lastDay))
	return clock.DateString(days)
}

// collect reads all rows into the places of each, with amounts as clients see them.
func collect[T any](rows *sql.Rows, places func(*T) []any) (all []T, err error) {
	defer rows.Close()
	for rows.Next() {
		var row T
		if err := rows.Scan(places(&row)...); err != nil {
			return nil, err
		}
		all = append(all, row)
	}
	return all, rows.Err()
}

// Exact writes an amount of ClickHouse with two decimals at least.
func Exact(amount string) string {
	_, decimals, _ := strings.Cut(amount, ".")
	switch len(decimals) {
	case 0:
		return amount + ".00"
	case 1:
		return amount + "0"
	}
	return amount
}
