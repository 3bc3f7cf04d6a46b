-- +goose Up

-- The newest links of a state. An open link that has expired is told by the entry.
CREATE INDEX links_state ON links (state, id, expires_at);
