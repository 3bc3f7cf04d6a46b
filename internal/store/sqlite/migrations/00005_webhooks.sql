-- +goose Up

-- cursor is the number of an event: see package eventid.
CREATE TABLE webhooks (
    n                INTEGER PRIMARY KEY,
    id               TEXT    NOT NULL UNIQUE,
    name             TEXT    NOT NULL UNIQUE,
    url              TEXT    NOT NULL,
    types            TEXT,
    apps             TEXT,
    businesses       TEXT,
    sealed           BLOB,
    from_file        INTEGER NOT NULL,
    created_at       INTEGER NOT NULL,
    updated_at       INTEGER NOT NULL,
    sent             INTEGER NOT NULL,
    cursor           INTEGER NOT NULL,
    failures         INTEGER NOT NULL,
    failing_since    INTEGER NOT NULL,
    next_at          INTEGER NOT NULL,
    disabled_at      INTEGER NOT NULL,
    disabled_because TEXT    NOT NULL,
    lease_owner      TEXT    NOT NULL DEFAULT '',
    lease_until      INTEGER NOT NULL DEFAULT 0
) STRICT;

-- A ring: a delivery's slot is its number modulo as many as are kept, so the next
-- one is written over the oldest. took is in microseconds.
CREATE TABLE webhook_deliveries (
    webhook_n INTEGER NOT NULL REFERENCES webhooks ON DELETE CASCADE,
    slot      INTEGER NOT NULL,
    number    INTEGER NOT NULL,
    event     TEXT    NOT NULL,
    type      TEXT    NOT NULL,
    attempt   INTEGER NOT NULL,
    at        INTEGER NOT NULL,
    took      INTEGER NOT NULL,
    status    INTEGER NOT NULL,
    error     TEXT    NOT NULL,
    next_at   INTEGER NOT NULL,
    PRIMARY KEY (webhook_n, slot)
) STRICT, WITHOUT ROWID;
