-- +goose Up

-- A location that a grant reaches no more stays, so that what was ever seen stays
-- required and it is known who could bring it back. lost_at is NULL while the
-- grant reaches it; lost_by is the identity of who did, NULL for the grant's own.
ALTER TABLE locations ADD COLUMN lost_at timestamptz, ADD COLUMN lost_by json;

-- When what a grant reaches is to be read again. It changes once a day, so it is
-- not in the grant's row, which every refresh rewrites.
CREATE TABLE readings (
    connection_id text COLLATE "C" NOT NULL,
    grant_id      text COLLATE "C" NOT NULL,
    app           text COLLATE "C" NOT NULL,
    due_at        timestamptz      NOT NULL,
    PRIMARY KEY (connection_id, grant_id)
) PARTITION BY HASH (connection_id);

CREATE INDEX readings_due ON readings (app, due_at);

-- +goose StatementBegin
DO $$
BEGIN
    FOR i IN 0..3 LOOP
        EXECUTE format('CREATE TABLE %I PARTITION OF readings FOR VALUES WITH (MODULUS 4, REMAINDER %s)', 'readings_p' || i, i);
    END LOOP;
END
$$;
-- +goose StatementEnd

-- What is here already is read for the first time in the course of a day.
INSERT INTO readings (connection_id, grant_id, app, due_at)
    SELECT connection_id, id, app, now() + random() * interval '1 day'
    FROM grants WHERE state IN ('connected', 'degraded');
