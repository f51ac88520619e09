-- Slices of days whose purchases changed, and when: a row is written once the change can be read.
CREATE TABLE IF NOT EXISTS purchase_slices_touched
(
    day        Date32,
    slice      UInt32,
    touched_at DateTime64(6, 'UTC') DEFAULT now64(6, 'UTC')
)
ENGINE = ReplacingMergeTree(touched_at)
ORDER BY (day, slice)
