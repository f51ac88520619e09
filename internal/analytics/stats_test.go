package analytics_test

import (
	"database/sql"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/shop-connect/shop-connect/internal/analytics"
)

// sold fills the sums as clickhouse_stats does: two slices of a day, and another day of the next month but one.
func sold(t *testing.T, db *sql.DB) {
	t.Helper()
	execute(t, db, "TRUNCATE TABLE purchase_sums")
	execute(t, db, "TRUNCATE TABLE products")
	execute(t, db, `INSERT INTO products (id, name, category, version, is_deleted) VALUES
		('lamp', 'Lamp', 'light', 2, 0), ('desk', 'Old desk', 'metal', 2, 0), ('desk', 'Desk', 'wood', 4, 0), ('desk', '', '', 6, 1)`)
	const columns = "INSERT INTO purchase_sums (purchase_date, slice, computed_at, total_purchases, total_items, total_revenue, sum_of_prices, " +
		"`sold.hour`, `sold.product_id`, `sold.purchases`, `sold.items`, `sold.revenue`, `sold.sum_of_prices`, `bought.customer_id`, `bought.purchases`, `bought.revenue`, `bought.last_at`) VALUES "
	execute(t, db, columns+`
		('2026-01-05', 0, '2026-01-06 00:00:00', 3, 4, 40.0003, 30.0001, [9, 9, 10], ['lamp', 'desk', 'lamp'], [1, 1, 1], [1, 1, 2], [10, 10.0001, 20.0002], [10, 10, 10.0001],
			[1, 2], [2, 1], [30, 10.0003], ['2026-01-05 10:00:00', '2026-01-05 09:00:00']),
		('2026-01-05', 1, '2026-01-06 00:00:00', 1, 1, 5, 5, [9], ['pen'], [1], [1], [5], [5], [1], [1], [5], ['2026-01-05 09:30:00.000001'])`)
	execute(t, db, columns+`('2026-03-01', 1, '2026-03-02 00:00:00', 1, 1, 90, 90, [0], ['desk'], [1], [1], [90], [90], [3], [1], [90], ['2026-03-01 00:00:00'])`)
	// an earlier computation, and a day that has nothing any more
	execute(t, db, columns+`('2026-03-01', 1, '2026-03-01 00:00:00', 9, 9, 9, 9, [1], ['lamp'], [9], [9], [9], [9], [9], [9], [9], ['2026-03-01 00:00:00']),
		('2026-02-01', 0, '2026-03-02 00:00:00', 0, 0, 0, 0, [], [], [], [], [], [], [], [], [], [])`)
}

func date(t *testing.T, text string) time.Time {
	t.Helper()
	day, err := time.Parse(time.DateOnly, text)
	if err != nil {
		t.Fatal(err)
	}
	return day
}

func TestI3I5SalesAreAddedUpByWhatIsAskedFor(t *testing.T) {
	r, db := shop(t)
	sold(t, db)
	type wanted = analytics.SalesWanted
	january := wanted{From: date(t, "2026-01-01"), To: date(t, "2026-01-31")}
	in := func(w wanted, by analytics.By) wanted { w.By = by; return w }
	for name, test := range map[string]struct {
		wanted wanted
		rows   []string
	}{
		"days":                          {wanted{By: analytics.ByDay}, []string{"2026-03-01 1 1 90 90", "2026-01-05 4 5 45.0003 8.75"}},
		"the first row of many":         {wanted{By: analytics.ByDay, Limit: 1}, []string{"2026-03-01 1 1 90 90"}},
		"days of a period":              {in(january, analytics.ByDay), []string{"2026-01-05 4 5 45.0003 8.75"}},
		"the days of a period count":    {wanted{By: analytics.ByDay, From: date(t, "2026-01-05"), To: date(t, "2026-01-05")}, []string{"2026-01-05 4 5 45.0003 8.75"}},
		"days behind the last":          {wanted{By: analytics.ByDay, From: date(t, "2026-03-02")}, nil},
		"days of a product":             {wanted{By: analytics.ByDay, ProductID: "lamp"}, []string{"2026-01-05 2 3 30.0002 10.0001"}},
		"days of a category":            {wanted{By: analytics.ByDay, Category: "wood"}, []string{"2026-03-01 1 1 90 90", "2026-01-05 1 1 10.0001 10"}},
		"a product of another category": {wanted{By: analytics.ByDay, Category: "wood", ProductID: "lamp"}, nil},
		"months":                        {wanted{By: analytics.ByMonth}, []string{"2026-03 1 1 90 90", "2026-01 4 5 45.0003 8.75"}},
		"hours": {in(january, analytics.ByHour), []string{
			"2026-01-05 10h light 1 2 20.0002 10.0001", "2026-01-05 9h light 1 1 10 10", "2026-01-05 9h unknown 1 1 5 5", "2026-01-05 9h wood 1 1 10.0001 10",
		}},
		"categories":          {wanted{By: analytics.ByCategory}, []string{"wood 2 2 100.0001 50", "light 2 3 30.0002 10.0001", "unknown 1 1 5 5"}},
		"an unknown category": {wanted{By: analytics.ByCategory, Category: "unknown"}, []string{"unknown 1 1 5 5"}},
		"categories by day": {wanted{By: analytics.ByCategoryAndDay}, []string{
			"2026-03-01 wood 1 1 90 90", "2026-01-05 light 2 3 30.0002 10.0001", "2026-01-05 wood 1 1 10.0001 10", "2026-01-05 unknown 1 1 5 5",
		}},
		"categories by month":      {wanted{By: analytics.ByCategoryAndMonth, Category: "wood"}, []string{"2026-03 wood 1 1 90 90", "2026-01 wood 1 1 10.0001 10"}},
		"products":                 {wanted{By: analytics.ByProduct}, []string{"wood desk Desk 2 2 100.0001 50", "light lamp Lamp 2 3 30.0002 10.0001", "unknown pen 1 1 5 5"}},
		"products of January":      {in(january, analytics.ByProduct), []string{"light lamp Lamp 2 3 30.0002 10.0001", "wood desk Desk 1 1 10.0001 10", "unknown pen 1 1 5 5"}},
		"hours of the day":         {wanted{By: analytics.ByHourOfDay}, []string{"0h 1d 1 1 90 90", "9h 1d 3 3 25.0001 8.3333", "10h 1d 1 2 20.0002 10.0001"}},
		"days of the week":         {wanted{By: analytics.ByWeekday}, []string{"weekday1 1d 4 5 45.0003 8.75", "weekday7 1d 1 1 90 90"}},
		"no SQL in a category":     {wanted{By: analytics.ByDay, Category: `wood' OR '1'='1`}, nil},
		"no SQL in a product's id": {wanted{By: analytics.ByDay, ProductID: `\' OR 1 -- `}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			if test.wanted.Limit == 0 {
				test.wanted.Limit = 100
			}
			found, err := r.Sales(t.Context(), test.wanted)
			if err != nil {
				t.Fatal(err)
			}
			var rows []string
			for _, s := range found {
				rows = append(rows, text(test.wanted.By, s))
			}
			if !slices.Equal(rows, test.rows) {
				t.Errorf("rows %q\nwant %q", rows, test.rows)
			}
		})
	}
}

func text(by analytics.By, s analytics.Sales) (row string) {
	for _, part := range []string{s.Period, map[bool]string{true: fmt.Sprint(s.Hour, "h")}[by == analytics.ByHour || by == analytics.ByHourOfDay],
		map[bool]string{true: fmt.Sprint("weekday", s.Weekday)}[by == analytics.ByWeekday], s.Category, s.ProductID, s.ProductName,
		map[bool]string{true: fmt.Sprint(s.Days, "d")}[by == analytics.ByHourOfDay || by == analytics.ByWeekday]} {
		if part != "" {
			row += part + " "
		}
	}
	return row + fmt.Sprint(s.Purchases, " ", s.Items, " ", s.Revenue, " ", s.AvgPrice)
}

func TestHabitsCompareWithAllCustomersWhoeverIsAskedFor(t *testing.T) {
	r, db := shop(t)
	sold(t, db)
	for name, test := range map[string]struct {
		wanted analytics.HabitsWanted
		rows   []string
	}{
		"all":          {analytics.HabitsWanted{Limit: 9}, []string{"3 0 1 90 4 1 4 new", "1 55 3 35 1 4 2 at_risk", "2 55 1 10.0003 1 1 1 lost"}},
		"one customer": {analytics.HabitsWanted{Limit: 9, CustomerID: 1}, []string{"1 55 3 35 1 4 2 at_risk"}},
		"a segment":    {analytics.HabitsWanted{Limit: 9, Segment: "lost"}, []string{"2 55 1 10.0003 1 1 1 lost"}},
		"the best one": {analytics.HabitsWanted{Limit: 1}, []string{"3 0 1 90 4 1 4 new"}},
		"nobody":       {analytics.HabitsWanted{Limit: 9, CustomerID: 8}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			found, err := r.Habits(t.Context(), test.wanted)
			if err != nil {
				t.Fatal(err)
			}
			var rows []string
			for _, h := range found {
				rows = append(rows, fmt.Sprint(h.CustomerID, h.RecencyDays, h.Frequency, " ", h.Monetary, " ", h.RecencyScore, h.FrequencyScore, h.MonetaryScore, " ", h.Segment))
				if h.CustomerID == 1 && !h.LastPurchaseAt.Equal(time.Date(2026, 1, 5, 10, 0, 0, 0, time.UTC)) {
					t.Errorf("the last purchase was at %v", h.LastPurchaseAt)
				}
			}
			if !slices.Equal(rows, test.rows) {
				t.Errorf("rows %q\nwant %q", rows, test.rows)
			}
		})
	}
}

func TestATrendComparesWithTheCalendarMonthBefore(t *testing.T) {
	r, db := shop(t)
	sold(t, db)
	execute(t, db, `INSERT INTO purchase_sums (purchase_date, slice, computed_at, total_purchases, total_items, total_revenue, sum_of_prices) VALUES ('2026-04-01', 0, now64(6), 1, 1, 60, 60)`)
	trends := func(from, to time.Time, limit int) (rows []string) {
		t.Helper()
		found, err := r.Trends(t.Context(), from, to, limit)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range found {
			rows = append(rows, fmt.Sprint(m.Month, " ", m.Revenue, " ", m.PreviousRevenue, " ", m.RevenueChange, " ", m.RevenueGrowth.String))
		}
		return rows
	}
	april, march, january := "2026-04 60 90 -30 -0.3333", "2026-03 90 0 90 ", "2026-01 45.0003 0 45.0003 "
	if got := trends(time.Time{}, time.Time{}, 9); !slices.Equal(got, []string{april, march, january}) {
		t.Errorf("trends %q", got)
	}
	if got := trends(date(t, "2026-04-01"), date(t, "2026-04-30"), 9); !slices.Equal(got, []string{april}) {
		t.Errorf("April alone is %q: it compares with March all the same", got)
	}
	if got := trends(time.Time{}, date(t, "2026-03-31"), 1); !slices.Equal(got, []string{march}) {
		t.Errorf("the last month until March is %q", got)
	}
}

func TestExactAmountsHaveTwoDecimalsAtLeast(t *testing.T) {
	for amount, want := range map[string]string{"4": "4.00", "4.5": "4.50", "4.50": "4.50", "-0.0001": "-0.0001", "99999999999999999999.123": "99999999999999999999.123"} {
		if got := analytics.Exact(amount); got != want {
			t.Errorf("%s became %s, want %s", amount, got, want)
		}
	}
}
