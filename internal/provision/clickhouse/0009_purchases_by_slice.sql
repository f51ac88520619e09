-- With the slice in the key, what is computed of a purchase that just came reads a slice of its day and
-- not all of it. Rows of one id in other slices are cancelled by the sink, as those on other days are.
CREATE TABLE IF NOT EXISTS purchases_by_slice AS purchases
ENGINE = ReplacingMergeTree(version, is_deleted)
PARTITION BY toYYYYMM(purchase_date)
ORDER BY (purchase_date, slice, id)
