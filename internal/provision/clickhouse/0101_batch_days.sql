-- The days that the daily Spark job has computed from STAGE, each with its sums and the run that they are of. A day's
-- row is written last, so that whoever reads by it sees all that the run wrote of the day, or nothing. computed_at
-- is when the run began: one that took longer never replaces one that saw more.
CREATE TABLE IF NOT EXISTS batch_days
(
    purchase_date   Date32,
    run_id          String,
    total_purchases Int64,
    total_items     Int64,
    total_revenue   Decimal(38, 4),
    sum_of_prices   Decimal(38, 4),
    computed_at     DateTime64(6, 'UTC')
)
ENGINE = ReplacingMergeTree(computed_at)
ORDER BY purchase_date
