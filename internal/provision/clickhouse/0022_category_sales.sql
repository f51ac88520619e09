-- One row per day and category with purchases.
CREATE OR REPLACE VIEW category_sales AS
SELECT
    purchase_date,
    if(product.category = '', 'unknown', product.category) AS category,
    sum(sold.purchases) AS total_purchases,
    sum(sold.items) AS total_items,
    sum(sold.revenue) AS total_revenue,
    CAST(round(divideDecimal(sum(sold.prices), toDecimal128(total_purchases, 0), 5), 4), 'Decimal(18, 4)') AS avg_price
FROM
(
    SELECT
        purchase_date, s.product_id AS product_id,
        sum(s.purchases) AS purchases, sum(s.items) AS items, sum(s.revenue) AS revenue, sum(s.sum_of_prices) AS prices
    FROM purchase_sums FINAL ARRAY JOIN sold AS s
    GROUP BY purchase_date, product_id
) AS sold
LEFT JOIN known_products AS product ON product.product_id = sold.product_id
GROUP BY purchase_date, category
