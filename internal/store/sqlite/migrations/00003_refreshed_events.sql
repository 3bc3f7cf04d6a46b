-- +goose Up

-- A refresh's event is not in the index by connection: it would cost every
-- refresh a page of its own. It names the event of its grant's refresh before it,
-- 0 for none, and the grant names the last one, in the row that a refresh
-- rewrites anyway. previous_n is NULL for every other event.
ALTER TABLE events ADD COLUMN previous_n INTEGER;
ALTER TABLE grants ADD COLUMN refreshed_n INTEGER NOT NULL DEFAULT 0;

DROP INDEX events_connection;
CREATE INDEX events_connection ON events (connection) WHERE connection <> '' AND previous_n IS NULL;
