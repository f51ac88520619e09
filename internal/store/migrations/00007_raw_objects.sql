-- What of RAW waits for STAGE, so that a run costs what is new and not what there is.

-- +goose Up

-- One row per object, in the state that was last heard of: from the stream that wrote it, which says so
-- before it acknowledges the rows, or from a listing of the bucket.
CREATE TABLE raw_objects (
    bucket        text        NOT NULL,
    entity        text        NOT NULL,
    key           text        NOT NULL,
    etag          text        NOT NULL,
    size          bigint      NOT NULL,
    -- NULL and -1 where others wrote it
    rows          bigint,
    last_offset   bigint      NOT NULL DEFAULT -1,
    -- of the folder, as in purchase_date=2026-01-02/; empty where there is none
    day           text        NOT NULL GENERATED ALWAYS AS (coalesce(substring(key FROM '=(\d{4}-\d{2}-\d{2})/'), '')) STORED,
    written_at    timestamptz NOT NULL DEFAULT now(),
    registered_at timestamptz NOT NULL DEFAULT now(),
    pending       boolean     NOT NULL DEFAULT true,
    PRIMARY KEY (bucket, key)
);
CREATE INDEX raw_objects_pending ON raw_objects (bucket, entity, registered_at, key) WHERE pending;

-- How far a part of the bucket has been looked over for objects that others wrote. No row: not once.
CREATE TABLE raw_patrols (
    bucket     text NOT NULL,
    prefix     text NOT NULL,
    last_key   text NOT NULL,
    PRIMARY KEY (bucket, prefix)
);

-- Who stages a slice holds its lock: whatever others noted there, they are not at it any more.
ALTER TABLE stage_intents ADD COLUMN slice text NOT NULL DEFAULT '';

-- +goose Down
ALTER TABLE stage_intents DROP COLUMN slice;
DROP TABLE raw_patrols, raw_objects;
