-- Figures of which the daily Spark job found the live one to differ from its own. An empty value is a row that is not there.
CREATE TABLE IF NOT EXISTS batch_differences
(
    run_id        String,
    statistic     LowCardinality(String),
    purchase_date Date32,
    subject       String,
    figure        LowCardinality(String),
    batch_value   String,
    live_value    String,
    found_at      DateTime DEFAULT now()
)
ENGINE = MergeTree
ORDER BY (purchase_date, found_at)
TTL found_at + INTERVAL 1 YEAR
