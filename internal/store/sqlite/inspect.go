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
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
	driverlib "modernc.org/sqlite"

	"github.com/evergrant/evergrant/internal/store/whole"
)

// OpenReader opens a file to be read beside whoever has it open. It changes
// nothing in it and does not migrate it: what the schema is, [Reader.Status] tells.
func OpenReader(ctx context.Context, path string) (*Reader, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, openError(path, err)
	}
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("database %s does not exist; a server makes it when it starts: evergrant serve", path)
	} else if err != nil {
		return nil, openError(path, err)
	}
	dsn := url.URL{Scheme: "file", OmitHost: true, Path: path,
		RawQuery: url.Values{"mode": {"ro"}, "_pragma": readerPragmas}.Encode()}
	c, err := driverlib.NewConnector(dsn.String())
	if err != nil {
		return nil, openError(path, err)
	}
	r := &Reader{db: sql.OpenDB(c), path: path}
	var id int64
	err = r.db.QueryRowContext(ctx, `PRAGMA application_id`).Scan(&id)
	if err == nil && id != applicationID {
		err = errors.New("it belongs to another program; name another file in storage.sqlite")
	}
	if err != nil {
		return nil, openError(path, errors.Join(err, r.Close()))
	}
	return r, nil
}

// Close lets go of the file.
func (r *Reader) Close() error { return r.db.Close() }

// Status says what the file is.
func (r *Reader) Status(ctx context.Context) (whole.Status, error) {
	st := whole.Status{Store: "sqlite", Database: r.path}
	var err error
	if st.Known, err = knownVersion(); err != nil {
		return st, err
	}
	if st.SQLite, err = holder(r.path + ".lock"); err != nil {
		return st, err
	}
	for _, suffix := range []string{"", "-wal"} {
		if info, err := os.Stat(r.path + suffix); err == nil {
			st.Bytes += info.Size()
		}
	}
	err = r.at(ctx, func(v view) error {
		if st.Schema, err = v.schema(); err != nil || st.Schema == 0 {
			return err
		}
		m, there, err := readMove(ctx, v.tx)
		if there {
			st.Move = &m
		}
		if err != nil || st.Schema != st.Known {
			return err
		}
		st.ByState = make(map[string]int64)
		err = v.each(`SELECT state, count(*) FROM grants GROUP BY state`, nil, func(row scanner) error {
			var state string
			var n int64
			err := row.Scan(&state, &n)
			st.ByState[state] = n
			return err
		})
		if err != nil {
			return err
		}
		st.OpenAttempts = new(int64)
		return v.tx.QueryRowContext(ctx, `SELECT count(*) FROM grants WHERE attempt IS NOT NULL`).Scan(st.OpenAttempts)
	})
	if err != nil || st.Schema != st.Known {
		return st, err
	}
	counts, err := r.Counts(ctx)
	st.Counts = &counts
	return st, err
}

// schema is the version of the schema, 0 if there is none yet.
func (v view) schema() (version int64, err error) {
	var there bool
	err = v.tx.QueryRowContext(v.ctx, `SELECT EXISTS (SELECT 1 FROM sqlite_schema WHERE name = 'goose_db_version')`).Scan(&there)
	if err != nil || !there {
		return 0, err
	}
	err = v.tx.QueryRowContext(v.ctx, `SELECT max(version_id) FROM goose_db_version WHERE is_applied`).Scan(&version)
	return version, err
}

// knownVersion is the version that migrate brings a schema to.
func knownVersion() (int64, error) {
	names, err := fs.Glob(migrations, "migrations/*.sql") // sorted
	if err != nil {
		return 0, err
	}
	number, _, _ := strings.Cut(filepath.Base(names[len(names)-1]), "_")
	return strconv.ParseInt(number, 10, 64)
}

// holder says who has the lock. To find out it is taken, shared and for a moment;
// a server that starts in that moment is told that somebody has it.
func holder(path string) (*whole.SQLite, error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return &whole.SQLite{}, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	err = unix.Flock(int(f.Fd()), unix.LOCK_SH|unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) {
		return &whole.SQLite{Open: true, PID: readPID(f)}, nil
	}
	return &whole.SQLite{}, err
}

// Migrate brings the schema of a file that nobody has open up to date, making the
// file if there is none, and returns its versions before and after.
func Migrate(ctx context.Context, path string) (from, to int64, err error) {
	if r, err := OpenReader(ctx, path); err == nil {
		err = r.at(ctx, func(v view) error {
			from, err = v.schema()
			return err
		})
		if err = errors.Join(err, r.Close()); err != nil {
			return 0, 0, openError(path, err)
		}
	}
	s, err := Open(ctx, Options{Path: path, Moved: true})
	if err != nil {
		return 0, 0, err
	}
	to, err = knownVersion()
	return from, to, errors.Join(err, s.Close())
}
