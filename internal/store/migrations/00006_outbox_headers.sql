-- Refused rows travel through the outbox with their reasons, and old deletions leave.

-- +goose Up
-- the headers of the Kafka record, as a JSON object of texts; null for none
ALTER TABLE outbox ADD COLUMN headers jsonb;
CREATE INDEX purchase_deletions_deleted_at ON purchase_deletions (deleted_at);

-- +goose Down
DROP INDEX purchase_deletions_deleted_at;
ALTER TABLE outbox DROP COLUMN headers;
