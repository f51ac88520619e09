-- Days that were touched since the computation began that their sums are from, longest waiting first.
CREATE OR REPLACE VIEW purchase_days_due AS
SELECT day, touched_at
FROM (SELECT day, max(touched_at) AS touched_at FROM purchase_days_touched GROUP BY day) AS touched
LEFT JOIN (SELECT purchase_date AS day, max(computed_at) AS computed_at FROM daily_purchase_totals GROUP BY day) AS computed USING (day)
WHERE touched_at >= computed_at
ORDER BY touched_at
