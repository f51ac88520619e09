-- The sums of a day by category, of each run of the daily Spark job; those of the run in batch_days count.
CREATE TABLE IF NOT EXISTS batch_category_days
(
    purchase_date   Date32,
    run_id          String,
    category        LowCardinality(String),
    total_purchases Int64,
    total_items     Int64,
    total_revenue   Decimal(38, 4),
    sum_of_prices   Decimal(38, 4),
    written_at      DateTime DEFAULT now()
)
ENGINE = MergeTree
PARTITION BY toYYYYMM(purchase_date)
ORDER BY (purchase_date, run_id, category)
