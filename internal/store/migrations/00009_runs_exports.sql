-- Runs say where they are and can be told to end; exports of tables know what they exported last.

-- +goose Up
ALTER TABLE batch_runs
    -- where a run is, in words; it changes while the run gets on
    ADD COLUMN progress text NOT NULL DEFAULT '',
    -- whoever is at work on the run ends it when this is set, on whatever machine that is
    ADD COLUMN cancel_requested_at timestamptz;

-- One row per table that is exported: where the next incremental export goes on.
CREATE TABLE exports (
    entity        text        PRIMARY KEY,
    -- rows of transactions below this one were in the last export
    next_xid      bigint      NOT NULL,
    -- which table the transaction number is of: one that was restored from a dump has numbers of its own
    table_oid     bigint      NOT NULL,
    exported_at   timestamptz NOT NULL DEFAULT now()
);

-- What was deleted, whoever deleted it: a row that is gone cannot be exported.
CREATE TABLE record_deletions (
    entity     text        NOT NULL,
    -- as it stands in the JSON of the row
    key        jsonb       NOT NULL,
    deleted_at timestamptz NOT NULL,
    PRIMARY KEY (entity, key)
);

-- +goose StatementBegin
CREATE FUNCTION note_deletion() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO record_deletions (entity, key, deleted_at)
    SELECT TG_TABLE_NAME, to_jsonb(gone) -> TG_ARGV[0], clock_timestamp() FROM gone
    ON CONFLICT (entity, key) DO UPDATE SET deleted_at = excluded.deleted_at;
    RETURN NULL;
END
$$;
-- +goose StatementEnd

CREATE TRIGGER note_deletion AFTER DELETE ON products
    REFERENCING OLD TABLE AS gone FOR EACH STATEMENT EXECUTE FUNCTION note_deletion('id');
CREATE TRIGGER note_deletion AFTER DELETE ON customers
    REFERENCING OLD TABLE AS gone FOR EACH STATEMENT EXECUTE FUNCTION note_deletion('customer_id');
CREATE TRIGGER note_deletion AFTER DELETE ON sellers
    REFERENCING OLD TABLE AS gone FOR EACH STATEMENT EXECUTE FUNCTION note_deletion('id');

-- +goose Down
DROP TRIGGER note_deletion ON sellers;
DROP TRIGGER note_deletion ON customers;
DROP TRIGGER note_deletion ON products;
DROP FUNCTION note_deletion;
DROP TABLE record_deletions, exports;
ALTER TABLE batch_runs DROP COLUMN progress, DROP COLUMN cancel_requested_at;
