package postgres

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/evergrant/evergrant/internal/store/whole"
)

// OpenReader connects to a database to read it beside the servers that use it. It
// changes nothing in it and does not migrate it: what the schema is,
// [Reader.Status] tells. A standby can be read too.
func OpenReader(ctx context.Context, o Options) (*Reader, error) {
	config, err := patient(&o)
	if err != nil {
		return nil, err
	}
	conn, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		return nil, openError(config, err)
	}
	return &Reader{conn, hostOf(config)}, nil
}

// patient is the configuration of a session whose statements take as long as
// they take.
func patient(o *Options) (*pgx.ConnConfig, error) {
	if o.URL.IsZero() {
		return nil, errors.New("cannot open database: no connection string given; set storage.postgres")
	}
	pool, err := configure(o)
	if err != nil {
		return nil, err
	}
	config := pool.ConnConfig.Copy()
	for _, name := range []string{"statement_timeout", "idle_in_transaction_session_timeout"} {
		config.RuntimeParams[name] = "0"
	}
	return config, nil
}

func hostOf(c *pgx.ConnConfig) string {
	return net.JoinHostPort(c.Host, strconv.Itoa(int(c.Port)))
}

// Close ends the session.
func (r *Reader) Close() error {
	ctx, cancel := context.WithTimeout(context.Background(), defaultTimeout)
	defer cancel()
	return r.conn.Close(ctx)
}

// Status says what the database is.
func (r *Reader) Status(ctx context.Context) (whole.Status, error) {
	p := &whole.Postgres{Owners: []string{}}
	st := whole.Status{Store: "postgres", Database: r.conn.Config().Database, Host: r.host, Postgres: p}
	var err error
	if st.Known, err = knownVersion(); err != nil {
		return st, err
	}
	// Outside of a transaction of ours, which is read-only.
	var readOnly string
	err = r.conn.QueryRow(ctx, `SELECT current_setting('server_version'), pg_is_in_recovery(), current_setting('transaction_read_only'),
		current_setting('synchronous_commit'), current_setting('fsync')`).Scan(&p.Version, &p.Standby, &readOnly, &p.SynchronousCommit, &p.Fsync)
	if err != nil {
		return st, readError(ctx, err)
	}
	p.ReadOnly = readOnly == "on"
	if err := r.at(ctx, func(v view) error { return v.status(&st) }); err != nil || st.Schema != st.Known {
		return st, err
	}
	counts, err := r.Counts(ctx)
	st.Counts = &counts
	return st, err
}

// status fills in what the tables say.
func (v view) status(st *whole.Status) (err error) {
	if st.Schema, err = v.schema(); err != nil || st.Schema == 0 {
		return err
	}
	err = v.tx.QueryRow(v.ctx, `SELECT coalesce(sum(pg_total_relation_size(oid)), 0)::bigint FROM pg_class
		WHERE relnamespace = to_regnamespace($1) AND relkind = 'r'`, schemaName).Scan(&st.Bytes)
	if err != nil {
		return err
	}
	c, there, err := readCopy(v.ctx, v.tx)
	if there {
		st.Move = &c.Move
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
	err = v.each(`SELECT o.id FROM owners o WHERE `+ownerLock+` IN (SELECT key FROM `+ownerLocks+`) ORDER BY o.id`, nil,
		func(row scanner) error {
			var id string
			err := row.Scan(&id)
			st.Postgres.Owners = append(st.Postgres.Owners, id)
			return err
		})
	if err != nil {
		return err
	}
	st.OpenAttempts = new(int64)
	return v.tx.QueryRow(v.ctx, `SELECT count(*) FROM grants WHERE attempt IS NOT NULL`).Scan(st.OpenAttempts)
}

// schema is the version of the schema, 0 if there is none yet.
func (v view) schema() (version int64, err error) {
	there, err := exists(v.ctx, v.tx, "goose_db_version")
	if err != nil || !there {
		return 0, err
	}
	err = v.tx.QueryRow(v.ctx, `SELECT max(version_id) FROM goose_db_version WHERE is_applied`).Scan(&version)
	return version, err
}

// queryer is a session or a transaction.
type queryer interface {
	QueryRow(ctx context.Context, query string, args ...any) pgx.Row
}

// exists reports whether our schema has a table.
func exists(ctx context.Context, db queryer, table string) (there bool, err error) {
	err = db.QueryRow(ctx, `SELECT to_regclass($1) IS NOT NULL`, schemaName+"."+table).Scan(&there)
	return there, err
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

// Migrate brings the schema up to date, as every server does when it starts, and
// returns its versions before and after.
func Migrate(ctx context.Context, o Options) (from, to int64, err error) {
	config, err := patient(&o)
	if err != nil {
		return 0, 0, err
	}
	from, to, err = migrateFrom(ctx, config, o)
	if err != nil {
		return 0, 0, openError(config, err)
	}
	return from, to, nil
}

func migrateFrom(ctx context.Context, config *pgx.ConnConfig, o Options) (from, to int64, err error) {
	if err := checkSession(ctx, config, o.AllowLoss); err != nil {
		return 0, 0, err
	}
	conn, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		return 0, 0, err
	}
	r := &Reader{conn: conn}
	defer func() { _ = r.Close() }()
	err = r.at(ctx, func(v view) error {
		from, err = v.schema()
		return err
	})
	if err != nil {
		return 0, 0, err
	}
	if err := migrate(ctx, config); err != nil {
		return 0, 0, err
	}
	to, err = knownVersion()
	return from, to, err
}

// refuseUnfinished refuses a database that only a part of another's grants is in.
func refuseUnfinished(ctx context.Context, config *pgx.ConnConfig) error {
	conn, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	c, there, err := readCopy(ctx, conn)
	if err != nil || !there || c.Ended() {
		return err
	}
	return &refusedError{fmt.Sprintf("it holds an unfinished copy of %s, begun on %s", c.Other, c.BegunAt.Format(time.RFC3339)),
		"finish it with: evergrant db copy, or give it up with: DROP SCHEMA " + schemaName + " CASCADE"}
}
