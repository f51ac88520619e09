-- What statistics tell customers apart by.

-- +goose Up
ALTER TABLE customers ADD COLUMN country text, ADD COLUMN segment text;

-- +goose Down
ALTER TABLE customers DROP COLUMN country, DROP COLUMN segment;
