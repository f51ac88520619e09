-- Products as their topic tells of them. A deletion is a row of its own beside the last one that had content: what was
-- sold of a product stays in its category. Read the view known_products, or this table with FINAL.
CREATE TABLE IF NOT EXISTS products
(
    id          String,
    name        String,
    description Nullable(String),
    category    String,
    price       Decimal(18, 4),
    stock       Int64,
    image       Nullable(String),
    created_at  Nullable(DateTime64(6, 'UTC')),
    -- twice the Kafka offset of the event
    version     UInt64,
    is_deleted  UInt8
)
ENGINE = ReplacingMergeTree(version)
ORDER BY (id, is_deleted)
