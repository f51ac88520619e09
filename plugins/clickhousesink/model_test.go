package clickhousesink

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
)

// books are the truth about purchases: the latest event of each id, and the last that was known of each product.
type books struct {
	zone     *time.Location
	sales    map[string]sale
	products map[string]goods
}

type sale struct {
	offset   int64
	at       time.Time
	product  string
	customer int
	quantity int64
	price    int64 // in ten-thousandths, as all money here
	gone     bool
}

type goods struct {
	offset         int64
	name, category string
}

// totals are the figures that all statistics have.
type totals struct{ purchases, items, revenue, prices int64 }

func (t *totals) add(s sale) {
	t.purchases++
	t.items += s.quantity
	t.revenue += s.price * s.quantity
	t.prices += s.price
}

func (t *totals) String() string {
	return fmt.Sprintf("%d|%d|%s|%s", t.purchases, t.items, amount(t.revenue), amount((t.prices*10/t.purchases+5)/10))
}

// amount writes money as ClickHouse does.
func amount(v int64) string {
	sign := ""
	if v < 0 {
		sign, v = "-", -v
	}
	return sign + strings.TrimSuffix(strings.TrimRight(fmt.Sprintf("%d.%04d", v/10_000, v%10_000), "0"), ".")
}

// by adds sales up in groups.
func by(sales []sale, group func(sale) string) map[string]*totals {
	groups := map[string]*totals{}
	for _, s := range sales {
		key := group(s)
		if groups[key] == nil {
			groups[key] = &totals{}
		}
		groups[key].add(s)
	}
	return groups
}

// table is what a statistic must be.
func table(groups map[string]*totals) (rows []string) {
	for key, t := range groups {
		rows = append(rows, key+"|"+t.String())
	}
	return rows
}

// ranked is a table by revenue, the largest first.
func ranked(groups map[string]*totals) (rows []string) {
	keys := slices.SortedFunc(maps.Keys(groups), func(a, b string) int {
		return cmp.Or(cmp.Compare(groups[b].revenue, groups[a].revenue), cmp.Compare(a, b))
	})
	for i, key := range keys {
		rows = append(rows, fmt.Sprintf("%d|%s|%s", i+1, key, groups[key]))
	}
	return rows
}

func (b books) day(s sale) string   { return s.at.In(b.zone).Format(time.DateOnly) }
func (b books) month(s sale) string { return s.at.In(b.zone).Format("2006-01") }
func (b books) hour(s sale) string  { return strconv.Itoa(s.at.In(b.zone).Hour()) }
func (b books) weekday(s sale) string {
	return strconv.Itoa((int(s.at.In(b.zone).Weekday())+6)%7 + 1)
}

func (b books) category(s sale) string { return cmp.Or(b.products[s.product].category, "unknown") }

func (b books) current() (sales []sale) {
	for _, s := range b.sales {
		if !s.gone {
			sales = append(sales, s)
		}
	}
	return sales
}

// statistics are the queries of all tables with what they must answer.
func (b books) statistics() map[string][]string {
	sales := b.current()
	return map[string][]string{
		"SELECT * FROM analytics.daily_purchase_stats":   table(by(sales, b.day)),
		"SELECT * FROM analytics.monthly_purchase_stats": table(by(sales, b.month)),
		"SELECT * FROM analytics.purchases_hourly": table(by(sales, func(s sale) string {
			return b.day(s) + "|" + b.hour(s) + "|" + b.category(s)
		})),
		"SELECT * FROM analytics.category_sales": table(by(sales, func(s sale) string { return b.day(s) + "|" + b.category(s) })),
		"SELECT * FROM analytics.top_categories": ranked(by(sales, b.category)),
		"SELECT * FROM analytics.top_products": ranked(by(sales, func(s sale) string {
			return s.product + "|" + b.products[s.product].name + "|" + b.category(s)
		})),
		"SELECT * FROM analytics.hourly_sales_patterns":                                                             table(by(sales, b.withDays(sales, b.hour))),
		"SELECT * FROM analytics.weekly_sales_patterns":                                                             table(by(sales, b.withDays(sales, b.weekday))),
		"SELECT * FROM analytics.monthly_sales_trends":                                                              b.trends(sales),
		"SELECT * REPLACE toUnixTimestamp64Micro(last_purchase_at) AS last_purchase_at FROM analytics.customer_rfm": b.rfm(sales),
	}
}

// withDays puts behind a group on how many days it has sales.
func (b books) withDays(sales []sale, group func(sale) string) func(sale) string {
	days := map[string]map[string]bool{}
	for _, s := range sales {
		if days[group(s)] == nil {
			days[group(s)] = map[string]bool{}
		}
		days[group(s)][b.day(s)] = true
	}
	return func(s sale) string { return fmt.Sprintf("%s|%d", group(s), len(days[group(s)])) }
}

func (b books) trends(sales []sale) []string {
	months := by(sales, b.month)
	rows := table(months)
	for i, row := range rows {
		month, _ := time.Parse("2006-01", row[:7])
		var previous int64
		if before := months[month.AddDate(0, -1, 0).Format("2006-01")]; before != nil {
			previous = before.revenue
		}
		change, growth := months[row[:7]].revenue-previous, `\N`
		if previous > 0 {
			share := change * 100_000 / previous
			half := int64(5)
			if share < 0 {
				half = -5
			}
			growth = amount((share + half) / 10)
		}
		rows[i] = fmt.Sprintf("%s|%s|%s|%s", row, amount(previous), amount(change), growth)
	}
	return rows
}

func (b books) rfm(sales []sale) (rows []string) {
	type habit struct {
		last           time.Time
		day, count, of int64
	}
	customers := map[int]*habit{}
	var lastDay int64
	for _, s := range sales {
		h := customers[s.customer]
		if h == nil {
			h = &habit{}
			customers[s.customer] = h
		}
		if s.at.After(h.last) {
			h.last = s.at
		}
		date, _ := time.Parse(time.DateOnly, b.day(s))
		h.day = max(h.day, date.Unix()/86_400)
		h.count++
		h.of += s.price * s.quantity
		lastDay = max(lastDay, h.day)
	}
	score := func(value func(*habit) int64, of *habit) int {
		below := 0
		for _, other := range customers {
			if value(other) < value(of) {
				below++
			}
		}
		return 1 + 5*below/len(customers)
	}
	for _, id := range slices.Sorted(maps.Keys(customers)) {
		h := customers[id]
		r := score(func(h *habit) int64 { return h.day }, h)
		f := score(func(h *habit) int64 { return h.count }, h)
		m := score(func(h *habit) int64 { return h.of }, h)
		rows = append(rows, fmt.Sprintf("%d|%d|%d|%d|%s|%d|%d|%d|%s", id, h.last.UnixMicro(), lastDay-h.day, h.count, amount(h.of), r, f, m, segment(r, f)))
	}
	return rows
}

func segment(r, f int) string {
	switch {
	case r >= 4 && f >= 4:
		return "champions"
	case r >= 3 && f >= 3:
		return "loyal"
	case r >= 4:
		return "new"
	case r == 3:
		return "needs_attention"
	case f >= 3:
		return "at_risk"
	}
	return "lost"
}
