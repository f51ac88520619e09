-- Runs count what was worth a warning and passed, by entity and field.

-- +goose Up
ALTER TABLE batch_runs ADD COLUMN warnings jsonb NOT NULL DEFAULT '{}';

-- +goose Down
ALTER TABLE batch_runs DROP COLUMN warnings;
