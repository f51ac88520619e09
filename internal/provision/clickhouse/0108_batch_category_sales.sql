-- category_sales as the daily Spark job has it: one row per day and category with purchases.
CREATE OR REPLACE VIEW batch_category_sales AS
SELECT
    purchase_date,
    category,
    total_purchases,
    total_items,
    total_revenue,
    CAST(round(divideDecimal(sum_of_prices, toDecimal128(total_purchases, 0), 5), 4), 'Decimal(18, 4)') AS avg_price
FROM batch_category_days
WHERE (purchase_date, run_id) IN (SELECT purchase_date, run_id FROM batch_days FINAL)
