package sqlite

import (
	"context"
	"database/sql"
	"fmt"

	"github.com/evergrant/evergrant/internal/access"
	"github.com/evergrant/evergrant/internal/grant"
	"github.com/evergrant/evergrant/internal/store"
	"github.com/evergrant/evergrant/internal/store/whole"
)

// Reader is a [whole.Reader] of a file.
type Reader struct {
	db   *sql.DB
	path string
}

var _ whole.Reader = (*Reader)(nil)

// The connections of a batch are those between two ids. CROSS JOIN has SQLite
// begin with them: without it, it would read all orphans for each batch.
const (
	wholeConnectionsQuery = `SELECT ` + connectionColumns + ` FROM connections c WHERE c.id > ? ORDER BY c.id LIMIT ?`
	wholeGrantsQuery      = `SELECT v.epoch, v.seq, v.attempt, v.sealed, p.epoch, p.seq, p.attempt, p.sealed, ` + grantColumns + grantTables +
		` LEFT JOIN credentials v ON v.n = g.credential_n LEFT JOIN credentials p ON p.n = g.previous_n
		WHERE c.id BETWEEN ? AND ? ORDER BY g.id`
	wholeOrphansQuery = `SELECT o.attempt, g.id, o.epoch, o.seq, o.sealed, o.parked_at
		FROM connections c CROSS JOIN grants g ON g.connection_n = c.n CROSS JOIN orphans o ON o.grant_n = g.n
		WHERE c.id BETWEEN ? AND ? ORDER BY o.attempt`
	wholeLocationsQuery = `SELECT ` + locationColumns + `
		FROM connections c CROSS JOIN grants g ON g.connection_n = c.n CROSS JOIN locations l ON l.grant_n = g.n
		WHERE c.id BETWEEN ? AND ? ORDER BY l.id`
	wholeLinksQuery          = `SELECT ` + linkColumns + linkTables + ` WHERE c.id BETWEEN ? AND ? ORDER BY l.id`
	wholeAuthorizationsQuery = `SELECT ` + authColumns + `
		FROM connections c CROSS JOIN links l ON l.connection_n = c.n CROSS JOIN authorizations a ON a.link_n = l.n
		WHERE c.id BETWEEN ? AND ? ORDER BY a.id`
	wholeEventsQuery = `SELECT n, type, time, connection, grant_id, app, ref, reason, data FROM events WHERE n > ? ORDER BY n LIMIT ?`
)

// view is one moment of the file.
type view struct {
	ctx context.Context
	tx  *sql.Tx
}

// at calls read with the file as it is now.
func (r *Reader) at(ctx context.Context, read func(view) error) error {
	tx, err := r.db.BeginTx(ctx, &sql.TxOptions{ReadOnly: true})
	if err == nil {
		err = read(view{ctx, tx})
		_ = tx.Rollback() // nothing was written
	}
	return readError(ctx, err)
}

func (v view) each(query string, args []any, row func(scanner) error) error {
	rows, err := v.tx.QueryContext(v.ctx, query, args...)
	if err != nil {
		return err
	}
	return eachRow(rows, row)
}

// Businesses implements [whole.Reader].
func (r *Reader) Businesses(ctx context.Context, after string, limit int) (batch []whole.Business, err error) {
	err = r.at(ctx, func(v view) error {
		batch, err = v.businesses(after, limit)
		return err
	})
	return batch, err
}

func (v view) businesses(after string, limit int) ([]whole.Business, error) {
	var batch []whole.Business
	err := v.each(wholeConnectionsQuery, []any{after, limit}, func(row scanner) error {
		var c grant.Connection
		err := row.Scan(connectionDest(&c)...)
		batch = append(batch, whole.Business{Connection: c})
		return err
	})
	if err != nil || len(batch) == 0 {
		return nil, err
	}
	between := []any{batch[0].Connection.ID, batch[len(batch)-1].Connection.ID}
	f := whole.NewFiller(batch)
	for _, kind := range []struct {
		query string
		add   func(scanner, *whole.Filler) error
	}{
		{wholeGrantsQuery, addGrant}, {wholeOrphansQuery, addOrphan}, {wholeLocationsQuery, addLocation},
		{wholeLinksQuery, addLink}, {wholeAuthorizationsQuery, addAuthorization},
	} {
		if err := v.each(kind.query, between, func(row scanner) error { return kind.add(row, f) }); err != nil {
			return nil, err
		}
	}
	return batch, nil
}

// addGrant reads a grant with its versions.
func addGrant(row scanner, f *whole.Filler) error {
	var r grantRow
	var versions [2]struct {
		epoch, seq sql.NullInt64
		attempt    sql.NullString
		sealed     []byte
	}
	v, p := &versions[0], &versions[1]
	err := row.Scan(append([]any{&v.epoch, &v.seq, &v.attempt, &v.sealed, &p.epoch, &p.seq, &p.attempt, &p.sealed}, r.dest()...)...)
	if err != nil {
		return err
	}
	g := whole.Grant{Grant: r.finish()}
	for _, v := range versions {
		if v.epoch.Valid {
			g.Credentials = append(g.Credentials, whole.Credentials{
				Version: grant.Version{Epoch: v.epoch.Int64, Seq: v.seq.Int64}, Attempt: v.attempt.String, Sealed: v.sealed})
		}
	}
	f.Grant(g)
	return nil
}

func addOrphan(row scanner, f *whole.Filler) error {
	var o store.Orphan
	err := row.Scan(&o.AttemptID, &o.GrantID, &o.Of.Epoch, &o.Of.Seq, &o.Sealed, timeColumn{&o.ParkedAt})
	f.Orphan(o)
	return err
}

func addLocation(row scanner, f *whole.Filler) error {
	var l grant.Location
	err := row.Scan(locationDest(&l)...)
	f.Location(l)
	return err
}

func addLink(row scanner, f *whole.Filler) error {
	var l grant.Link
	err := row.Scan(linkDest(&l)...)
	f.Link(l)
	return err
}

func addAuthorization(row scanner, f *whole.Filler) error {
	var a grant.Authorization
	err := row.Scan(authDest(&a)...)
	f.Authorization(a)
	return err
}

// Events implements [whole.Reader].
func (r *Reader) Events(ctx context.Context, after int64, limit int) (events []whole.Event, err error) {
	err = r.at(ctx, func(v view) error {
		return v.each(wholeEventsQuery, []any{after, limit}, func(row scanner) error {
			var e whole.Event
			var data sql.NullString
			err := row.Scan(&e.Number, &e.Type, timeColumn{&e.Time}, &e.Connection, &e.Grant, &e.App, &e.Ref, &e.Reason, &data)
			if data.Valid {
				e.Data = []byte(data.String)
			}
			events = append(events, e)
			return err
		})
	})
	return events, err
}

// Rest implements [whole.Reader].
func (r *Reader) Rest(ctx context.Context) (rest whole.Rest, err error) {
	rest.Paused = make(map[string]store.Pause)
	err = r.at(ctx, func(v view) error {
		err := v.each(`SELECT master_id, wrapped FROM data_key`, nil, func(row scanner) error {
			return row.Scan(&rest.DataKey.MasterID, &rest.DataKey.Wrapped)
		})
		if err != nil {
			return err
		}
		err = v.each(`SELECT app, cause, since FROM paused_apps`, nil, func(row scanner) error {
			var app string
			var p store.Pause
			err := row.Scan(&app, &p.Cause, timeColumn{&p.Since})
			rest.Paused[app] = p
			return err
		})
		if err != nil {
			return err
		}
		err = v.each(`SELECT `+webhookColumns+` FROM webhooks ORDER BY id`, nil, func(row scanner) error {
			var r webhookRow
			err := row.Scan(r.dest()...)
			rest.Webhooks = append(rest.Webhooks, r.finish())
			return err
		})
		if err != nil {
			return err
		}
		return v.each(`SELECT id, name, hash, scopes, apps, businesses, created_at, expires_at, revoked_at, last_used_at
			FROM api_keys ORDER BY id`, nil, func(row scanner) error {
			var k access.Key
			var hash []byte
			err := row.Scan(&k.ID, &k.Name, &hash, jsonColumn{&k.Scopes}, jsonColumn{&k.Apps}, jsonColumn{&k.Businesses},
				timeColumn{&k.CreatedAt}, timeColumn{&k.ExpiresAt}, timeColumn{&k.RevokedAt}, timeColumn{&k.LastUsedAt})
			if err == nil && copy(k.Hash[:], hash) != len(hash) {
				err = fmt.Errorf("API key %s: its hash has %d bytes", k.ID, len(hash))
			}
			rest.Keys = append(rest.Keys, k)
			return err
		})
	})
	return rest, err
}

// Counts implements [whole.Reader].
func (r *Reader) Counts(ctx context.Context) (c whole.Counts, err error) {
	err = r.at(ctx, func(v view) error {
		return v.tx.QueryRowContext(ctx, `SELECT (SELECT count(*) FROM connections), (SELECT count(*) FROM grants),
			(SELECT count(*) FROM credentials), (SELECT count(*) FROM orphans), (SELECT count(*) FROM locations), (SELECT count(*) FROM links),
			(SELECT count(*) FROM authorizations), (SELECT count(*) FROM events), (SELECT count(*) FROM api_keys)`).
			Scan(&c.Connections, &c.Grants, &c.Credentials, &c.Orphans, &c.Locations, &c.Links, &c.Authorizations, &c.Events, &c.Keys)
	})
	return c, err
}
