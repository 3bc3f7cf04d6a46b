package cli

import (
	"context"
	"fmt"

	"github.com/evergrant/evergrant/internal/config"
	"github.com/evergrant/evergrant/internal/store/postgres"
	"github.com/evergrant/evergrant/internal/store/sqlite"
	"github.com/evergrant/evergrant/internal/store/whole"
)

type dbCmd struct {
	Status  dbStatusCmd  `cmd:"" help:"Say which database it is, its schema, its size and what is in it; change nothing."`
	Migrate dbMigrateCmd `cmd:"" help:"Bring the database's schema up to date, as every server does when it starts."`
	Check   dbCheckCmd   `cmd:"" help:"Read the whole database and report what cannot be; change nothing."`
	Backup  dbBackupCmd  `cmd:"" help:"Write a consistent copy of a SQLite database, also while a server uses it."`
	Restore dbRestoreCmd `cmd:"" help:"Check a backup and put it where the database belongs; overwrites nothing."`
	Copy    dbCopyCmd    `cmd:"" help:"Move everything from a SQLite file into a PostgreSQL database."`
}

// database is a store that can be looked at without a server.
type database interface {
	whole.Reader
	Status(context.Context) (whole.Status, error)
	Close() error
}

// openDatabase opens the database of a configuration to be read. It is for this
// that the commands need no running server.
func openDatabase(ctx context.Context, c config.Storage) (database, error) {
	if c.Shared() {
		return postgres.OpenReader(ctx, postgresOptions(c))
	}
	return sqlite.OpenReader(ctx, c.SQLite)
}

func postgresOptions(c config.Storage) postgres.Options {
	return postgres.Options{URL: c.Postgres.Value(), AllowLoss: c.AllowAsyncCommit}
}

// storageOf reads the configuration a database command is about. Only a database
// server needs secrets to be reached.
func (s *session) storageOf() (config.Storage, error) {
	file := s.configFile("")
	c, err := config.LoadWithoutSecrets(file)
	if err == nil && c.Storage.Shared() {
		c, err = config.Load(file, nil)
	}
	if err != nil {
		return config.Storage{}, err
	}
	return c.Storage, nil
}

type dbMigrateCmd struct{}

// Run migrates the database.
func (c *dbMigrateCmd) Run(s *session) error {
	storage, err := s.storageOf()
	if err != nil {
		return err
	}
	var from, to int64
	if storage.Shared() {
		from, to, err = postgres.Migrate(s.ctx, postgresOptions(storage))
	} else {
		from, to, err = sqlite.Migrate(s.ctx, storage.SQLite)
	}
	if err != nil {
		return err
	}
	if s.root.JSON {
		return s.printValue(map[string]int64{"from": from, "to": to})
	}
	line := fmt.Sprintf("The schema was at version %d and is at version %d now.", from, to)
	if from == to {
		line = fmt.Sprintf("The schema is at version %d already.", to)
	}
	_, err = fmt.Fprintln(s.stdout, line)
	return err
}
