-- Purchase events by hour of purchase, as the optional Spark stream saw them: an event that was sent twice counts
-- twice, and a correction beside what it corrects. The exact figures are in purchases_hourly.
CREATE OR REPLACE VIEW stream_purchases_hourly AS
SELECT hour, sum(share.events) AS events, sum(share.items) AS items, sum(share.revenue) AS revenue
FROM stream_purchase_hours AS share FINAL
GROUP BY hour
