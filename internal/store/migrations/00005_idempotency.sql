-- The answers to requests that carried an Idempotency-Key, so that a request sent again is done once.

-- +goose Up
CREATE TABLE idempotency (
    subject      text        NOT NULL,
    endpoint     text        NOT NULL,
    key          text        NOT NULL,
    -- of what the request asks for: the same key must not mean two things
    fingerprint  bytea       NOT NULL,
    created_at   timestamptz NOT NULL DEFAULT now(),
    -- null while the request is in hand, and for ever where the API ended amid it
    status       integer,
    content_type text,
    location     text,
    body         bytea,
    PRIMARY KEY (subject, endpoint, key)
);
CREATE INDEX idempotency_created_at ON idempotency (created_at);

-- +goose Down
DROP TABLE idempotency;
