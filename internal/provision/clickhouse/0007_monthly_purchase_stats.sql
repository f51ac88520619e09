-- One row per month with purchases: the sums of its days.
CREATE OR REPLACE VIEW monthly_purchase_stats AS
SELECT
    formatDateTime(purchase_date, '%Y-%m') AS purchase_month,
    sum(daily.total_purchases) AS total_purchases,
    sum(daily.total_items) AS total_items,
    sum(daily.total_revenue) AS total_revenue,
    CAST(round(divideDecimal(sum(daily.sum_of_prices), toDecimal128(total_purchases, 0), 5), 4), 'Decimal(18, 4)') AS avg_price
FROM daily_purchase_totals AS daily FINAL
WHERE daily.total_purchases > 0
GROUP BY purchase_month
