-- One row per category with purchases, the one with most revenue first.
CREATE OR REPLACE VIEW top_categories AS
SELECT row_number() OVER (ORDER BY total_revenue DESC, category) AS rank, category, total_purchases, total_items, total_revenue, avg_price
FROM
(
    SELECT
        if(product.category = '', 'unknown', product.category) AS category,
        sum(sold.purchases) AS total_purchases,
        sum(sold.items) AS total_items,
        sum(sold.revenue) AS total_revenue,
        CAST(round(divideDecimal(sum(sold.prices), toDecimal128(total_purchases, 0), 5), 4), 'Decimal(18, 4)') AS avg_price
    FROM
    (
        SELECT s.product_id AS product_id, sum(s.purchases) AS purchases, sum(s.items) AS items, sum(s.revenue) AS revenue, sum(s.sum_of_prices) AS prices
        FROM purchase_sums FINAL ARRAY JOIN sold AS s
        GROUP BY product_id
    ) AS sold
    LEFT JOIN known_products AS product ON product.product_id = sold.product_id
    GROUP BY category
)
ORDER BY rank
