-- What the upkeep of the lake is about to do, so that a crash anywhere is finished by the next run.

-- +goose Up

-- One row per merge under way: objects of one slice that are about to become one. It is noted before the
-- merged object is put, and goes with the last of the merge.
CREATE TABLE compactions (
    id          uuid        PRIMARY KEY,
    layer       text        NOT NULL CHECK (layer IN ('raw', 'stage')),
    bucket      text        NOT NULL,
    entity      text        NOT NULL,
    topic       text        NOT NULL,
    partition   int         NOT NULL,
    day         text        NOT NULL,
    target      text        NOT NULL,
    sources     text[]      NOT NULL,
    -- the states of the sources that were read: one that is overwritten stays
    etags       text[]      NOT NULL,
    rows        bigint      NOT NULL,
    repeated    bigint      NOT NULL,
    bytes       bigint      NOT NULL,
    last_offset bigint      NOT NULL,
    created_at  timestamptz NOT NULL DEFAULT now()
);

-- which objects of STAGE the ledger has, and which were left by a crash
CREATE INDEX stage_objects_by_stage_key ON stage_objects (entity, stage_key) WHERE stage_key <> '';

-- +goose Down
DROP INDEX stage_objects_by_stage_key;
DROP TABLE compactions;
