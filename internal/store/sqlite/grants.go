package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/evergrant/evergrant/internal/grant"
	"github.com/evergrant/evergrant/internal/store"
)

const (
	grantColumns = `g.id, c.id, g.app, k.identity, k.scope, g.epoch, g.seq,
	g.issued_at, g.expires_at, g.deadline_at, k.consent_at, g.due_at,
	g.state, g.reason, g.since, g.next_try_at, g.failures, g.refusals, g.refused_at,
	g.attempt, g.attempt_owner, g.attempt_kind, g.attempt_opened_at, g.attempt_unknown`
	grantTables = ` FROM grants g JOIN connections c ON c.n = g.connection_n JOIN consents k ON k.grant_n = g.n`

	grantsQuery      = `SELECT ` + grantColumns + grantTables + ` WHERE c.id = ? ORDER BY g.id`
	credentialsQuery = `SELECT v.sealed, ` + grantColumns + grantTables +
		` LEFT JOIN credentials v ON v.n = g.credential_n WHERE g.id = ?`
)

// grantRow is a grant as it is read.
type grantRow struct {
	grant.Grant
	attempt, owner, kind sql.NullString
	opened               grant.Attempt
	unknown              sql.NullBool
}

// dest is where grantColumns are scanned to; finish makes the grant of them.
func (r *grantRow) dest() []any {
	g := &r.Grant
	return append(append([]any{&g.ID, &g.ConnectionID, &g.App, jsonColumn{&g.Identity}, &g.Scope,
		&g.Version.Epoch, &g.Version.Seq, timeColumn{&g.IssuedAt}, timeColumn{&g.ExpiresAt}, timeColumn{&g.DeadlineAt},
		timeColumn{&g.ConsentAt}, timeColumn{&g.DueAt}}, statusDest(&g.Status)...),
		&g.Failures, &g.Refusals, timeColumn{&g.RefusedAt},
		&r.attempt, &r.owner, &r.kind, timeColumn{&r.opened.OpenedAt}, &r.unknown)
}

func (r *grantRow) finish() grant.Grant {
	if r.attempt.Valid {
		// An attempt ends with its version, so the grant's is the attempt's.
		r.Attempt = &grant.Attempt{ID: r.attempt.String, Owner: r.owner.String, Kind: grant.AttemptKind(r.kind.String),
			Of: r.Version, OpenedAt: r.opened.OpenedAt, Unknown: r.unknown.Bool}
	}
	return r.Grant
}

// Grants implements [store.Connections].
func (s *Store) Grants(ctx context.Context, connectionID string) ([]grant.Grant, error) {
	var grants []grant.Grant
	err := s.each(ctx, grantsQuery, []any{connectionID},
		func(row scanner) error {
			var r grantRow
			err := row.Scan(r.dest()...)
			grants = append(grants, r.finish())
			return err
		})
	return grants, err
}

// Grant implements [store.Connections].
func (s *Store) Grant(ctx context.Context, id string) (grant.Grant, error) {
	var r grantRow
	err := s.get(ctx, `SELECT `+grantColumns+grantTables+` WHERE g.id = ?`, []any{id}, r.dest()...)
	if err != nil {
		return grant.Grant{}, fmt.Errorf("grant %s: %w", id, err)
	}
	return r.finish(), nil
}

// liveGrantsQuery walks the grants in the order of their ids. An index by app would
// be sorted anew for each page.
const liveGrantsQuery = `SELECT id FROM grants WHERE +app = ? AND state IN ('connected', 'degraded') AND id > ? ORDER BY id LIMIT ?`

// LiveGrants implements [store.Connections].
func (s *Store) LiveGrants(ctx context.Context, app string, p store.Page) ([]string, string, error) {
	if err := checkPage(p); err != nil {
		return nil, "", err
	}
	var ids []string
	err := s.each(ctx, liveGrantsQuery, []any{app, p.Cursor, p.Limit + 1}, func(row scanner) error {
		var id string
		err := row.Scan(&id)
		ids = append(ids, id)
		return err
	})
	if err != nil {
		return nil, "", err
	}
	ids, next := clip(ids, p.Limit, func(id string) string { return id })
	return ids, next, nil
}

// Credentials implements [store.Connections].
func (s *Store) Credentials(ctx context.Context, grantID string) (grant.Grant, []byte, error) {
	var r grantRow
	var sealed []byte
	err := s.get(ctx, credentialsQuery, []any{grantID}, append([]any{&sealed}, r.dest()...)...)
	if err != nil {
		return grant.Grant{}, nil, fmt.Errorf("grant %s: %w", grantID, err)
	}
	return r.finish(), sealed, nil
}

// held is what a change has to know of a grant before it makes it.
type held struct {
	n, connectionN       int64
	version              grant.Version
	attempt              sql.NullString
	status               grant.Status
	scope                string
	credential, previous sql.NullInt64
	refreshed            int64 // the event of its last refresh
	about                subject
}

// hold reads a grant for a change.
func (t *tx) hold(id string) (held, error) {
	h := held{about: subject{grant: id}}
	var key string
	err := t.get(`SELECT g.n, g.connection_n, g.epoch, g.seq, g.attempt, g.credential_n, g.previous_n, g.refreshed_n, c.id, c.app, c.key,
			k.scope, g.state, g.reason, g.since, g.next_try_at`+grantTables+` WHERE g.id = ?`, []any{id},
		append([]any{&h.n, &h.connectionN, &h.version.Epoch, &h.version.Seq, &h.attempt, &h.credential, &h.previous, &h.refreshed,
			&h.about.connection, &h.about.app, &key, &h.scope}, statusDest(&h.status)...)...)
	if err != nil {
		return held{}, fmt.Errorf("grant %s: %w", id, err)
	}
	h.about.ref = grant.Ref{Key: key, App: h.about.app}.String()
	return h, nil
}

// holdAt reads a grant for a change that was made for one version of it. A grant
// that is gone is not at that version.
func (t *tx) holdAt(id string, v grant.Version) (held, error) {
	h, err := t.hold(id)
	if errors.Is(err, store.ErrNotFound) {
		return held{}, fmt.Errorf("grant %s is gone: %w", id, store.ErrStale)
	}
	if err == nil && h.version != v {
		return held{}, fmt.Errorf("grant %s is at version %d.%d, not %d.%d: %w",
			id, h.version.Epoch, h.version.Seq, v.Epoch, v.Seq, store.ErrStale)
	}
	return h, err
}

// forget removes the credentials a grant points at and what was parked for it.
func (t *tx) forget(h held) error {
	if _, err := t.exec(`DELETE FROM credentials WHERE n IN (?, ?)`, h.credential, h.previous); err != nil {
		return err
	}
	_, err := t.exec(`DELETE FROM orphans WHERE grant_n = ?`, h.n)
	return err
}

// Disconnect implements [store.Connections].
func (s *Store) Disconnect(ctx context.Context, grantID string, from grant.Version, reason grant.Reason, events ...grant.Event) error {
	return s.w.do(ctx, func(t *tx) error {
		h, err := t.holdAt(grantID, from)
		if err != nil {
			return err
		}
		if err := t.forget(h); err != nil {
			return err
		}
		if err := t.forgetReach(h); err != nil {
			return err
		}
		st := h.status.Become(reason, t.now, fromMicros(0))
		_, err = t.exec(`UPDATE grants SET epoch = epoch + 1, seq = 0, due_at = NULL, credential_n = NULL, previous_n = NULL,
				attempt = NULL, attempt_owner = NULL, attempt_kind = NULL, attempt_opened_at = NULL, attempt_unknown = NULL,
				state = ?, reason = ?, since = ?, next_try_at = 0 WHERE n = ?`,
			string(st.State), string(st.Reason), micros(st.Since), h.n)
		if err != nil {
			return err
		}
		if err := t.emit(h.about, events...); err != nil {
			return err
		}
		return t.derive(h.connectionN, true)
	})
}
