// Package sqlite keeps everything in one SQLite file, for one process.
//
// One goroutine is the only writer; changes that arrive together share a
// transaction and its fsync. Reads go through a pool of their own and see
// everything that was committed before they began. The file is in WAL mode with
// synchronous=FULL, so what was committed survives the loss of power.
//
// A refresh writes a narrow row twice (claim, commit), appends an event and
// writes the sealed credentials over those before the last; the current ones are
// never overwritten. Nothing has to be cleaned up behind it. What it costs is
// pages: each of these writes is to a page of its own, once into the WAL and
// once, together with later ones, into the database. A grant is read once, when it
// is claimed, and remembered until it is committed. The writer reads it itself: a
// reader's page cache is emptied by every transaction, the writer's is not. A lock
// on a file beside the database keeps a second process out.
package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	driverlib "modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"github.com/evergrant/evergrant/internal/grant"
	"github.com/evergrant/evergrant/internal/store"
)

// Options say where the database is and how to use it.
type Options struct {
	// Path of the database file; its folder must exist. "-wal", "-shm" and
	// ".lock" files appear beside it.
	Path string
	// Now is the store's clock; nil means [time.Now].
	Now func() time.Time
	// Published, if not nil, is called with the events of every transaction after
	// it is durable and before the methods that made it return: in the order of
	// the log, never twice at once. It must not block and must not use the store.
	Published func([]grant.Event)
	// ReadConns is how many reads run at once; 0 means 4.
	ReadConns int
	// Moved opens the file even if its grants were moved into another database.
	Moved bool
}

const defaultReadConns = 4

// Store is a [store.Store] in a file.
type Store struct {
	lock  *fileLock
	wdb   *sql.DB // one connection, the writer's
	rdb   *sql.DB
	w     *writer
	now   func() time.Time
	reads struct {
		sync.RWMutex
		stmts map[string]*sql.Stmt
	}
	closeOnce sync.Once
	closeErr  error
}

var _ store.Store = (*Store)(nil)

// Open opens the database, creating or migrating it as needed. It reads nothing
// that grows with the number of connections. The error is one line for the
// operator: what is wrong, with which file, and what to do.
func Open(ctx context.Context, o Options) (*Store, error) {
	if o.Path == "" {
		return nil, errors.New("cannot open database: no path given; set storage.sqlite")
	}
	path, err := filepath.Abs(o.Path)
	if err != nil {
		return nil, openError(o.Path, err)
	}
	lock, err := lockFile(path + ".lock")
	if err != nil {
		return nil, openError(path, err)
	}
	s, err := open(ctx, path, o)
	if err != nil {
		return nil, errors.Join(openError(path, err), lock.release())
	}
	s.lock = lock
	go s.w.loop()
	return s, nil
}

func open(ctx context.Context, path string, o Options) (_ *Store, err error) {
	// SQLite gives its other files the mode of this one.
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	if err := f.Close(); err != nil {
		return nil, err
	}
	s := &Store{now: o.Now}
	if s.now == nil {
		s.now = time.Now
	}
	s.reads.stmts = make(map[string]*sql.Stmt)
	defer func() {
		if err != nil {
			s.closePools()
		}
	}()
	if s.wdb, err = pool(path, writerPragmas, 1); err != nil {
		return nil, err
	}
	if err := migrate(ctx, s.wdb); err != nil {
		return nil, err
	}
	if !o.Moved {
		if err := refuseMoved(ctx, s.wdb, path); err != nil {
			return nil, err
		}
	}
	conn, err := s.wdb.Conn(ctx)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			_ = conn.Close()
		}
	}()
	if err := checkDurable(ctx, conn); err != nil {
		return nil, err
	}
	readConns := o.ReadConns
	if readConns <= 0 {
		readConns = defaultReadConns
	}
	if s.rdb, err = pool(path, readerPragmas, readConns); err != nil {
		return nil, err
	}
	if s.w, err = newWriter(ctx, conn, s.now, o.Published); err != nil {
		return nil, err
	}
	return s, nil
}

// Pragmas every connection is opened with. Checkpoints are what limits the
// writer: a page that is changed many times between two of them is written to
// the database once, so they are rare.
var (
	writerPragmas = []string{
		"busy_timeout(1000)", // nobody else writes, except an operator's tool
		"journal_mode(WAL)",
		"synchronous(FULL)",
		"foreign_keys(ON)",
		"wal_autocheckpoint(16000)", // 64 MiB
		"cache_size(-16384)",        // 16 MiB; more is slower, because SQLite walks it at commits
		"temp_store(MEMORY)",
	}
	readerPragmas = []string{
		"busy_timeout(1000)",
		"query_only(ON)",
		"cache_size(-8192)",
		"temp_store(MEMORY)",
	}
)

// pool opens at most n connections to the file.
func pool(path string, pragmas []string, n int) (*sql.DB, error) {
	dsn := url.URL{Scheme: "file", OmitHost: true, Path: path, RawQuery: url.Values{"_pragma": pragmas}.Encode()}
	c, err := driverlib.NewConnector(dsn.String())
	if err != nil {
		return nil, err
	}
	db := sql.OpenDB(c)
	db.SetMaxOpenConns(n)
	db.SetMaxIdleConns(n)
	return db, nil
}

// checkDurable refuses a file whose writes could be lost.
func checkDurable(ctx context.Context, conn *sql.Conn) error {
	var mode string
	if err := conn.QueryRowContext(ctx, `PRAGMA journal_mode`).Scan(&mode); err != nil {
		return err
	}
	var sync int
	if err := conn.QueryRowContext(ctx, `PRAGMA synchronous`).Scan(&sync); err != nil {
		return err
	}
	const full = 2
	if mode != "wal" || sync != full {
		return fmt.Errorf("it cannot be written safely: journal_mode is %s and synchronous %d instead of wal and %d; "+
			"put it on a local disk", mode, sync, full)
	}
	return nil
}

// openError says what to do about a database that cannot be opened.
func openError(path string, err error) error {
	var locked *lockedError
	if errors.As(err, &locked) {
		holder := "another process"
		if locked.pid != 0 {
			holder = fmt.Sprintf("another process (pid %d)", locked.pid)
		}
		return fmt.Errorf("%s has %s open; stop it, or give this one its own storage.sqlite", holder, path)
	}
	next := "check the disk and the file"
	var e *driverlib.Error
	code := 0
	if errors.As(err, &e) {
		code = e.Code() & 0xff
	}
	switch {
	case errors.Is(err, fs.ErrNotExist):
		next = fmt.Sprintf("create the directory %s", filepath.Dir(path))
	case errors.Is(err, fs.ErrPermission), errors.Is(err, syscall.EROFS), errors.Is(err, syscall.EISDIR), errors.Is(err, syscall.ENOTDIR),
		code == sqlite3.SQLITE_READONLY, code == sqlite3.SQLITE_CANTOPEN, code == sqlite3.SQLITE_PERM:
		next = "check that the directory exists and is writable"
	case errors.Is(err, syscall.ENOSPC), code == sqlite3.SQLITE_FULL:
		next = "free some space on the disk"
	case code == sqlite3.SQLITE_NOTADB, code == sqlite3.SQLITE_CORRUPT:
		next = "restore it from a backup, or name another file in storage.sqlite"
	case code == sqlite3.SQLITE_BUSY, code == sqlite3.SQLITE_LOCKED:
		next = "end the program that is using it"
	case e == nil:
		return fmt.Errorf("cannot open database %s: %w", path, err)
	}
	return fmt.Errorf("cannot open database %s: %w; %s", path, err, next)
}

// Check proves that the store can be written now.
func (s *Store) Check(ctx context.Context) error {
	return s.w.do(ctx, func(t *tx) error {
		_, err := t.exec(`INSERT INTO heartbeat (n, at) VALUES (1, ?) ON CONFLICT (n) DO UPDATE SET at = excluded.at`,
			micros(t.now))
		return err
	})
}

// Close finishes the changes that have begun, writes the WAL back into the
// database and lets go of the lock. Closing again returns the same.
func (s *Store) Close() error {
	s.closeOnce.Do(func() {
		// Readers go first, so that the writer's connection is the last: closing
		// it writes back and removes the WAL.
		err := s.w.stop()
		s.closeErr = errors.Join(err, s.closePools(), s.lock.release())
	})
	return s.closeErr
}

func (s *Store) closePools() error {
	var errs []error
	for _, db := range []*sql.DB{s.rdb, s.wdb} {
		if db != nil {
			errs = append(errs, db.Close())
		}
	}
	return errors.Join(errs...)
}
