-- +goose Up

-- The deadline of which it was told that it is near.
ALTER TABLE grants ADD COLUMN told_deadline INTEGER NOT NULL DEFAULT 0;

-- A refresh moves its grant from one end of this index to the other, so all
-- refreshes share a few pages of it.
CREATE INDEX grants_deadline ON grants (app, deadline_at)
    WHERE deadline_at > 0 AND state IN ('connected', 'degraded');
