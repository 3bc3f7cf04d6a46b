package sqlite

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"

	"github.com/pressly/goose/v3"
)

//go:embed migrations/*.sql
var migrations embed.FS

// applicationID marks our files, so that another program's database is not
// taken for an old one of ours: "EvGr".
const applicationID = 0x45764772

// migrate brings the schema up to date. It refuses a database that is not ours
// and one that a later version has migrated already.
func migrate(ctx context.Context, db *sql.DB) error {
	if err := claimFile(ctx, db); err != nil {
		return err
	}
	files, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return err
	}
	p, err := goose.NewProvider(goose.DialectSQLite3, db, files, goose.WithDisableGlobalRegistry(true))
	if err != nil {
		return err
	}
	// The provider is not closed: that would close db.
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

// claimFile marks an empty file as ours and checks the mark of any other.
func claimFile(ctx context.Context, db *sql.DB) error {
	var id, objects int64
	if err := db.QueryRowContext(ctx, `PRAGMA application_id`).Scan(&id); err != nil {
		return err
	}
	if id == applicationID {
		return nil
	}
	if err := db.QueryRowContext(ctx, `SELECT count(*) FROM sqlite_schema`).Scan(&objects); err != nil {
		return err
	}
	if id != 0 || objects > 0 {
		return errors.New("it belongs to another program; name another file in storage.sqlite")
	}
	_, err := db.ExecContext(ctx, fmt.Sprintf(`PRAGMA application_id = %d`, applicationID))
	return err
}
