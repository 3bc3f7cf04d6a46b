-- +goose Up

-- Times are microseconds since 1970 in UTC, 0 for none, unless said otherwise.
-- Lists and maps are JSON; NULL is a nil one, which is not an empty one.
-- n is a row's number inside this file and never leaves it.

CREATE TABLE connections (
    n                  INTEGER PRIMARY KEY,
    id                 TEXT    NOT NULL UNIQUE,
    app                TEXT    NOT NULL,
    key                TEXT    NOT NULL,
    name               TEXT    NOT NULL,
    tags               TEXT,
    required_locations TEXT,
    flags              TEXT,
    state              TEXT    NOT NULL,
    reason             TEXT    NOT NULL,
    since              INTEGER NOT NULL,
    next_try_at        INTEGER NOT NULL,
    created_at         INTEGER NOT NULL,
    updated_at         INTEGER NOT NULL,
    UNIQUE (app, key)
) STRICT;

CREATE INDEX connections_status ON connections (app, state, reason);

-- One narrow row per grant: the schedule, and the open attempt. It is rewritten
-- twice per refresh, so what is wide lives elsewhere. The attempt being columns
-- of the grant is what makes it the only one.
CREATE TABLE grants (
    n                 INTEGER PRIMARY KEY,
    id                TEXT    NOT NULL UNIQUE,
    connection_n      INTEGER NOT NULL REFERENCES connections ON DELETE CASCADE,
    app               TEXT    NOT NULL,
    epoch             INTEGER NOT NULL,
    seq               INTEGER NOT NULL,
    issued_at         INTEGER NOT NULL,
    expires_at        INTEGER NOT NULL,
    deadline_at       INTEGER NOT NULL,
    due_at            INTEGER,          -- NULL: never
    state             TEXT    NOT NULL,
    reason            TEXT    NOT NULL,
    since             INTEGER NOT NULL,
    next_try_at       INTEGER NOT NULL,
    failures          INTEGER NOT NULL,
    refusals          INTEGER NOT NULL,
    refused_at        INTEGER NOT NULL,
    credential_n      INTEGER,          -- the current version
    previous_n        INTEGER,          -- the one before it
    attempt           TEXT,             -- NULL: none is open
    attempt_owner     TEXT,
    attempt_kind      TEXT,
    attempt_opened_at INTEGER,
    attempt_unknown   INTEGER
) STRICT;

CREATE INDEX grants_connection ON grants (connection_n);
CREATE INDEX grants_due ON grants (app, due_at)
    WHERE due_at IS NOT NULL AND state IN ('connected', 'degraded');

-- What the user approved; it changes at consent.
CREATE TABLE consents (
    grant_n    INTEGER PRIMARY KEY REFERENCES grants ON DELETE CASCADE,
    identity   TEXT    NOT NULL,
    scope      TEXT    NOT NULL,
    consent_at INTEGER NOT NULL
) STRICT;

-- The sealed credentials of a grant's current version and of the one before it,
-- which the next version is written over. The grant points at both. There is no
-- foreign key, because it would need an index on grant_n.
CREATE TABLE credentials (
    n       INTEGER PRIMARY KEY,
    grant_n INTEGER NOT NULL,
    epoch   INTEGER NOT NULL,
    seq     INTEGER NOT NULL,
    attempt TEXT    NOT NULL,           -- the attempt that brought it, '' for a consent
    sealed  BLOB    NOT NULL
) STRICT;

CREATE TABLE orphans (
    n         INTEGER PRIMARY KEY,
    attempt   TEXT    NOT NULL UNIQUE,
    grant_n   INTEGER NOT NULL REFERENCES grants ON DELETE CASCADE,
    epoch     INTEGER NOT NULL,
    seq       INTEGER NOT NULL,
    sealed    BLOB    NOT NULL,
    parked_at INTEGER NOT NULL
) STRICT;

CREATE INDEX orphans_grant ON orphans (grant_n);

CREATE TABLE locations (
    grant_n       INTEGER NOT NULL REFERENCES grants ON DELETE CASCADE,
    id            TEXT    NOT NULL,
    name          TEXT    NOT NULL,
    business_id   TEXT    NOT NULL,
    business_name TEXT    NOT NULL,
    seen_at       INTEGER NOT NULL,
    PRIMARY KEY (grant_n, id)
) STRICT, WITHOUT ROWID;

CREATE TABLE links (
    n               INTEGER PRIMARY KEY,
    id              TEXT    NOT NULL UNIQUE,
    connection_n    INTEGER NOT NULL REFERENCES connections ON DELETE CASCADE,
    app             TEXT    NOT NULL,
    purpose         TEXT    NOT NULL,
    token_hash      BLOB    NOT NULL UNIQUE,
    short_code      TEXT    NOT NULL,
    business_name   TEXT    NOT NULL,
    return_url      TEXT    NOT NULL,
    locale          TEXT    NOT NULL,
    expect_business TEXT    NOT NULL,
    landing         INTEGER NOT NULL,
    locations       TEXT,
    state           TEXT    NOT NULL,
    problem         TEXT    NOT NULL,
    created_at      INTEGER NOT NULL,
    expires_at      INTEGER NOT NULL,
    completed_at    INTEGER NOT NULL
) STRICT;

CREATE INDEX links_connection ON links (connection_n);

CREATE TABLE authorizations (
    n            INTEGER PRIMARY KEY,
    id           TEXT    NOT NULL UNIQUE,
    link_n       INTEGER NOT NULL REFERENCES links ON DELETE CASCADE,
    state_hash   BLOB    NOT NULL UNIQUE,
    browser_hash BLOB    NOT NULL,
    sealed       BLOB,
    issuer       TEXT    NOT NULL,
    redirect_uri TEXT    NOT NULL,
    created_at   INTEGER NOT NULL,
    expires_at   INTEGER NOT NULL,
    used_at      INTEGER NOT NULL,
    finished     INTEGER NOT NULL,
    problem      TEXT    NOT NULL
) STRICT;

CREATE INDEX authorizations_link ON authorizations (link_n);

-- n is the event's id: see eventid.go. Events outlive what they tell of, so
-- they hold text ids.
CREATE TABLE events (
    n          INTEGER PRIMARY KEY,
    type       TEXT    NOT NULL,
    time       INTEGER NOT NULL,
    connection TEXT    NOT NULL,
    grant_id   TEXT    NOT NULL,
    app        TEXT    NOT NULL,
    ref        TEXT    NOT NULL,
    reason     TEXT    NOT NULL,
    data       TEXT
) STRICT;

CREATE INDEX events_connection ON events (connection) WHERE connection <> '';

CREATE TABLE api_keys (
    n            INTEGER PRIMARY KEY,
    id           TEXT    NOT NULL UNIQUE,
    name         TEXT    NOT NULL,
    hash         BLOB    NOT NULL UNIQUE,
    scopes       TEXT,
    apps         TEXT,
    businesses   TEXT,
    created_at   INTEGER NOT NULL,
    expires_at   INTEGER NOT NULL,
    revoked_at   INTEGER NOT NULL,
    last_used_at INTEGER NOT NULL
) STRICT;

CREATE TABLE data_key (
    n         INTEGER PRIMARY KEY CHECK (n = 1),
    master_id TEXT    NOT NULL,
    wrapped   BLOB    NOT NULL
) STRICT;

-- What Check writes.
CREATE TABLE heartbeat (
    n  INTEGER PRIMARY KEY CHECK (n = 1),
    at INTEGER NOT NULL
) STRICT;
