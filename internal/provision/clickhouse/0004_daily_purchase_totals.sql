-- The sums of each day, as the stream clickhouse_stats computed them. computed_at is when a
-- computation began, so that one which took longer never replaces one that saw more.
CREATE TABLE IF NOT EXISTS daily_purchase_totals
(
    purchase_date   Date32,
    total_purchases UInt64,
    total_items     Int64,
    total_revenue   Decimal(38, 4),
    sum_of_prices   Decimal(38, 4),
    computed_at     DateTime64(6, 'UTC')
)
ENGINE = ReplacingMergeTree(computed_at)
ORDER BY purchase_date
