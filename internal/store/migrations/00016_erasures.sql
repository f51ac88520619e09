-- Who asked to be forgotten, and what the runs that did it report.

-- +goose Up

-- A number of a customer that leads to nobody any more. The row stays for good: by it, what comes late of
-- the person is known and not kept.
CREATE TABLE erasures (
    customer_id  bigint      PRIMARY KEY,
    -- the run that was started for it last
    run_id       uuid,
    requested_at timestamptz NOT NULL DEFAULT now(),
    -- when a run was through for the first time
    finished_at  timestamptz,
    -- what rows without a readable number are recognised by: {"emails": […], "phones": […], "names": […]}.
    -- It goes as soon as a run is through.
    clues        jsonb
);

ALTER TABLE batch_runs
    -- what a run has to tell beside its counts; each kind of run has its own form
    ADD COLUMN report jsonb;

-- +goose Down
ALTER TABLE batch_runs DROP COLUMN report;
DROP TABLE erasures;
