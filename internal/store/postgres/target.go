package postgres

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode"

	"github.com/jackc/pgx/v5"

	"github.com/evergrant/evergrant/internal/store/whole"
)

// A database that another store was moved into, or into which that was begun, has
// a table for it, of one row. It is no migration: no other database ever has it.
const moveTable = `CREATE TABLE IF NOT EXISTS move (
	n           smallint         NOT NULL PRIMARY KEY CHECK (n = 1),
	id          text COLLATE "C" NOT NULL,
	source      text COLLATE "C" NOT NULL,
	state       text COLLATE "C" NOT NULL, -- of the source when it began
	connections text COLLATE "C" NOT NULL, -- the last that is here
	events      bigint           NOT NULL, -- the last that is here
	begun_at    timestamptz      NOT NULL,
	ended_at    timestamptz
)`

// copyLock is the advisory lock of whoever moves a store into a database: "EvGr"
// and a three. copyPatience is how long the session of one that was killed may
// take to end.
const (
	copyLock     = 0x45764772_00000003
	copyPatience = "15s"
)

// Target is a database that a store is moved into. Nobody else moves one into it
// at the same time, and no server uses it before the end.
type Target struct {
	*Reader
	name string
}

// OpenTarget connects to a database to move a store into it, migrating it as
// needed.
func OpenTarget(ctx context.Context, o Options) (*Target, error) {
	config, err := patient(&o)
	if err != nil {
		return nil, err
	}
	t, err := openTarget(ctx, config, o)
	if err != nil {
		return nil, openError(config, err)
	}
	return t, nil
}

func openTarget(ctx context.Context, config *pgx.ConnConfig, o Options) (_ *Target, err error) {
	if err := checkSession(ctx, config, o.AllowLoss); err != nil {
		return nil, err
	}
	if err := migrate(ctx, config); err != nil {
		return nil, err
	}
	conn, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		return nil, err
	}
	t := &Target{&Reader{conn, hostOf(config)}, fmt.Sprintf("database %s on %s", config.Database, hostOf(config))}
	defer func() {
		if err != nil {
			_ = t.Close()
		}
	}()
	if _, err := conn.Exec(ctx, `SET lock_timeout = '`+copyPatience+`'`); err != nil {
		return nil, err
	}
	_, err = conn.Exec(ctx, `SELECT pg_advisory_lock($1)`, int64(copyLock)) // ends with the session
	if sqlState(err) == lockNotAvailable {
		return nil, &refusedError{"another process copies a store into it", "wait for that one"}
	}
	if err != nil {
		return nil, err
	}
	_, err = conn.Exec(ctx, moveTable)
	return t, err
}

// lockNotAvailable is what SQLSTATE calls a lock_timeout.
const lockNotAvailable = "55P03"

// Name names the database for people, without a password.
func (t *Target) Name() string { return t.name }

// Keeps is a text as this database keeps it.
func (t *Target) Keeps(s string) string { return text(s) }

// Copy returns how far a move into this database has come, and false if none was
// ever begun.
func (t *Target) Copy(ctx context.Context) (whole.Copy, bool, error) { return readCopy(ctx, t.conn) }

func readCopy(ctx context.Context, db queryer) (c whole.Copy, there bool, err error) {
	if there, err = exists(ctx, db, "move"); err != nil || !there {
		return c, false, err
	}
	err = db.QueryRow(ctx, `SELECT id, source, state, connections, events, begun_at, ended_at FROM move`).
		Scan(&c.ID, &c.Other, &c.State, &c.Connections, &c.Events, timeColumn{&c.BegunAt}, timeColumn{&c.EndedAt})
	if errors.Is(err, pgx.ErrNoRows) {
		return c, false, nil
	}
	return c, err == nil, err
}

// copied are the tables that a move fills.
var copied = []string{"addresses", "connections", "grant_ids", "grants", "credentials", "orphans", "locations", "readings",
	"links", "authorizations", "events", "api_keys", "data_key", "paused_apps", "webhooks", "webhook_deliveries"}

// Begin begins a move with what belongs to no connection. A database that holds
// anything is refused, unless that is an unfinished copy: it goes.
func (t *Target) Begin(ctx context.Context, c whole.Copy, rest whole.Rest) error {
	return t.change(ctx, func(tx pgx.Tx) error {
		was, there, err := readCopy(ctx, tx)
		if err != nil {
			return err
		}
		if there && !was.Ended() {
			if _, err := tx.Exec(ctx, `TRUNCATE `+strings.Join(copied, ", ")); err != nil {
				return err
			}
		}
		for _, table := range copied {
			var full bool
			if err := tx.QueryRow(ctx, `SELECT EXISTS (SELECT FROM `+table+`)`).Scan(&full); err != nil {
				return err
			}
			if full {
				return fmt.Errorf("%s is not empty: there are rows in its table %s.%s; name an empty database, "+
					"or, if nothing in this one is needed, run in it: DROP SCHEMA %s CASCADE", t.name, schemaName, table, schemaName)
			}
		}
		_, err = tx.Exec(ctx, `INSERT INTO move (n, id, source, state, connections, events, begun_at)
			VALUES (1, $1, $2, $3, '', 0, clock_timestamp())
			ON CONFLICT (n) DO UPDATE SET id = excluded.id, source = excluded.source, state = excluded.state, connections = '', events = 0,
				begun_at = excluded.begun_at, ended_at = NULL`, c.ID, text(c.Other), c.State)
		if err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, `UPDATE event_log SET last = 0`); err != nil {
			return err
		}
		return copyRest(ctx, tx, rest)
	})
}

func copyRest(ctx context.Context, tx pgx.Tx, rest whole.Rest) error {
	var keys, paused, webhooks rows
	for _, k := range rest.Keys {
		keys.add(k.ID, k.Name, k.Hash[:], words(k.Scopes), words(k.Apps), words(k.Businesses),
			stamp(k.CreatedAt), stamp(k.ExpiresAt), stamp(k.RevokedAt), stamp(k.LastUsedAt))
	}
	for _, app := range slices.Sorted(maps.Keys(rest.Paused)) {
		paused.add(app, string(rest.Paused[app].Cause), stamp(rest.Paused[app].Since))
	}
	if rest.DataKey.Wrapped != nil {
		_, err := tx.Exec(ctx, `INSERT INTO data_key (n, master_id, wrapped) VALUES (1, $1, $2)`, rest.DataKey.MasterID, rest.DataKey.Wrapped)
		if err != nil {
			return err
		}
	}
	if err := keys.copyInto(ctx, tx, "api_keys", "id", "name", "hash", "scopes", "apps", "businesses",
		"created_at", "expires_at", "revoked_at", "last_used_at"); err != nil {
		return err
	}
	for _, w := range rest.Webhooks {
		cursor, err := cursorNumber(w.Cursor)
		if err != nil {
			return fmt.Errorf("webhook %s: %w", w.ID, err)
		}
		webhooks.add(w.ID, w.Name, w.URL, words(w.Types), words(w.Apps), words(w.Businesses), w.Sealed, w.FromFile, stamp(w.CreatedAt), stamp(w.UpdatedAt),
			w.Sent, cursor, w.Failures, stamp(w.FailingSince), stamp(w.NextAt), stamp(w.DisabledAt), w.DisabledBecause)
	}
	if err := webhooks.copyInto(ctx, tx, "webhooks", strings.FieldsFunc(webhookColumns, func(r rune) bool { return r == ',' || unicode.IsSpace(r) })...); err != nil {
		return err
	}
	return paused.copyInto(ctx, tx, "paused_apps", "app", "cause", "since")
}

// AddBusinesses adds a batch, in the order of ids, and records that it is here:
// both or nothing.
func (t *Target) AddBusinesses(ctx context.Context, batch []whole.Business) error {
	if len(batch) == 0 {
		return nil
	}
	r := newBusinessRows(batch)
	return t.change(ctx, func(tx pgx.Tx) error {
		if err := r.copyInto(ctx, tx); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, `UPDATE move SET connections = $1`, batch[len(batch)-1].Connection.ID)
		return err
	})
}

// AddEvents adds a batch, in the order of numbers, and records that it is here.
func (t *Target) AddEvents(ctx context.Context, batch []whole.Event) error {
	if len(batch) == 0 {
		return nil
	}
	var r rows
	for _, e := range batch {
		var data *string
		if e.Data != nil {
			s := string(e.Data)
			data = &s
		}
		r.add(e.Number, string(e.Type), stamp(e.Time), e.Connection, e.Grant, e.App, e.Ref, string(e.Reason), data)
	}
	return t.change(ctx, func(tx pgx.Tx) error {
		if err := r.copyInto(ctx, tx, "events", "n", "type", "time", "connection", "grant_id", "app", "ref", "reason", "data"); err != nil {
			return err
		}
		last := batch[len(batch)-1].Number
		if _, err := tx.Exec(ctx, `UPDATE event_log SET last = $1`, last); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, `UPDATE move SET events = $1`, last)
		return err
	})
}

// Settle has the server count what is here, so that it plans for it from the
// first query on.
func (t *Target) Settle(ctx context.Context) error {
	for _, table := range copied {
		if _, err := t.conn.Exec(ctx, `ANALYZE `+table); err != nil {
			return dbError(err)
		}
	}
	return nil
}

// End records that everything is here: servers may use the database.
func (t *Target) End(ctx context.Context) error {
	return t.change(ctx, func(tx pgx.Tx) error {
		_, err := tx.Exec(ctx, `UPDATE move SET ended_at = clock_timestamp()`)
		return err
	})
}

// change makes a change in a transaction.
func (t *Target) change(ctx context.Context, run func(pgx.Tx) error) error {
	return pgx.BeginFunc(ctx, t.conn, run)
}
