package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/evergrant/evergrant/internal/store"
	"github.com/evergrant/evergrant/internal/store/whole"
)

// A file that was moved into another database, or from which that was begun, has
// a table for it, of one row. It is no migration: no other file ever has it, and
// without it a file is served again.
const moveTable = `CREATE TABLE IF NOT EXISTS move (
	n        INTEGER PRIMARY KEY CHECK (n = 1),
	id       TEXT    NOT NULL,
	target   TEXT    NOT NULL,
	begun_at INTEGER NOT NULL,
	ended_at INTEGER NOT NULL -- 0 until everything is there
) STRICT`

// Source is a store that is being moved away from. Nobody else has it open.
type Source struct {
	*Reader
	s *Store
}

// OpenSource opens a store to move it away, migrating it as needed, also if it
// was moved away already.
func OpenSource(ctx context.Context, path string) (*Source, error) {
	r, err := OpenReader(ctx, path) // which makes no file
	if err != nil {
		return nil, err
	}
	if err := r.Close(); err != nil {
		return nil, err
	}
	s, err := Open(ctx, Options{Path: path, Moved: true})
	if err != nil {
		return nil, err
	}
	return &Source{&Reader{db: s.rdb, path: path}, s}, nil
}

// Close closes the store.
func (m *Source) Close() error { return m.s.Close() }

// LastRun returns the store's last run.
func (m *Source) LastRun(ctx context.Context) (store.Run, error) { return m.s.LastRun(ctx) }

// State returns a text that is another one once a server has used the store.
func (m *Source) State(ctx context.Context) (state string, err error) {
	err = m.s.get(ctx, `SELECT coalesce((SELECT id || ' ' || ended FROM last_run), '') || ' ' || (SELECT coalesce(max(n), 0) FROM events)
		|| ' ' || coalesce((SELECT at FROM heartbeat), 0)`, nil, &state)
	return state, err
}

// Move returns the move that was begun last, and false if there is none.
func (m *Source) Move(ctx context.Context) (whole.Move, bool, error) { return readMove(ctx, m.s.rdb) }

// BeginMove records that a move begins, in place of one before.
func (m *Source) BeginMove(ctx context.Context, id, target string) error {
	return m.s.w.do(ctx, func(t *tx) error {
		if _, err := t.exec(moveTable); err != nil {
			return err
		}
		_, err := t.exec(`INSERT OR REPLACE INTO move (n, id, target, begun_at, ended_at) VALUES (1, ?, ?, ?, 0)`, id, target, micros(t.now))
		return err
	})
}

// EndMove records that everything is in the other database: from now on Open
// refuses this one. Should somebody take that back, the refresh tokens in it may
// be spent, as after a restored backup; so its last run becomes one that no spool
// knows.
func (m *Source) EndMove(ctx context.Context) error {
	return m.s.w.do(ctx, func(t *tx) error {
		if _, err := t.exec(`UPDATE move SET ended_at = ?`, micros(t.now)); err != nil {
			return err
		}
		_, err := t.exec(`INSERT INTO last_run (n, id, ended) SELECT 1, id, 0 FROM move WHERE true
			ON CONFLICT (n) DO UPDATE SET id = excluded.id, ended = 0`)
		return err
	})
}

// queryer is a pool or a connection.
type queryer interface {
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

// readMove reads what a file says of its move.
func readMove(ctx context.Context, db queryer) (m whole.Move, there bool, err error) {
	if err := db.QueryRowContext(ctx, `SELECT EXISTS (SELECT 1 FROM sqlite_schema WHERE name = 'move')`).Scan(&there); err != nil || !there {
		return m, false, err
	}
	m.From = true
	err = db.QueryRowContext(ctx, `SELECT id, target, begun_at, ended_at FROM move`).
		Scan(&m.ID, &m.Other, timeColumn{&m.BegunAt}, timeColumn{&m.EndedAt})
	if errors.Is(err, sql.ErrNoRows) {
		return m, false, nil
	}
	return m, err == nil, err
}

// refuseMoved refuses a file whose grants another database keeps now: two that
// renew the same grants would spend each other's refresh tokens.
func refuseMoved(ctx context.Context, db queryer, path string) error {
	m, there, err := readMove(ctx, db)
	if err != nil || !there || !m.Ended() {
		return err
	}
	return fmt.Errorf("it was moved to %s on %s, which holds its grants now; name that one in storage.postgres. To go back, stop every server "+
		"that uses the other, and run: sqlite3 %s 'DROP TABLE move'", m.Other, m.EndedAt.Format(time.RFC3339), path)
}
