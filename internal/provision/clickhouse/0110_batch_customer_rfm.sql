-- customer_rfm as the daily Spark job has it: recency in days before the last day that has purchases, frequency, money
-- spent.
CREATE OR REPLACE VIEW batch_customer_rfm AS
SELECT customer_id, last_purchase_at, toInt64(max(last_day) OVER () - last_day) AS recency_days, frequency, monetary
FROM
(
    SELECT
        customer_id, max(c.last_purchased_at) AS last_purchase_at, toInt32(max(purchase_date)) AS last_day,
        sum(c.total_purchases) AS frequency, sum(c.total_revenue) AS monetary
    FROM batch_customer_days AS c
    WHERE (purchase_date, run_id) IN (SELECT purchase_date, run_id FROM batch_days FINAL)
    GROUP BY customer_id
)
