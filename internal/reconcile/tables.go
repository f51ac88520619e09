package reconcile

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/shop-connect/shop-connect/internal/load"
)

const (
	salesQuery = `SELECT toInt64(count()), toInt64(uniqExact(id)), toInt64(sum(quantity)),
	toString(sum(toDecimal128(price_at_time, 4) * quantity))
FROM analytics.purchases FINAL`

	// No FINAL: readers must see one row per day without knowing about it.
	daysQuery = `SELECT toString(purchase_date), toInt64(total_purchases), toInt64(total_items), toString(total_revenue)
FROM analytics.daily_purchase_stats WHERE total_purchases != 0 ORDER BY purchase_date`

	categoriesQuery = `SELECT toInt64(sum(total_purchases)), 0, toInt64(sum(total_items)), toString(sum(total_revenue)) FROM analytics.category_sales`
	customersQuery  = `SELECT toInt64(sum(frequency)), 0, 0, toString(sum(monetary)) FROM analytics.customer_rfm`
)

func clickhouseSums(ctx context.Context, db *sql.DB, query string) (Sales, error) {
	var s Sales
	var revenue string
	if err := db.QueryRowContext(ctx, query).Scan(&s.Rows, &s.IDs, &s.Items, &revenue); err != nil {
		return Sales{}, fmt.Errorf("adding up: %w", err)
	}
	var err error
	s.Revenue, err = load.ParseAmount(revenue)
	return s, err
}

func clickhouseDays(ctx context.Context, db *sql.DB) (days []load.Day, err error) {
	rows, err := db.QueryContext(ctx, daysQuery)
	if err != nil {
		return nil, fmt.Errorf("querying analytics.daily_purchase_stats: %w", err)
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var d load.Day
		var revenue string
		if err := rows.Scan(&d.Date, &d.Purchases, &d.Items, &revenue); err != nil {
			return nil, fmt.Errorf("reading analytics.daily_purchase_stats: %w", err)
		}
		if d.Revenue, err = load.ParseAmount(revenue); err != nil {
			return nil, err
		}
		days = append(days, d)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("reading analytics.daily_purchase_stats: %w", err)
	}
	return days, nil
}
