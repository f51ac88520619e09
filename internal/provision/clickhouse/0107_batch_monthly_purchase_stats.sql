-- monthly_purchase_stats as the daily Spark job has it: the sums of the days that it has computed.
CREATE OR REPLACE VIEW batch_monthly_purchase_stats AS
SELECT
    formatDateTime(purchase_date, '%Y-%m') AS purchase_month,
    sum(days.total_purchases) AS total_purchases,
    sum(days.total_items) AS total_items,
    sum(days.total_revenue) AS total_revenue,
    CAST(round(divideDecimal(sum(days.sum_of_prices), toDecimal128(total_purchases, 0), 5), 4), 'Decimal(18, 4)') AS avg_price
FROM batch_days AS days FINAL
WHERE days.total_purchases > 0
GROUP BY purchase_month
