-- One row per customer with purchases: recency in days before the last day that has any, frequency, money spent, and
-- how these rank among all customers, from 1 to 5, where 5 is best and equals have equal scores.
CREATE OR REPLACE VIEW customer_rfm AS
SELECT
    customer_id, last_purchase_at, recency_days, frequency, monetary, recency_score, frequency_score, monetary_score,
    multiIf(
        recency_score >= 4 AND frequency_score >= 4, 'champions',
        recency_score >= 3 AND frequency_score >= 3, 'loyal',
        recency_score >= 4, 'new',
        recency_score = 3, 'needs_attention',
        frequency_score >= 3, 'at_risk',
        'lost') AS segment
FROM
(
    SELECT
        customer_id, last_purchase_at, frequency, monetary,
        toInt64(max(last_day) OVER () - last_day) AS recency_days,
        toUInt8(1 + intDiv(5 * (rank() OVER (ORDER BY last_day) - 1), count() OVER ())) AS recency_score,
        toUInt8(1 + intDiv(5 * (rank() OVER (ORDER BY frequency) - 1), count() OVER ())) AS frequency_score,
        toUInt8(1 + intDiv(5 * (rank() OVER (ORDER BY monetary) - 1), count() OVER ())) AS monetary_score
    FROM
    (
        SELECT b.customer_id AS customer_id, max(b.last_at) AS last_purchase_at, toInt32(max(purchase_date)) AS last_day,
            sum(b.purchases) AS frequency, sum(b.revenue) AS monetary
        FROM purchase_sums FINAL ARRAY JOIN bought AS b
        GROUP BY customer_id
    )
)
