-- The ledger of batch runs: one row per start of a batch stream, refused starts included.

-- +goose Up
CREATE TABLE batch_runs (
    id                uuid        PRIMARY KEY,
    name              text        NOT NULL,
    parameters        jsonb       NOT NULL DEFAULT '{}',
    status            text        NOT NULL CHECK (status IN ('queued', 'running', 'succeeded', 'failed', 'cancelled')),
    started_at        timestamptz NOT NULL DEFAULT now(),
    finished_at       timestamptz,
    rows_in           bigint      NOT NULL DEFAULT 0,
    rows_out          bigint      NOT NULL DEFAULT 0,
    rows_refused      bigint      NOT NULL DEFAULT 0,
    rows_skipped      bigint      NOT NULL DEFAULT 0,
    objects           bigint      NOT NULL DEFAULT 0,
    objects_refused   bigint      NOT NULL DEFAULT 0,
    objects_unchanged bigint      NOT NULL DEFAULT 0,
    bytes             bigint      NOT NULL DEFAULT 0,
    attempts          bigint      NOT NULL DEFAULT 0,
    error             text        NOT NULL DEFAULT ''
);
CREATE INDEX batch_runs_by_time ON batch_runs (started_at DESC);
CREATE INDEX batch_runs_unfinished ON batch_runs (name) WHERE finished_at IS NULL;

-- +goose Down
DROP TABLE batch_runs;
