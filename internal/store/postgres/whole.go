package postgres

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/evergrant/evergrant/internal/access"
	"github.com/evergrant/evergrant/internal/grant"
	"github.com/evergrant/evergrant/internal/store"
	"github.com/evergrant/evergrant/internal/store/whole"
)

// Reader is a [whole.Reader] of a database.
type Reader struct {
	conn *pgx.Conn
	host string
}

var _ whole.Reader = (*Reader)(nil)

// The connections of a batch are those between two ids.
const (
	wholeConnectionsQuery = `SELECT ` + connectionColumns + ` FROM connections c WHERE c.id > $1 ORDER BY c.id LIMIT $2`
	wholeGrantsQuery      = `SELECT ` + grantColumns + ` FROM grants g WHERE g.connection_id BETWEEN $1 AND $2 ORDER BY g.id`
	// The newest version is the current one.
	wholeCredentialsQuery = `SELECT grant_id, epoch, seq, attempt, sealed FROM credentials
		WHERE connection_id BETWEEN $1 AND $2 ORDER BY grant_id, epoch DESC, seq DESC`
	wholeOrphansQuery = `SELECT attempt, grant_id, epoch, seq, sealed, parked_at FROM orphans
		WHERE connection_id BETWEEN $1 AND $2 ORDER BY attempt`
	wholeLocationsQuery = `SELECT ` + locationColumns + ` FROM locations
		WHERE connection_id BETWEEN $1 AND $2 ORDER BY id`
	wholeLinksQuery          = `SELECT ` + linkColumns + ` FROM links l WHERE l.connection_id BETWEEN $1 AND $2 ORDER BY l.id`
	wholeAuthorizationsQuery = `SELECT ` + authColumns + ` FROM authorizations a JOIN links l ON l.id = a.link_id
		WHERE l.connection_id BETWEEN $1 AND $2 ORDER BY a.id`
	wholeEventsQuery = `SELECT n, type, time, connection, grant_id, app, ref, reason, data::text FROM events WHERE n > $1 ORDER BY n LIMIT $2`
)

// view is one moment of the database.
type view struct {
	ctx context.Context
	tx  pgx.Tx
}

// at calls read with the database as it is now.
func (r *Reader) at(ctx context.Context, read func(view) error) error {
	tx, err := r.conn.BeginTx(ctx, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly})
	if err == nil {
		err = read(view{ctx, tx})
		_ = tx.Rollback(context.WithoutCancel(ctx)) // nothing was written
	}
	return readError(ctx, err)
}

func (v view) each(query string, args []any, row func(scanner) error) error {
	return eachRow(v.tx.Query(v.ctx, query, args...))(row)
}

// Businesses implements [whole.Reader].
func (r *Reader) Businesses(ctx context.Context, after string, limit int) (batch []whole.Business, err error) {
	err = r.at(ctx, func(v view) error {
		batch, err = v.businesses(after, limit)
		return err
	})
	return batch, err
}

// byIndex has the planner go from a batch's ids, of which it does not see how few
// they are, through indexes: a batch would read every table once.
const byIndex = `SET LOCAL enable_seqscan = off; SET LOCAL enable_hashjoin = off; SET LOCAL enable_mergejoin = off`

func (v view) businesses(after string, limit int) ([]whole.Business, error) {
	if _, err := v.tx.Exec(v.ctx, byIndex); err != nil {
		return nil, err
	}
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
		{wholeGrantsQuery, addGrant}, {wholeCredentialsQuery, addCredentials}, {wholeOrphansQuery, addOrphan},
		{wholeLocationsQuery, addLocation}, {wholeLinksQuery, addLink}, {wholeAuthorizationsQuery, addAuthorization},
	} {
		if err := v.each(kind.query, between, func(row scanner) error { return kind.add(row, f) }); err != nil {
			return nil, err
		}
	}
	return batch, nil
}

func addGrant(row scanner, f *whole.Filler) error {
	var r grantRow
	err := row.Scan(r.dest()...)
	if err == nil {
		f.Grant(whole.Grant{Grant: r.finish()})
	}
	return err
}

func addCredentials(row scanner, f *whole.Filler) error {
	var id string
	var c whole.Credentials
	err := row.Scan(&id, &c.Version.Epoch, &c.Version.Seq, &c.Attempt, &c.Sealed)
	f.Credentials(id, c)
	return err
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
			var data *string
			err := row.Scan(&e.Number, &e.Type, timeColumn{&e.Time}, &e.Connection, &e.Grant, &e.App, &e.Ref, &e.Reason, &data)
			if data != nil {
				e.Data = []byte(*data)
			}
			events = append(events, e)
			return err
		})
	})
	return events, err
}

// Rest implements [whole.Reader].
func (r *Reader) Rest(ctx context.Context) (rest whole.Rest, err error) {
	err = r.at(ctx, func(v view) error {
		rest, err = v.rest()
		return err
	})
	return rest, err
}

func (v view) rest() (rest whole.Rest, err error) {
	err = v.each(`SELECT master_id, wrapped FROM data_key`, nil, func(row scanner) error {
		return row.Scan(&rest.DataKey.MasterID, &rest.DataKey.Wrapped)
	})
	if err != nil {
		return rest, err
	}
	rest.Paused = make(map[string]store.Pause)
	err = v.each(`SELECT app, cause, since FROM paused_apps`, nil, func(row scanner) error {
		var app string
		var p store.Pause
		err := row.Scan(&app, &p.Cause, timeColumn{&p.Since})
		rest.Paused[app] = p
		return err
	})
	if err != nil {
		return rest, err
	}
	err = v.each(`SELECT `+webhookColumns+` FROM webhooks ORDER BY id`, nil, func(row scanner) error {
		var r webhookRow
		err := row.Scan(r.dest()...)
		rest.Webhooks = append(rest.Webhooks, r.finish())
		return err
	})
	if err != nil {
		return rest, err
	}
	err = v.each(`SELECT id, name, hash, scopes, apps, businesses, created_at, expires_at, revoked_at, last_used_at
		FROM api_keys ORDER BY id`, nil, func(row scanner) error {
		var k access.Key
		var hash []byte
		err := row.Scan(&k.ID, &k.Name, &hash, &k.Scopes, &k.Apps, &k.Businesses,
			timeColumn{&k.CreatedAt}, timeColumn{&k.ExpiresAt}, timeColumn{&k.RevokedAt}, timeColumn{&k.LastUsedAt})
		if err == nil && copy(k.Hash[:], hash) != len(hash) {
			err = fmt.Errorf("API key %s: its hash has %d bytes", k.ID, len(hash))
		}
		rest.Keys = append(rest.Keys, k)
		return err
	})
	return rest, err
}

// Counts implements [whole.Reader].
func (r *Reader) Counts(ctx context.Context) (c whole.Counts, err error) {
	err = r.at(ctx, func(v view) error {
		return v.tx.QueryRow(ctx, `SELECT (SELECT count(*) FROM connections), (SELECT count(*) FROM grants),
			(SELECT count(*) FROM credentials), (SELECT count(*) FROM orphans), (SELECT count(*) FROM locations), (SELECT count(*) FROM links),
			(SELECT count(*) FROM authorizations), (SELECT count(*) FROM events), (SELECT count(*) FROM api_keys)`).
			Scan(&c.Connections, &c.Grants, &c.Credentials, &c.Orphans, &c.Locations, &c.Links, &c.Authorizations, &c.Events, &c.Keys)
	})
	return c, err
}
