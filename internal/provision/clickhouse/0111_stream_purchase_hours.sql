-- What each batch of the optional Spark stream (airflow/jobs/purchase_stream.py) has had of each hour of purchase.
CREATE TABLE IF NOT EXISTS stream_purchase_hours
(
    hour       DateTime('UTC'),
    batch      Int64,
    events     Int64,
    items      Int64,
    revenue    Decimal(38, 4),
    written_at DateTime64(3, 'UTC') DEFAULT now64(3, 'UTC')
)
ENGINE = ReplacingMergeTree(written_at)
PARTITION BY toYYYYMM(hour)
ORDER BY (hour, batch)
