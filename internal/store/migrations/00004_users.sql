-- The users who get a token by password.

-- +goose Up
CREATE TABLE users (
    name              text        PRIMARY KEY,
    -- argon2id in the PHC format: a password in the clear cannot be stored by mistake
    password_hash     text        NOT NULL CHECK (password_hash LIKE '$argon2id$%'),
    scopes            text[]      NOT NULL CHECK (scopes <@ ARRAY ['read', 'write', 'admin']),
    created_at        timestamptz NOT NULL DEFAULT now(),
    disabled_at       timestamptz,
    -- tokens issued before are void: the password was changed, or the user was disabled
    tokens_not_before timestamptz
);

-- +goose Down
DROP TABLE users;
