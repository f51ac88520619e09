-- The sums of a day by customer, of each run of the daily Spark job; those of the run in batch_days count.
CREATE TABLE IF NOT EXISTS batch_customer_days
(
    purchase_date     Date32,
    run_id            String,
    customer_id       Int64,
    total_purchases   Int64,
    total_items       Int64,
    total_revenue     Decimal(38, 4),
    last_purchased_at DateTime64(6, 'UTC'),
    written_at        DateTime DEFAULT now()
)
ENGINE = MergeTree
PARTITION BY toYYYYMM(purchase_date)
ORDER BY (purchase_date, run_id, customer_id)
