-- +goose Up
-- The contracts that rows were stored by: a new one must fit the latest of its entity.
CREATE TABLE contracts (
    entity     text        NOT NULL,
    version    integer     NOT NULL,
    document   text        NOT NULL,
    adopted_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (entity, version)
);

-- +goose Down
DROP TABLE contracts;
