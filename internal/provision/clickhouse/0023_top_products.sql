-- One row per product with purchases, the one with most revenue first.
CREATE OR REPLACE VIEW top_products AS
SELECT
    row_number() OVER (ORDER BY sold.revenue DESC, sold.product_id) AS rank,
    toString(sold.product_id) AS product_id,
    product.product_name AS product_name,
    if(product.category = '', 'unknown', product.category) AS category,
    sold.purchases AS total_purchases,
    sold.items AS total_items,
    sold.revenue AS total_revenue,
    CAST(round(divideDecimal(sold.prices, toDecimal128(sold.purchases, 0), 5), 4), 'Decimal(18, 4)') AS avg_price
FROM
(
    SELECT s.product_id AS product_id, sum(s.purchases) AS purchases, sum(s.items) AS items, sum(s.revenue) AS revenue, sum(s.sum_of_prices) AS prices
    FROM purchase_sums FINAL ARRAY JOIN sold AS s
    GROUP BY product_id
) AS sold
LEFT JOIN known_products AS product ON product.product_id = sold.product_id
ORDER BY rank
