-- On which days an id has been seen, and by which event. An event that names another day than an
-- earlier one finds here what has to be cancelled there. seen_at names the batch that wrote the row, so
-- that a batch can ask for what others know of its ids without sending them twice; rows of different
-- batches are never merged, so a batch always finds its own.
CREATE TABLE IF NOT EXISTS purchase_day_index
(
    id      String               CODEC(LZ4),
    day     Date32               CODEC(Delta, LZ4),
    version UInt64               CODEC(Delta, LZ4),
    seen_at DateTime64(9, 'UTC') CODEC(Delta, LZ4),
    INDEX by_batch seen_at TYPE minmax GRANULARITY 1
)
ENGINE = MergeTree
ORDER BY id
