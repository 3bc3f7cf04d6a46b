package postgres

import (
	"context"
	"embed"
	"fmt"
	"io/fs"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
)

//go:embed migrations/*.sql
var migrations embed.FS

// schemaName is where the tables live, so that they are not taken for another
// program's in the same database.
const schemaName = "evergrant"

// migrationLock is the advisory lock of whoever changes the schema: "EvGr" and
// a one.
const migrationLock = 0x45764772_00000001

// migrate brings the schema up to date. Of several processes that start at once
// one does it and the others wait. It refuses a schema that a later version has
// migrated already.
func migrate(ctx context.Context, config *pgx.ConnConfig) error {
	config = config.Copy()
	for _, name := range []string{"statement_timeout", "idle_in_transaction_session_timeout"} {
		config.RuntimeParams[name] = "0" // it takes as long as it takes
	}
	conn, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		return err
	}
	// The lock ends with the session.
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	if _, err := conn.Exec(ctx, `SELECT pg_advisory_lock($1)`, int64(migrationLock)); err != nil {
		return fmt.Errorf("wait for another process to migrate its schema: %w", err)
	}
	if err := createSchema(ctx, conn); err != nil {
		return err
	}
	db := stdlib.OpenDB(*config)
	defer func() { _ = db.Close() }()
	files, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return err
	}
	p, err := goose.NewProvider(goose.DialectPostgres, db, files, goose.WithDisableGlobalRegistry(true))
	if err != nil {
		return err
	}
	current, target, err := p.GetVersions(ctx)
	switch {
	case err != nil:
		return fmt.Errorf("read its schema version: %w", err)
	case current > target:
		return fmt.Errorf("its schema version is %d and this program knows %d; run the version of evergrant that wrote it, or a later one",
			current, target)
	case current == target:
		return nil
	}
	if _, err := p.Up(ctx); err != nil {
		return fmt.Errorf("migrate its schema from version %d to %d: %w", current, target, err)
	}
	return nil
}

// createSchema makes the schema if there is none. An operator who grants no right
// to create one makes it beforehand.
func createSchema(ctx context.Context, conn *pgx.Conn) error {
	var there bool
	err := conn.QueryRow(ctx, `SELECT EXISTS (SELECT FROM pg_namespace WHERE nspname = $1)`, schemaName).Scan(&there)
	if err != nil || there {
		return err
	}
	if _, err := conn.Exec(ctx, `CREATE SCHEMA `+schemaName); err != nil {
		return fmt.Errorf("create its schema %s: %w", schemaName, err)
	}
	return nil
}
