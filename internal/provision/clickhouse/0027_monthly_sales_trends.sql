-- One row per month with purchases, beside the calendar month before it. revenue_growth is the share by which revenue
-- grew, 0.25 for a quarter; null where there is nothing to compare with.
CREATE OR REPLACE VIEW monthly_sales_trends AS
SELECT
    purchase_month, total_purchases, total_items, total_revenue, avg_price,
    sum(total_revenue) OVER before AS previous_revenue,
    total_revenue - previous_revenue AS revenue_change,
    if(previous_revenue = 0, NULL, round(divideDecimal(revenue_change, if(previous_revenue = 0, toDecimal128(1, 4), previous_revenue), 5), 4)) AS revenue_growth
FROM monthly_purchase_stats
WINDOW before AS (ORDER BY toInt32(substring(purchase_month, 1, 4)) * 12 + toInt32(substring(purchase_month, 6, 2)) RANGE BETWEEN 1 PRECEDING AND 1 PRECEDING)
