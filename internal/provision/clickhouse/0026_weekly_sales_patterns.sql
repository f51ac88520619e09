-- One row per weekday with purchases, 1 is Monday and 7 Sunday. days is on how many of them.
CREATE OR REPLACE VIEW weekly_sales_patterns AS
SELECT
    toDayOfWeek(purchase_date) AS weekday,
    uniqExact(purchase_date) AS days,
    sum(sums.total_purchases) AS total_purchases,
    sum(sums.total_items) AS total_items,
    sum(sums.total_revenue) AS total_revenue,
    CAST(round(divideDecimal(sum(sums.sum_of_prices), toDecimal128(total_purchases, 0), 5), 4), 'Decimal(18, 4)') AS avg_price
FROM purchase_sums AS sums FINAL
WHERE sums.total_purchases > 0
GROUP BY weekday
