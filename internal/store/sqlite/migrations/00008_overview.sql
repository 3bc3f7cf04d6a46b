-- +goose Up

-- What people look at who watch over the fleet. A refresh that goes well changes
-- nothing that is in these.
CREATE INDEX connections_latest ON connections (state, since, id);
CREATE INDEX connections_latest_of_app ON connections (app, state, since, id);
CREATE INDEX connections_flagged ON connections (since, id) WHERE flags <> '[]';
CREATE INDEX connections_flagged_of_app ON connections (app, since, id) WHERE flags <> '[]';

-- lower and upper change ASCII only.
CREATE INDEX connections_key ON connections (lower(key));
CREATE INDEX connections_name ON connections (lower(name));
CREATE INDEX links_code ON links (upper(replace(short_code, '-', '')));

-- All that is counted of links is in here, so that counting reads nothing else.
CREATE INDEX links_kind ON links (app, purpose, locale, state, problem, created_at, expires_at);

-- Ids sort by time, so a connection's newest link is the last one.
DROP INDEX links_connection;
CREATE INDEX links_connection ON links (connection_n, id);
