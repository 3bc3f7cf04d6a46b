// Package mirror keeps a second copy of every grant's newest credentials in a
// file of its own, meant for another disk. A database that is restored from a
// backup holds refresh tokens that were spent since; the mirror holds those that
// were not.
//
// It is written a moment after the store and never holds the store up. Its
// credentials stay sealed as they are in the store.
package mirror

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"time"

	_ "modernc.org/sqlite" // the driver

	"github.com/evergrant/evergrant/internal/store"
)

const (
	// pause gathers what is written together. It is how far behind the store the
	// mirror is, besides the writing itself.
	pause = 5 * time.Millisecond
	// retry is how long a mirror that cannot be written is left alone.
	retry = 2 * time.Second
	// most bounds what waits while it cannot be written.
	most = 100_000
)

// Mirror is the file, a [store.Mirror]. It is safe for concurrent use.
type Mirror struct {
	db  *sql.DB
	log *slog.Logger
	run int64

	writing sync.Mutex // held by flush, so that what was put first is written first

	mu      sync.Mutex
	waiting map[string]store.Newest // by grant, the newest only
	err     error                   // of the last writing; nil if it succeeded
	dropped bool

	wake, closing, done chan struct{}
}

var _ store.Mirror = (*Mirror)(nil)

const schema = `
CREATE TABLE IF NOT EXISTS runs (n INTEGER PRIMARY KEY) STRICT;
-- The store's runs, which have ids of their own.
CREATE TABLE IF NOT EXISTS told_of (run TEXT PRIMARY KEY) STRICT;

-- One row per grant; n rises with every writing, so the newest come last. Times
-- are microseconds since 1970, 0 for none.
CREATE TABLE IF NOT EXISTS newest (
    n           INTEGER PRIMARY KEY,
    grant_id    TEXT    NOT NULL UNIQUE,
    run         INTEGER NOT NULL,
    epoch       INTEGER NOT NULL,
    seq         INTEGER NOT NULL,
    sealed      BLOB,
    issued_at   INTEGER NOT NULL,
    expires_at  INTEGER NOT NULL,
    deadline_at INTEGER NOT NULL,
    scope       TEXT    NOT NULL,
    ended       INTEGER NOT NULL
) STRICT;`

// Open opens the file at path, creating it as needed. Nobody else may have it
// open. The error is one line for the operator.
func Open(ctx context.Context, path string, log *slog.Logger) (*Mirror, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("mirror %s: %w", path, err)
	}
	if f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600); err != nil {
		return nil, fmt.Errorf("cannot open the mirror %s: %w; create its folder, or name another file in storage.mirror", path, err)
	} else if err := f.Close(); err != nil {
		return nil, fmt.Errorf("cannot open the mirror %s: %w", path, err)
	}
	dsn := url.URL{Scheme: "file", OmitHost: true, Path: path, RawQuery: url.Values{"_pragma": {
		"busy_timeout(1000)", "locking_mode(EXCLUSIVE)", "journal_mode(WAL)", "synchronous(FULL)",
	}}.Encode()}
	db, err := sql.Open("sqlite", dsn.String())
	if err != nil {
		return nil, fmt.Errorf("cannot open the mirror %s: %w", path, err)
	}
	db.SetMaxOpenConns(1)
	m := &Mirror{
		db: db, log: log, waiting: make(map[string]store.Newest),
		wake: make(chan struct{}, 1), closing: make(chan struct{}), done: make(chan struct{}),
	}
	_, err = db.ExecContext(ctx, schema)
	if err == nil {
		var r sql.Result
		if r, err = db.ExecContext(ctx, `INSERT INTO runs DEFAULT VALUES`); err == nil {
			m.run, err = r.LastInsertId()
		}
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("cannot use the mirror %s: %w; see that no other process has it open, or name another file in storage.mirror", path, err), db.Close())
	}
	go m.loop()
	return m, nil
}

// Close writes what waits and closes the file.
func (m *Mirror) Close() error {
	close(m.closing)
	<-m.done
	return errors.Join(m.flush(), m.db.Close())
}

// Check implements [store.Mirror].
func (m *Mirror) Check() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.err
}

// Put has an entry written soon. Of one grant the newest version counts.
func (m *Mirror) Put(e store.Newest) {
	m.mu.Lock()
	old, known := m.waiting[e.GrantID]
	switch {
	case known && e.Version.Before(old.Version):
	case !known && len(m.waiting) >= most:
		if !m.dropped {
			m.log.Error("the mirror cannot be written and too much is waiting; it misses tokens from now on", "err", m.err)
		}
		m.dropped = true
	default:
		m.waiting[e.GrantID] = e
	}
	m.mu.Unlock()
	select {
	case m.wake <- struct{}{}:
	default:
	}
}

// loop writes what waits until Close.
func (m *Mirror) loop() {
	defer close(m.done)
	timer := time.NewTimer(0)
	defer timer.Stop()
	<-timer.C
	for {
		select {
		case <-m.closing:
			return
		case <-m.wake:
		}
		wait := pause
		for failed := false; ; failed = true {
			timer.Reset(wait)
			select {
			case <-m.closing:
				return
			case <-timer.C:
			}
			err := m.flush()
			if err == nil {
				break
			}
			if !failed {
				m.log.Error("the mirror cannot be written; trying again", "err", err)
			}
			wait = retry
		}
	}
}

// flush writes everything that waits, and returns when whatever was put before
// is written or waits again.
func (m *Mirror) flush() error {
	m.writing.Lock()
	defer m.writing.Unlock()
	m.mu.Lock()
	batch := m.waiting
	m.waiting = make(map[string]store.Newest, len(batch))
	m.mu.Unlock()
	if len(batch) == 0 {
		return nil
	}
	err := m.write(batch)
	m.mu.Lock()
	defer m.mu.Unlock()
	m.err = err
	if err == nil {
		return nil
	}
	for id, e := range batch { // what came meanwhile is newer
		if newer, ok := m.waiting[id]; !ok || newer.Version.Before(e.Version) {
			m.waiting[id] = e
		}
	}
	return fmt.Errorf("write the mirror: %w", err)
}

// write replaces the rows of the batch. A row of an earlier run gives way in any
// case: a store that was redone from here counts its versions anew.
func (m *Mirror) write(batch map[string]store.Newest) error {
	tx, err := m.db.Begin()
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }()
	for _, e := range batch {
		v := e.Version
		_, err := tx.Exec(`DELETE FROM newest WHERE grant_id = ? AND (run <> ? OR (epoch, seq) <= (?, ?))`, e.GrantID, m.run, v.Epoch, v.Seq)
		if err != nil {
			return err
		}
		_, err = tx.Exec(`INSERT INTO newest (grant_id, run, epoch, seq, sealed, issued_at, expires_at, deadline_at, scope, ended)
			VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING`,
			e.GrantID, m.run, v.Epoch, v.Seq, e.Sealed, micros(e.IssuedAt), micros(e.ExpiresAt), micros(e.DeadlineAt), e.Scope, e.Ended)
		if err != nil {
			return err
		}
	}
	return tx.Commit()
}

// NewestFirst implements [store.Mirror].
func (m *Mirror) NewestFirst(ctx context.Context) iter.Seq2[store.Newest, error] {
	return func(yield func(store.Newest, error) bool) {
		for last := int64(1<<63 - 1); ; {
			page, next, err := m.page(ctx, last)
			if err != nil {
				yield(store.Newest{}, fmt.Errorf("read the mirror: %w", err))
				return
			}
			for _, e := range page {
				if !yield(e, nil) {
					return
				}
			}
			if last = next; len(page) == 0 {
				return
			}
		}
	}
}

// page reads rows before n. They are read in pages, because the one connection
// must be free for whoever handles them.
func (m *Mirror) page(ctx context.Context, before int64) (page []store.Newest, last int64, err error) {
	rows, err := m.db.QueryContext(ctx, `SELECT n, grant_id, epoch, seq, sealed, issued_at, expires_at, deadline_at, scope, ended
		FROM newest WHERE n < ? AND run < ? ORDER BY n DESC LIMIT 256`, before, m.run)
	if err != nil {
		return nil, 0, err
	}
	defer rows.Close()
	for rows.Next() {
		var e store.Newest
		var issued, expires, deadline int64
		err := rows.Scan(&last, &e.GrantID, &e.Version.Epoch, &e.Version.Seq, &e.Sealed, &issued, &expires, &deadline, &e.Scope, &e.Ended)
		if err != nil {
			return nil, 0, err
		}
		e.IssuedAt, e.ExpiresAt, e.DeadlineAt = moment(issued), moment(expires), moment(deadline)
		page = append(page, e)
	}
	return page, last, rows.Err()
}

func micros(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMicro()
}

func moment(us int64) time.Time {
	if us == 0 {
		return time.Time{}
	}
	return time.UnixMicro(us).UTC()
}
