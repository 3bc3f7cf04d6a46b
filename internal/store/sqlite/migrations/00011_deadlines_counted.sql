-- +goose Up

-- With the state in it, deadlines are counted from the index alone; with the number
-- before it, they are still listed in its order.
DROP INDEX grants_deadline;
CREATE INDEX grants_deadline ON grants (app, deadline_at, n, state)
    WHERE deadline_at > 0 AND state IN ('connected', 'degraded');
