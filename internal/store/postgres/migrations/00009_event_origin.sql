-- +goose Up

-- The process that made an event, by the number that its store has drawn; NULL for
-- what an older version made. It is what tells a process its own events from others'.
ALTER TABLE events ADD COLUMN origin integer;
