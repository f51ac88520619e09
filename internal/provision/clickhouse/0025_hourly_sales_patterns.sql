-- One row per hour of the business day with purchases, over all days. days is on how many of them.
CREATE OR REPLACE VIEW hourly_sales_patterns AS
SELECT
    s.hour AS purchase_hour,
    uniqExact(purchase_date) AS days,
    sum(s.purchases) AS total_purchases,
    sum(s.items) AS total_items,
    sum(s.revenue) AS total_revenue,
    CAST(round(divideDecimal(sum(s.sum_of_prices), toDecimal128(total_purchases, 0), 5), 4), 'Decimal(18, 4)') AS avg_price
FROM purchase_sums FINAL ARRAY JOIN sold AS s
GROUP BY purchase_hour
