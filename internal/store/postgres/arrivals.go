package postgres

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5/pgtype"

	"github.com/evergrant/evergrant/internal/grant"
	"github.com/evergrant/evergrant/internal/store"
)

// addressesQuery takes the addresses that are free. In a list that is sorted by
// address, two callers that want the same ones do not wait for each other in a
// circle, and of an address that is listed twice the first one gets it.
const addressesQuery = `INSERT INTO addresses (app, key, connection_id)
	SELECT a.app, a.key, a.id FROM unnest($1::text[], $2::text[], $3::text[]) WITH ORDINALITY AS a (app, key, id, ord) ORDER BY a.ord
	ON CONFLICT (app, key) DO NOTHING
	RETURNING connection_id`

// CreateConnections implements [store.Connections].
func (s *Store) CreateConnections(ctx context.Context, arrivals []store.Arrival) ([]bool, error) {
	if err := store.CheckArrivals(arrivals); err != nil {
		return nil, err
	}
	var added []bool
	err := s.change(ctx, func(t *tx) error {
		ids, err := t.takeAddresses(arrivals)
		if err != nil {
			return err
		}
		added = make([]bool, len(arrivals))
		var rows arrivalRows
		for i, a := range arrivals {
			if !ids[text(a.Connection.ID)] {
				continue
			}
			added[i] = true
			c := a.Connection
			if a.Installation != nil {
				c = a.Connected(t.now)
			}
			if err := rows.add(t, c, a.Installation); err != nil {
				return err
			}
		}
		rows.write(t)
		return nil
	})
	if taken(err) {
		return nil, fmt.Errorf("an id of a connection or a grant: %w: %w", store.ErrExists, err)
	}
	if err != nil {
		return nil, err
	}
	return added, nil
}

// takeAddresses returns the ids of the connections that got theirs.
func (t *tx) takeAddresses(arrivals []store.Arrival) (map[string]bool, error) {
	sorted := make([]grant.Connection, len(arrivals))
	for i, a := range arrivals {
		sorted[i] = a.Connection
	}
	slices.SortStableFunc(sorted, func(a, b grant.Connection) int {
		if order := strings.Compare(a.App, b.App); order != 0 {
			return order
		}
		return strings.Compare(a.Key, b.Key)
	})
	var apps, keys, ids []string
	for _, c := range sorted {
		apps, keys, ids = append(apps, c.App), append(keys, c.Key), append(ids, c.ID)
	}
	got := make(map[string]bool, len(ids))
	err := t.each(addressesQuery, []any{nonNil(apps), nonNil(keys), nonNil(ids)}, func(row scanner) error {
		var id string
		err := row.Scan(&id)
		got[id] = true
		return err
	})
	return got, err
}

// arrivalRows are connections and their grants in columns, as one statement for
// each table takes them.
type arrivalRows struct {
	connections connectionRows
	grants      grantRows
	silent      []string // connections that no event tells of
	reached     []reach
}

// connectionRows are rows of connections.
type connectionRows struct {
	ids, apps, keys, names, states, reasons []string
	tags, locations, flags                  []*string
	since, nextTry, created, updated        []pgtype.Timestamptz
}

// grantRows are rows of grants, their ids and their credentials.
type grantRows struct {
	connections, ids, apps, keys, scopes, states, reasons            []string
	identities                                                       []*string
	epochs, seqs, failures, refusals                                 []int64
	consent, issued, expires, deadline, due, since, nextTry, refused []pgtype.Timestamptz
	sealed                                                           [][]byte
}

// reach is what a grant reaches.
type reach struct {
	held
	locations []grant.Location
}

// add adds a connection and what is installed for it, nil for nothing.
func (r *arrivalRows) add(t *tx, c grant.Connection, in *store.Installation) error {
	r.connections.add(c)
	if in == nil || len(in.Events) == 0 {
		r.silent = append(r.silent, c.ID)
	}
	if in == nil {
		return nil
	}
	r.grants.add(c, *in)
	about := aboutConnection(c)
	about.grant = in.Grant.ID
	if in.Locations != nil {
		h := held{Grant: grant.Grant{ID: in.Grant.ID, ConnectionID: c.ID}, connection: c}
		r.reached = append(r.reached, reach{h, in.Locations})
	}
	return t.emit(about, in.Events...)
}

// write queues the writes.
func (r *arrivalRows) write(t *tx) {
	if len(r.connections.ids) > 0 {
		r.connections.write(t)
	}
	if len(r.grants.ids) > 0 {
		r.grants.write(t)
	}
	for _, l := range r.reached {
		t.setLocations(l.held, l.locations)
		t.readAgain(l.held, grant.ReadAgain(l.ID, t.now))
	}
	if len(r.silent) > 0 {
		t.write(`SELECT pg_notify('`+channel+`', id) FROM unnest($1::text[]) AS silent (id)`, r.silent)
	}
}

func (r *connectionRows) add(c grant.Connection) {
	r.ids, r.apps, r.keys, r.names = append(r.ids, c.ID), append(r.apps, c.App), append(r.keys, c.Key), append(r.names, c.Name)
	r.states, r.reasons = append(r.states, string(c.Status.State)), append(r.reasons, string(c.Status.Reason))
	r.tags = append(r.tags, tagsDocument(c.Tags))
	r.locations, r.flags = append(r.locations, words(c.RequiredLocations)), append(r.flags, words(c.Flags))
	r.since, r.nextTry = append(r.since, stamp(c.Status.Since)), append(r.nextTry, stamp(c.Status.NextTryAt))
	r.created, r.updated = append(r.created, stamp(c.CreatedAt)), append(r.updated, stamp(c.UpdatedAt))
}

func (r *connectionRows) write(t *tx) {
	t.write(`INSERT INTO connections (id, app, key, name, tags, required_locations, flags,
			state, reason, since, next_try_at, created_at, updated_at)
		SELECT id, app, key, name, tags::jsonb, locations::json, flags::json, state, reason, since, next_try_at, created_at, updated_at
		FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[], $9::text[],
			$10::timestamptz[], $11::timestamptz[], $12::timestamptz[], $13::timestamptz[])
			AS c (id, app, key, name, tags, locations, flags, state, reason, since, next_try_at, created_at, updated_at)`,
		r.ids, r.apps, r.keys, r.names, r.tags, r.locations, r.flags, r.states, r.reasons, r.since, r.nextTry, r.created, r.updated)
}

func (r *grantRows) add(c grant.Connection, in store.Installation) {
	g := in.Grant
	r.connections, r.ids = append(r.connections, c.ID), append(r.ids, g.ID)
	r.apps, r.keys = append(r.apps, c.App), append(r.keys, c.Key)
	r.identities, r.scopes = append(r.identities, words(g.Identity)), append(r.scopes, g.Scope)
	r.states, r.reasons = append(r.states, string(g.Status.State)), append(r.reasons, string(g.Status.Reason))
	r.epochs, r.seqs = append(r.epochs, g.Version.Epoch), append(r.seqs, g.Version.Seq)
	r.failures, r.refusals = append(r.failures, int64(g.Failures)), append(r.refusals, int64(g.Refusals))
	r.consent, r.issued = append(r.consent, stamp(g.ConsentAt)), append(r.issued, stamp(g.IssuedAt))
	r.expires, r.deadline = append(r.expires, stamp(g.ExpiresAt)), append(r.deadline, stamp(g.DeadlineAt))
	r.due, r.refused = append(r.due, stamp(g.DueAt)), append(r.refused, stamp(g.RefusedAt))
	r.since, r.nextTry = append(r.since, stamp(g.Status.Since)), append(r.nextTry, stamp(g.Status.NextTryAt))
	r.sealed = append(r.sealed, nonNil(in.Sealed))
}

func (r *grantRows) write(t *tx) {
	t.write(`INSERT INTO grant_ids (id, connection_id) SELECT * FROM unnest($1::text[], $2::text[])`, r.ids, r.connections)
	t.write(`INSERT INTO grants (connection_id, id, app, key, identity, scope, consent_at, epoch, seq, issued_at, expires_at, deadline_at,
			due_at, state, reason, since, next_try_at, failures, refusals, refused_at)
		SELECT connection_id, id, app, key, identity::json, scope, consent_at, epoch, seq, issued_at, expires_at, deadline_at,
			due_at, state, reason, since, next_try_at, failures::integer, refusals::integer, refused_at
		FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::timestamptz[], $8::bigint[], $9::bigint[],
			$10::timestamptz[], $11::timestamptz[], $12::timestamptz[], $13::timestamptz[], $14::text[], $15::text[],
			$16::timestamptz[], $17::timestamptz[], $18::bigint[], $19::bigint[], $20::timestamptz[])
			AS g (connection_id, id, app, key, identity, scope, consent_at, epoch, seq, issued_at, expires_at, deadline_at,
			due_at, state, reason, since, next_try_at, failures, refusals, refused_at)`,
		r.connections, r.ids, r.apps, r.keys, r.identities, r.scopes, r.consent, r.epochs, r.seqs, r.issued, r.expires, r.deadline,
		r.due, r.states, r.reasons, r.since, r.nextTry, r.failures, r.refusals, r.refused)
	t.write(`INSERT INTO credentials (connection_id, grant_id, slot, epoch, seq, attempt, sealed)
		SELECT connection_id, grant_id, seq % 2, epoch, seq, '', sealed
		FROM unnest($1::text[], $2::text[], $3::bigint[], $4::bigint[], $5::bytea[]) AS v (connection_id, grant_id, epoch, seq, sealed)`,
		r.connections, r.ids, r.epochs, r.seqs, r.sealed)
	t.write(`INSERT INTO readings (connection_id, grant_id, app, due_at)
		SELECT connection_id, grant_id, app, $4 FROM unnest($1::text[], $2::text[], $3::text[]) AS r (connection_id, grant_id, app)`,
		r.connections, r.ids, r.apps, stamp(t.now))
}
