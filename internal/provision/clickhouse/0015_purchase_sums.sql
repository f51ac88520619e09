-- The sums of each slice of a day, as the stream clickhouse_stats computed them: in all, by hour and product
-- (the arrays sold.*, an element for each hour and product), and by customer (bought.*). A slice is one row, so
-- that a reader sees all of a computation or nothing, and what is no longer sold is gone. computed_at is when a
-- computation began, so that one which took longer never replaces one that saw more.
CREATE TABLE IF NOT EXISTS purchase_sums
(
    purchase_date   Date32,
    slice           UInt32,
    computed_at     DateTime64(6, 'UTC'),
    total_purchases UInt64,
    total_items     Int64,
    total_revenue   Decimal(38, 4),
    sum_of_prices   Decimal(38, 4),
    sold Nested
    (
        hour          UInt8,
        product_id    LowCardinality(String),
        purchases     UInt64,
        items         Int64,
        revenue       Decimal(38, 4),
        sum_of_prices Decimal(38, 4)
    ),
    bought Nested
    (
        customer_id   Int64,
        purchases     UInt64,
        revenue       Decimal(38, 4),
        last_at       DateTime64(6, 'UTC')
    )
)
ENGINE = ReplacingMergeTree(computed_at)
PARTITION BY toYYYYMM(purchase_date)
ORDER BY (purchase_date, slice)
-- a row may hold megabytes
SETTINGS index_granularity = 128
