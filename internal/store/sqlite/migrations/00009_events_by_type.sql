-- +goose Up

-- What is asked for by type is found type by type. The refreshes that go well are
-- most of the log and in neither.
CREATE INDEX events_type ON events (type) WHERE type <> 'grant.refreshed';
CREATE INDEX events_app_type ON events (app, type) WHERE type <> 'grant.refreshed';
