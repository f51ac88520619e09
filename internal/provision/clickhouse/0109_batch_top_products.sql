-- top_products as the daily Spark job has it: one row per product with purchases, the one with most revenue first.
CREATE OR REPLACE VIEW batch_top_products AS
SELECT
    row_number() OVER (ORDER BY sold.revenue DESC, sold.product_id) AS rank,
    sold.product_id AS product_id,
    sold.purchases AS total_purchases,
    sold.items AS total_items,
    sold.revenue AS total_revenue,
    CAST(round(divideDecimal(sold.prices, toDecimal128(sold.purchases, 0), 5), 4), 'Decimal(18, 4)') AS avg_price
FROM
(
    SELECT
        product_id, sum(p.total_purchases) AS purchases, sum(p.total_items) AS items, sum(p.total_revenue) AS revenue,
        sum(p.sum_of_prices) AS prices
    FROM batch_product_days AS p
    WHERE (purchase_date, run_id) IN (SELECT purchase_date, run_id FROM batch_days FINAL)
    GROUP BY product_id
) AS sold
ORDER BY rank
