-- Who publishes the outbox, or ended amid it: the next one waits for what that may still have under way.

-- +goose Up
CREATE TABLE outbox_turn (
    single boolean PRIMARY KEY DEFAULT true CHECK (single),
    -- empty once the holder has ended with nothing under way
    holder text    NOT NULL
);

-- +goose Down
DROP TABLE outbox_turn;
