-- One row per purchase; read it with FINAL. Rows of one key merge to the one with the highest version,
-- and a purchase whose last row is_deleted is not there. The date leads the key: purchases arrive
-- roughly in time order, and a statistic reads the days it needs and no others.
CREATE TABLE IF NOT EXISTS purchases
(
    id            String                  CODEC(ZSTD(1)),
    product_id    String                  CODEC(ZSTD(1)),
    customer_id   Int64                   CODEC(T64, LZ4),
    seller_id     Int64                   CODEC(T64, LZ4),
    quantity      Int64                   CODEC(T64, LZ4),
    price_at_time Decimal(18, 4)          CODEC(ZSTD(1)),
    purchased_at  DateTime64(6, 'UTC')    CODEC(Delta, ZSTD(1)),
    -- the business day, in the shop's time zone
    purchase_date Date32                  CODEC(Delta, LZ4),
    -- twice the Kafka offset of the event; one more where the purchase has left this day for another
    version       UInt64                  CODEC(Delta, LZ4),
    is_deleted    UInt8                   CODEC(LZ4),
    total_price   Decimal(38, 4) ALIAS toDecimal128(price_at_time, 4) * quantity
)
ENGINE = ReplacingMergeTree(version, is_deleted)
PARTITION BY toYYYYMM(purchase_date)
ORDER BY (purchase_date, id)
