-- +goose Up

-- cursor is the number of an event: see package eventid.
CREATE TABLE webhooks (
    id               text COLLATE "C" NOT NULL PRIMARY KEY,
    name             text COLLATE "C" NOT NULL UNIQUE,
    url              text COLLATE "C" NOT NULL,
    types            json,
    apps             json,
    businesses       json,
    sealed           bytea,
    from_file        boolean          NOT NULL,
    created_at       timestamptz,
    updated_at       timestamptz,
    sent             bigint           NOT NULL,
    cursor           bigint           NOT NULL,
    failures         integer          NOT NULL,
    failing_since    timestamptz,
    next_at          timestamptz,
    disabled_at      timestamptz,
    disabled_because text COLLATE "C" NOT NULL,
    lease_owner      text COLLATE "C" NOT NULL DEFAULT '',
    lease_until      timestamptz
) WITH (fillfactor = 50);

-- A ring: a delivery's slot is its number modulo as many as are kept, so the next
-- one is written over the oldest. took is in microseconds.
CREATE TABLE webhook_deliveries (
    webhook_id text COLLATE "C" NOT NULL REFERENCES webhooks ON DELETE CASCADE,
    slot       bigint           NOT NULL,
    number     bigint           NOT NULL,
    event      text COLLATE "C" NOT NULL,
    type       text COLLATE "C" NOT NULL,
    attempt    integer          NOT NULL,
    at         timestamptz,
    took       bigint           NOT NULL,
    status     integer          NOT NULL,
    error      text COLLATE "C" NOT NULL,
    next_at    timestamptz,
    PRIMARY KEY (webhook_id, slot)
) WITH (fillfactor = 50);
