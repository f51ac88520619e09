-- daily_purchase_stats as the daily Spark job has it.
CREATE OR REPLACE VIEW batch_daily_purchase_stats AS
SELECT
    purchase_date,
    total_purchases,
    total_items,
    total_revenue,
    CAST(round(divideDecimal(sum_of_prices, toDecimal128(total_purchases, 0), 5), 4), 'Decimal(18, 4)') AS avg_price
FROM batch_days FINAL
WHERE total_purchases > 0
