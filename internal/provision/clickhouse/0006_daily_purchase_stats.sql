-- One row per day with purchases. avg_price is the mean of price_at_time over purchases, rounded half up.
CREATE OR REPLACE VIEW daily_purchase_stats AS
SELECT
    purchase_date,
    total_purchases,
    total_items,
    total_revenue,
    CAST(round(divideDecimal(sum_of_prices, toDecimal128(total_purchases, 0), 5), 4), 'Decimal(18, 4)') AS avg_price
FROM daily_purchase_totals FINAL
WHERE total_purchases > 0
