-- +goose Up

-- What people look at who watch over the fleet. A refresh that goes well changes
-- nothing that is in these.
CREATE INDEX connections_latest ON connections (state, coalesce(since, '-infinity'), id);
CREATE INDEX connections_latest_of_app ON connections (app, state, coalesce(since, '-infinity'), id);
CREATE INDEX connections_flagged ON connections (coalesce(since, '-infinity'), id) WHERE json_array_length(flags) > 0;
CREATE INDEX connections_flagged_of_app ON connections (app, coalesce(since, '-infinity'), id) WHERE json_array_length(flags) > 0;

-- These compare byte by byte, as their columns do, so a beginning is a range; lower
-- and upper change ASCII only. An entry has no place for a name of any length.
CREATE INDEX connections_key ON connections (lower(key), id);
CREATE INDEX connections_name ON connections (left(lower(name), 200), id);
CREATE INDEX links_code ON links (upper(replace(short_code, '-', '')));

CREATE INDEX links_created ON links (created_at);

-- Ids sort by time, so a connection's newest link is the last one.
DROP INDEX links_connection;
CREATE INDEX links_connection ON links (connection_id, id);

-- What happened to a connection, without the refreshes, of which there are hundreds.
CREATE INDEX events_changes ON events (connection, n) WHERE connection <> '' AND type <> 'grant.refreshed';
