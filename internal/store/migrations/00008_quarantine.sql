-- What the quarantine bucket holds, and what became of it. A row of the bucket is a number in a space: an
-- offset of a partition, or a row of an object. Bitmaps of numbers keep millions of refused rows small.

-- +goose Up

-- One row per object, in its present state.
CREATE TABLE quarantine_objects (
    id          bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    entity      text        NOT NULL,
    key         text        NOT NULL UNIQUE,
    etag        text        NOT NULL,
    modified_at timestamptz NOT NULL,
    bytes       bigint      NOT NULL,
    layer       text        NOT NULL,
    day         text        NOT NULL,
    -- an object that was refused whole, or that cannot be read: why, and what became of it
    fault       text        NOT NULL DEFAULT '',
    fate        text        NOT NULL DEFAULT '' CHECK (fate IN ('', 'replayed', 'discarded')),
    run_id      uuid
);
CREATE INDEX quarantine_objects_by_day ON quarantine_objects (entity, layer, day);

-- The rows of an object by what they are refused for and by space.
CREATE TABLE quarantine_groups (
    object_id bigint NOT NULL REFERENCES quarantine_objects (id) ON DELETE CASCADE,
    reason    text   NOT NULL,
    space     text   NOT NULL,
    first     bigint NOT NULL,
    last      bigint NOT NULL,
    numbers   bytea  NOT NULL,
    rows      bigint NOT NULL,
    replayed  bigint NOT NULL,
    discarded bigint NOT NULL,
    PRIMARY KEY (object_id, reason, space),
    CHECK (rows >= replayed + discarded)
);
CREATE INDEX quarantine_groups_by_space ON quarantine_groups (space, last);

-- What became of rows, and in which run, however many objects hold them. A chunk is 65,536 numbers.
CREATE TABLE quarantine_fates (
    entity  text   NOT NULL,
    space   text   NOT NULL,
    chunk   bigint NOT NULL,
    run_id  uuid   NOT NULL,
    fate    text   NOT NULL CHECK (fate IN ('replayed', 'discarded')),
    numbers bytea  NOT NULL,
    PRIMARY KEY (entity, space, chunk, run_id, fate)
);

-- +goose Down
DROP TABLE quarantine_fates, quarantine_groups, quarantine_objects;
