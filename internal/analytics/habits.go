package analytics

import (
	"context"
	"database/sql"
	"fmt"
	"time"
)

// Habits is how a customer buys: recency, frequency, money. Scores are from 1 to 5, 5 is best.
type Habits struct {
	CustomerID                                  int64
	LastPurchaseAt                              time.Time
	RecencyDays, Frequency                      int64
	Monetary                                    string
	RecencyScore, FrequencyScore, MonetaryScore int64
	Segment                                     string
}

// HabitsWanted says which customers to show. What is zero does not matter.
type HabitsWanted struct {
	CustomerID int64
	Segment    string
	Limit      int
}

// Habits shows customers, the one who spent most first. Scores compare with all customers, whoever is asked for.
func (r *Reader) Habits(ctx context.Context, wanted HabitsWanted) ([]Habits, error) {
	c := condition{text: "1"}
	if wanted.CustomerID != 0 {
		c = c.and("customer_id = ?", wanted.CustomerID)
	}
	if wanted.Segment != "" {
		c = c.and("segment = ?", wanted.Segment)
	}
	rows, err := r.db.QueryContext(ctx, fmt.Sprintf(`SELECT customer_id, toUnixTimestamp64Micro(last_purchase_at), recency_days, toInt64(frequency), toString(monetary),
	toInt64(recency_score), toInt64(frequency_score), toInt64(monetary_score), segment
FROM customer_rfm WHERE %s ORDER BY customer_rfm.monetary DESC, customer_id LIMIT %d%s`, c.text, wanted.Limit, statistics), c.arguments...)
	if err != nil {
		return nil, fmt.Errorf("reading customers' habits of ClickHouse: %w", err)
	}
	type row struct {
		Habits
		last int64
	}
	found, err := collect(rows, func(h *row) []any {
		return []any{&h.CustomerID, &h.last, &h.RecencyDays, &h.Frequency, &h.Monetary, &h.RecencyScore, &h.FrequencyScore, &h.MonetaryScore, &h.Segment}
	})
	if err != nil {
		return nil, fmt.Errorf("reading customers' habits of ClickHouse: %w", err)
	}
	all := make([]Habits, len(found))
	for i, h := range found {
		all[i] = h.Habits
		all[i].LastPurchaseAt = time.UnixMicro(h.last).UTC()
	}
	return all, nil
}

// Trend is a month beside the one before it.
type Trend struct {
	Month string
	Figures
	PreviousRevenue, RevenueChange string
	// RevenueGrowth is the change as a share of the month before; not valid where that had no revenue.
	RevenueGrowth sql.NullString
}

// Trends shows months, the newest first.
func (r *Reader) Trends(ctx context.Context, from, to time.Time, limit int) ([]Trend, error) {
	c := condition{text: "1"}
	if !from.IsZero() {
		c = c.and("purchase_month >= ?", from.Format("2006-01"))
	}
	if !to.IsZero() {
		c = c.and("purchase_month <= ?", to.Format("2006-01"))
	}
	rows, err := r.db.QueryContext(ctx, fmt.Sprintf(`SELECT purchase_month, toInt64(total_purchases), toInt64(total_items), toString(total_revenue), toString(avg_price),
	toString(previous_revenue), toString(revenue_change), toString(revenue_growth)
FROM monthly_sales_trends WHERE %s ORDER BY purchase_month DESC LIMIT %d%s`, c.text, limit, statistics), c.arguments...)
	if err != nil {
		return nil, fmt.Errorf("reading monthly trends of ClickHouse: %w", err)
	}
	trends, err := collect(rows, func(t *Trend) []any {
		return []any{&t.Month, &t.Purchases, &t.Items, &t.Revenue, &t.AvgPrice, &t.PreviousRevenue, &t.RevenueChange, &t.RevenueGrowth}
	})
	if err != nil {
		return nil, fmt.Errorf("reading monthly trends of ClickHouse: %w", err)
	}
	return trends, nil
}
