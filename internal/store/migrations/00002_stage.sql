-- What of RAW is in STAGE: which objects, and which Kafka offsets of each business day.

-- +goose Up

-- One row per state of a RAW object: one that is overwritten is another state, and staged again.
CREATE TABLE stage_objects (
    entity         text        NOT NULL,
    key            text        NOT NULL,
    etag           text        NOT NULL,
    run_id         uuid,
    rows_in        bigint      NOT NULL,
    rows_out       bigint      NOT NULL,
    rows_refused   bigint      NOT NULL,
    rows_skipped   bigint      NOT NULL,
    stage_key      text        NOT NULL DEFAULT '',
    quarantine_key text        NOT NULL DEFAULT '',
    fault          text        NOT NULL DEFAULT '',
    processed_at   timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (entity, key, etag),
    CHECK (rows_in = rows_out + rows_refused + rows_skipped)
);

-- A range says: every record of this topic, partition and day from first to last is in STAGE or in
-- quarantine. Ranges, not a highest offset: an object that arrives late, below what is already there,
-- still finds its place.
CREATE TABLE stage_ranges (
    entity       text   NOT NULL,
    topic        text   NOT NULL,
    partition    int    NOT NULL,
    day          text   NOT NULL,
    first_offset bigint NOT NULL,
    last_offset  bigint NOT NULL,
    PRIMARY KEY (entity, topic, partition, day, last_offset, first_offset),
    CHECK (first_offset <= last_offset)
);

-- What a processor was about to write. A row that outlives its object's commit names an orphan.
CREATE TABLE stage_intents (
    entity     text        NOT NULL,
    key        text        NOT NULL,
    bucket     text        NOT NULL,
    target     text        NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (entity, key, bucket, target)
);

CREATE VIEW stage_watermarks AS
SELECT entity, topic, partition, day, max(last_offset) AS "offset"
FROM stage_ranges
GROUP BY entity, topic, partition, day;

-- +goose Down
DROP VIEW stage_watermarks;
DROP TABLE stage_intents, stage_ranges, stage_objects;
