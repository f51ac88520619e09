-- Slices that were touched since the computation began that their sums are from, longest waiting first.
CREATE OR REPLACE VIEW purchase_slices_due AS
SELECT day, slice, touched_at
FROM (SELECT day, slice, max(touched_at) AS touched_at FROM purchase_slices_touched GROUP BY day, slice) AS touched
LEFT JOIN (SELECT purchase_date AS day, slice, max(computed_at) AS computed_at FROM purchase_sums GROUP BY day, slice) AS computed USING (day, slice)
WHERE touched_at >= computed_at
ORDER BY touched_at
