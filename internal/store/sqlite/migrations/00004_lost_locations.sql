-- +goose Up

-- A location that a grant reaches no more stays, so that what was ever seen stays
-- required and it is known who could bring it back. lost_at is 0 while the grant
-- reaches it; lost_by is the identity of who did, NULL for the grant's own.
ALTER TABLE locations ADD COLUMN lost_at INTEGER NOT NULL DEFAULT 0;
ALTER TABLE locations ADD COLUMN lost_by TEXT;

-- When what a grant reaches is to be read again. It changes once a day, so it is
-- not in the grant's row, which every refresh rewrites.
CREATE TABLE readings (
    grant_n INTEGER PRIMARY KEY REFERENCES grants ON DELETE CASCADE,
    app     TEXT    NOT NULL,
    due_at  INTEGER NOT NULL
) STRICT;

CREATE INDEX readings_due ON readings (app, due_at);

-- What is here already is read for the first time in the course of a day.
INSERT INTO readings (grant_n, app, due_at)
    SELECT n, app, unixepoch() * 1000000 + abs(random() % 86400000000)
    FROM grants WHERE state IN ('connected', 'degraded');
