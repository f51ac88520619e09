-- One row per month with purchases.
CREATE OR REPLACE VIEW monthly_purchase_stats AS
SELECT
    formatDateTime(purchase_date, '%Y-%m') AS purchase_month,
    sum(sums.total_purchases) AS total_purchases,
    sum(sums.total_items) AS total_items,
    sum(sums.total_revenue) AS total_revenue,
    CAST(round(divideDecimal(sum(sums.sum_of_prices), toDecimal128(total_purchases, 0), 5), 4), 'Decimal(18, 4)') AS avg_price
FROM purchase_sums AS sums FINAL
WHERE sums.total_purchases > 0
GROUP BY purchase_month
