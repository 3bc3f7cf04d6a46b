-- +goose Up

-- With the state in it, deadlines are counted from the index alone.
DROP INDEX grants_deadline;
CREATE INDEX grants_deadline ON grants (app, deadline_at, state)
    WHERE deadline_at > 0 AND state IN ('connected', 'degraded');
