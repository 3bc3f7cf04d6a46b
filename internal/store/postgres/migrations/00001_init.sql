-- +goose Up

-- A time that is not known, or never, is NULL. Lists and maps are JSON; NULL is
-- a nil one, which is not an empty one. Text is compared byte by byte, so that
-- ids sort as they do everywhere else.
--
-- What belongs to a connection lives in tables that are partitioned by its id,
-- and no key of theirs is without it. What must be unique over all connections
-- is kept beside them: addresses and grant_ids. There are no foreign keys between
-- them, because partitions may live elsewhere; the program removes what belongs
-- to a connection with it.

CREATE TABLE addresses (
    app           text COLLATE "C" NOT NULL,
    key           text COLLATE "C" NOT NULL,
    connection_id text COLLATE "C" NOT NULL,
    PRIMARY KEY (app, key)
);

CREATE TABLE connections (
    id                 text COLLATE "C" NOT NULL PRIMARY KEY,
    app                text COLLATE "C" NOT NULL,
    key                text COLLATE "C" NOT NULL,
    name               text COLLATE "C" NOT NULL,
    tags               jsonb,
    required_locations json,
    flags              json,
    state              text COLLATE "C" NOT NULL,
    reason             text COLLATE "C" NOT NULL,
    since              timestamptz,
    next_try_at        timestamptz,
    created_at         timestamptz,
    updated_at         timestamptz
) PARTITION BY HASH (id);

CREATE INDEX connections_status ON connections (app, state, reason);

CREATE TABLE grant_ids (
    id            text COLLATE "C" NOT NULL PRIMARY KEY,
    connection_id text COLLATE "C" NOT NULL
);

-- One row per grant: the schedule, and the open attempt. It is rewritten twice
-- per refresh, so the credentials live elsewhere. The attempt being columns of
-- the grant is what makes it the only one. app and key are its connection's.
CREATE TABLE grants (
    connection_id     text COLLATE "C" NOT NULL,
    id                text COLLATE "C" NOT NULL,
    app               text COLLATE "C" NOT NULL,
    key               text COLLATE "C" NOT NULL,
    identity          json             NOT NULL,
    scope             text COLLATE "C" NOT NULL,
    consent_at        timestamptz,
    epoch             bigint           NOT NULL,
    seq               bigint           NOT NULL,
    issued_at         timestamptz,
    expires_at        timestamptz,
    deadline_at       timestamptz,
    due_at            timestamptz,                -- NULL: never
    state             text COLLATE "C" NOT NULL,
    reason            text COLLATE "C" NOT NULL,
    since             timestamptz,
    next_try_at       timestamptz,
    failures          integer          NOT NULL,
    refusals          integer          NOT NULL,
    refused_at        timestamptz,
    attempt           text COLLATE "C",           -- NULL: none is open
    attempt_owner     text COLLATE "C",
    attempt_kind      text COLLATE "C",
    attempt_opened_at timestamptz,
    attempt_unknown   boolean          NOT NULL DEFAULT false,
    PRIMARY KEY (connection_id, id)
) PARTITION BY HASH (connection_id);

CREATE INDEX grants_due ON grants (app, due_at)
    WHERE due_at IS NOT NULL AND state IN ('connected', 'degraded');

-- The sealed credentials of a grant's current version and of the one before it.
-- A version's slot is its seq modulo two, so the next one is written over the
-- last but one and the current one is never overwritten.
CREATE TABLE credentials (
    connection_id text COLLATE "C" NOT NULL,
    grant_id      text COLLATE "C" NOT NULL,
    slot          bigint           NOT NULL,
    epoch         bigint           NOT NULL,
    seq           bigint           NOT NULL,
    attempt       text COLLATE "C" NOT NULL,      -- the attempt that brought it, '' for a consent
    sealed        bytea            NOT NULL,
    PRIMARY KEY (connection_id, grant_id, slot)
) PARTITION BY HASH (connection_id);

-- Sealed bytes do not compress.
ALTER TABLE credentials ALTER COLUMN sealed SET STORAGE EXTERNAL;

CREATE TABLE orphans (
    connection_id text COLLATE "C" NOT NULL,
    grant_id      text COLLATE "C" NOT NULL,
    attempt       text COLLATE "C" NOT NULL,
    epoch         bigint           NOT NULL,
    seq           bigint           NOT NULL,
    sealed        bytea            NOT NULL,
    parked_at     timestamptz,
    PRIMARY KEY (connection_id, grant_id, attempt)
) PARTITION BY HASH (connection_id);

CREATE TABLE locations (
    connection_id text COLLATE "C" NOT NULL,
    grant_id      text COLLATE "C" NOT NULL,
    id            text COLLATE "C" NOT NULL,
    name          text COLLATE "C" NOT NULL,
    business_id   text COLLATE "C" NOT NULL,
    business_name text COLLATE "C" NOT NULL,
    seen_at       timestamptz,
    PRIMARY KEY (connection_id, grant_id, id)
) PARTITION BY HASH (connection_id);

-- Four partitions each: a statement that may touch any of them locks and opens
-- them all, with their indexes, and with eight that took twice as long as with
-- four before its first row. Rows that every refresh rewrites find room beside
-- themselves, and are cleaned up after a few thousand of them instead of after a
-- fifth of the table.
-- +goose StatementBegin
DO $$
DECLARE
    parent text;
    room   text;
BEGIN
    FOREACH parent IN ARRAY ARRAY['connections', 'grants', 'credentials', 'orphans', 'locations'] LOOP
        room := CASE parent
            WHEN 'grants' THEN ' WITH (fillfactor = 60, autovacuum_vacuum_scale_factor = 0.02)'
            WHEN 'credentials' THEN ' WITH (fillfactor = 60, autovacuum_vacuum_scale_factor = 0.02)'
            ELSE '' END;
        FOR i IN 0..3 LOOP
            EXECUTE format('CREATE TABLE %I PARTITION OF %I FOR VALUES WITH (MODULUS 4, REMAINDER %s)%s',
                parent || '_p' || i, parent, i, room);
        END LOOP;
    END LOOP;
END
$$;
-- +goose StatementEnd

CREATE TABLE links (
    id              text COLLATE "C" NOT NULL PRIMARY KEY,
    connection_id   text COLLATE "C" NOT NULL,
    app             text COLLATE "C" NOT NULL,
    key             text COLLATE "C" NOT NULL,
    purpose         text COLLATE "C" NOT NULL,
    token_hash      bytea            NOT NULL UNIQUE,
    short_code      text COLLATE "C" NOT NULL,
    business_name   text COLLATE "C" NOT NULL,
    return_url      text COLLATE "C" NOT NULL,
    locale          text COLLATE "C" NOT NULL,
    expect_business text COLLATE "C" NOT NULL,
    landing         boolean          NOT NULL,
    locations       json,
    state           text COLLATE "C" NOT NULL,
    problem         text COLLATE "C" NOT NULL,
    created_at      timestamptz,
    expires_at      timestamptz,
    completed_at    timestamptz
);

CREATE INDEX links_connection ON links (connection_id);

CREATE TABLE authorizations (
    id           text COLLATE "C" NOT NULL PRIMARY KEY,
    link_id      text COLLATE "C" NOT NULL REFERENCES links ON DELETE CASCADE,
    state_hash   bytea            NOT NULL UNIQUE,
    browser_hash bytea            NOT NULL,
    sealed       bytea,
    issuer       text COLLATE "C" NOT NULL,
    redirect_uri text COLLATE "C" NOT NULL,
    created_at   timestamptz,
    expires_at   timestamptz,
    used_at      timestamptz,
    finished     boolean          NOT NULL,
    problem      text COLLATE "C" NOT NULL
);

CREATE INDEX authorizations_link ON authorizations (link_id);

-- n is the event's id: see package eventid. Events outlive what they tell of.
CREATE TABLE events (
    n          bigint           NOT NULL PRIMARY KEY,
    type       text COLLATE "C" NOT NULL,
    time       timestamptz,
    connection text COLLATE "C" NOT NULL,
    grant_id   text COLLATE "C" NOT NULL,
    app        text COLLATE "C" NOT NULL,
    ref        text COLLATE "C" NOT NULL,
    reason     text COLLATE "C" NOT NULL,
    data       json
);

CREATE INDEX events_connection ON events (connection, n) WHERE connection <> '';

-- The number of the newest event. Whoever appends to the log updates this row,
-- so appending transactions commit one after the other, in the order of their
-- numbers.
CREATE TABLE event_log (
    n    smallint NOT NULL PRIMARY KEY CHECK (n = 1),
    last bigint   NOT NULL
) WITH (fillfactor = 10);

INSERT INTO event_log VALUES (1, 0);

CREATE TABLE api_keys (
    id           text COLLATE "C" NOT NULL PRIMARY KEY,
    name         text COLLATE "C" NOT NULL,
    hash         bytea            NOT NULL UNIQUE,
    scopes       json,
    apps         json,
    businesses   json,
    created_at   timestamptz,
    expires_at   timestamptz,
    revoked_at   timestamptz,
    last_used_at timestamptz
);

CREATE TABLE data_key (
    n         smallint         NOT NULL PRIMARY KEY CHECK (n = 1),
    master_id text COLLATE "C" NOT NULL,
    wrapped   bytea            NOT NULL
);

CREATE TABLE paused_apps (
    app   text COLLATE "C" NOT NULL PRIMARY KEY,
    cause text COLLATE "C" NOT NULL,
    since timestamptz
);

-- Owners of attempts that have not said goodbye. One whose lock is free since
-- long enough is dead.
CREATE TABLE owners (
    id          text COLLATE "C" NOT NULL PRIMARY KEY,
    incarnation text COLLATE "C" NOT NULL,     -- of the database, in which it has redone what was lost
    lost_at     timestamptz                    -- when its lock was first found free
);

-- What Check writes.
CREATE TABLE heartbeat (
    n  smallint    NOT NULL PRIMARY KEY CHECK (n = 1),
    at timestamptz NOT NULL
) WITH (fillfactor = 10);
