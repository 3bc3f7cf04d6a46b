-- +goose Up

CREATE TABLE paused_apps (
    app   TEXT    NOT NULL PRIMARY KEY,
    cause TEXT    NOT NULL,
    since INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- The process that used this database last.
CREATE TABLE last_run (
    n     INTEGER PRIMARY KEY CHECK (n = 1),
    id    TEXT    NOT NULL,
    ended INTEGER NOT NULL
) STRICT;
