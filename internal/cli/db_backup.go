package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"time"

	"github.com/evergrant/evergrant/internal/config"
	"github.com/evergrant/evergrant/internal/seal"
	"github.com/evergrant/evergrant/internal/store/sqlite"
	"github.com/evergrant/evergrant/internal/store/whole"
)

type dbBackupCmd struct {
	File string `arg:"" help:"File to write; it must not exist."`
}

// Run writes a copy of the database, beside a running server or without one.
func (c *dbBackupCmd) Run(s *session) error {
	storage, err := s.storageOf()
	if err != nil {
		return err
	}
	if storage.Shared() {
		return usage("a PostgreSQL database is backed up by its own tools: pg_dump --format=custom --file=%s DATABASE; or by its server's point-in-time recovery", shellQuote(c.File))
	}
	r, err := sqlite.OpenReader(s.ctx, storage.SQLite)
	if err != nil {
		return err
	}
	defer r.Close()
	if err := r.Backup(s.ctx, c.File); err != nil {
		return err
	}
	st, err := readBackup(s.ctx, c.File, nil)
	if err != nil {
		return errors.Join(err, os.Remove(c.File))
	}
	return s.printBackup(st, "Wrote %s: %s. It is sealed: keep the master key too, and elsewhere.", c.File)
}

type dbRestoreCmd struct {
	File string `arg:"" help:"Backup to restore."`
}

// Run puts a backup where the configuration wants the database. It overwrites
// nothing.
func (c *dbRestoreCmd) Run(s *session) error {
	conf, err := config.Load(s.configFile(""), nil)
	if err != nil {
		return err
	}
	to := conf.Storage.SQLite
	if conf.Storage.Shared() {
		return usage("a PostgreSQL database is restored by its own tools: pg_restore --clean --if-exists --dbname=DATABASE %s", shellQuote(c.File))
	}
	if conn, err := net.DialTimeout("unix", conf.Socket(), time.Second); err == nil {
		_ = conn.Close()
		return errors.New("a server runs with this configuration; stop it first")
	}
	for _, f := range []string{to, to + "-wal", to + "-shm"} {
		if _, err := os.Lstat(f); !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("%s is there; move it away first, with %s-wal and %s-shm: nothing is overwritten", f, to, to)
		}
	}
	if _, err := readBackup(s.ctx, c.File, conf.Masters()); err != nil {
		return err
	}
	from, err := sqlite.OpenReader(s.ctx, c.File)
	if err != nil {
		return err
	}
	defer from.Close()
	if err := from.Backup(s.ctx, to); err != nil {
		return err
	}
	st, err := readBackup(s.ctx, to, conf.Masters())
	if err != nil {
		return errors.Join(err, os.Remove(to))
	}
	return s.printBackup(st, "Restored %s: %s. Refresh tokens used since the backup are spent: the server sees it when it starts, see docs/operations.md.", to)
}

// readBackup checks a file as a whole, and that the master keys open it if there
// are any.
func readBackup(ctx context.Context, file string, masters []seal.Master) (whole.Status, error) {
	r, err := sqlite.OpenReader(ctx, file)
	if err != nil {
		return whole.Status{}, err
	}
	defer r.Close()
	if err := r.Intact(ctx); err != nil {
		return whole.Status{}, err
	}
	st, err := r.Status(ctx)
	if err != nil {
		return st, err
	}
	if st.Schema > st.Known {
		return st, fmt.Errorf("%s is of a newer evergrant: its schema is %d, and this version knows %d", file, st.Schema, st.Known)
	}
	if st.Counts == nil || len(masters) == 0 {
		return st, nil // of an older schema: its server migrates it
	}
	rest, err := r.Rest(ctx)
	if err == nil && rest.DataKey.Wrapped != nil {
		_, err = seal.Open(ctx, rest.DataKey, masters)
	}
	return st, err
}

// printBackup tells what a copy holds.
func (s *session) printBackup(st whole.Status, format, file string) error {
	if s.root.JSON {
		return s.printValue(st)
	}
	what := size(st.Bytes)
	if st.Counts != nil {
		what += fmt.Sprintf(", %d connections, %d grants", st.Counts.Connections, st.Counts.Grants)
	}
	s.say(format, file, what)
	return nil
}
