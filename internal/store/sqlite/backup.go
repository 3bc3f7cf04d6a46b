package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"

	driverlib "modernc.org/sqlite"
)

// Backup writes a copy of one moment of the file to path, which must not exist,
// while others may use the file. It is whole and on the disk when Backup returns.
func (r *Reader) Backup(ctx context.Context, path string) (err error) {
	if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%s exists already; choose another name", path)
	}
	part := path + ".part"
	// What is copied is sealed, and still nobody else's business.
	f, err := os.OpenFile(part, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return fmt.Errorf("write a backup: %w", err)
	}
	defer func() {
		if err = errors.Join(err, f.Close()); err != nil {
			err = errors.Join(err, os.Remove(part))
		}
	}()
	if err := r.copyTo(ctx, part); err != nil {
		return fmt.Errorf("write a backup of %s: %w", r.path, err)
	}
	if err := f.Sync(); err != nil {
		return fmt.Errorf("write a backup: %w", err)
	}
	if err := os.Rename(part, path); err != nil {
		return fmt.Errorf("write a backup: %w", err)
	}
	return nil
}

// copyTo needs a connection of its own, because one that may only query may not
// write another file either. The file itself is opened to be read.
func (r *Reader) copyTo(ctx context.Context, part string) (err error) {
	dsn := url.URL{Scheme: "file", OmitHost: true, Path: r.path, RawQuery: url.Values{"mode": {"ro"}, "_pragma": {"busy_timeout(5000)"}}.Encode()}
	c, err := driverlib.NewConnector(dsn.String())
	if err != nil {
		return err
	}
	db := sql.OpenDB(c)
	defer func() { err = errors.Join(err, db.Close()) }()
	_, err = db.ExecContext(ctx, `VACUUM INTO ?`, part)
	return err
}

// Intact reads the whole file and returns what SQLite finds wrong with it.
func (r *Reader) Intact(ctx context.Context) error {
	var first string
	if err := r.db.QueryRowContext(ctx, `PRAGMA integrity_check(1)`).Scan(&first); err != nil {
		return fmt.Errorf("check %s: %w", r.path, err)
	}
	if first != "ok" {
		return fmt.Errorf("check %s: it is damaged: %s", r.path, first)
	}
	return nil
}
