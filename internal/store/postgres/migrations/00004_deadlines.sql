-- +goose Up

-- The deadline of which it was told that it is near.
ALTER TABLE grants ADD COLUMN told_deadline timestamptz;

CREATE INDEX grants_deadline ON grants (app, deadline_at)
    WHERE deadline_at IS NOT NULL AND state IN ('connected', 'degraded');
