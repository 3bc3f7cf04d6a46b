-- +goose Up

-- One-time links into the dashboard that are not used yet.
CREATE TABLE logins (
    hash       bytea       PRIMARY KEY,
    name       text        NOT NULL,
    role       text        NOT NULL,
    expires_at timestamptz NOT NULL
);
