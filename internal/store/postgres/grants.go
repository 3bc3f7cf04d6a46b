package postgres

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/evergrant/evergrant/internal/grant"
	"github.com/evergrant/evergrant/internal/store"
)

const (
	grantColumns = `g.id, g.connection_id, g.app, g.identity, g.scope, g.epoch, g.seq,
	g.issued_at, g.expires_at, g.deadline_at, g.consent_at, g.due_at,
	g.state, g.reason, g.since, g.next_try_at, g.failures, g.refusals, g.refused_at,
	g.attempt, g.attempt_owner, g.attempt_kind, g.attempt_opened_at, g.attempt_unknown`

	// A grant's id leads to its connection, and that to its partition.
	grantByID = ` FROM grant_ids i JOIN grants g ON g.connection_id = i.connection_id AND g.id = i.id`
	current   = ` LEFT JOIN credentials v ON v.connection_id = g.connection_id AND v.grant_id = g.id
		AND v.slot = g.seq % 2 AND v.epoch = g.epoch AND v.seq = g.seq`

	grantsQuery      = `SELECT ` + grantColumns + ` FROM grants g WHERE g.connection_id = $1 ORDER BY g.id`
	grantQuery       = `SELECT ` + grantColumns + grantByID + ` WHERE i.id = $1`
	credentialsQuery = `SELECT v.sealed, ` + grantColumns + grantByID + current + ` WHERE i.id = $1`
)

// grantRow is a grant as it is read.
type grantRow struct {
	grant.Grant
	attempt, owner, kind *string
	opened               time.Time
	unknown              bool
}

// dest is where grantColumns are scanned to; finish makes the grant of them.
func (r *grantRow) dest() []any {
	g := &r.Grant
	return append(append([]any{&g.ID, &g.ConnectionID, &g.App, &g.Identity, &g.Scope,
		&g.Version.Epoch, &g.Version.Seq, timeColumn{&g.IssuedAt}, timeColumn{&g.ExpiresAt}, timeColumn{&g.DeadlineAt},
		timeColumn{&g.ConsentAt}, timeColumn{&g.DueAt}}, statusDest(&g.Status)...),
		append([]any{&g.Failures, &g.Refusals, timeColumn{&g.RefusedAt}}, r.attemptDest()...)...)
}

// attemptDest is where the last five of grantColumns are scanned to.
func (r *grantRow) attemptDest() []any {
	return []any{&r.attempt, &r.owner, &r.kind, timeColumn{&r.opened}, &r.unknown}
}

func (r *grantRow) finish() grant.Grant {
	if r.attempt != nil {
		// An attempt ends with its version, so the grant's is the attempt's.
		r.Attempt = &grant.Attempt{ID: *r.attempt, Owner: *r.owner, Kind: grant.AttemptKind(*r.kind),
			Of: r.Version, OpenedAt: r.opened, Unknown: r.unknown}
	}
	return r.Grant
}

// Grants implements [store.Connections].
func (s *Store) Grants(ctx context.Context, connectionID string) ([]grant.Grant, error) {
	var grants []grant.Grant
	err := s.each(ctx, grantsQuery, []any{connectionID}, func(row scanner) error {
		var r grantRow
		err := row.Scan(r.dest()...)
		if err == nil {
			grants = append(grants, r.finish())
		}
		return err
	})
	return grants, err
}

// Grant implements [store.Connections].
func (s *Store) Grant(ctx context.Context, id string) (grant.Grant, error) {
	var r grantRow
	if err := s.get(ctx, grantQuery, []any{id}, r.dest()...); err != nil {
		return grant.Grant{}, fmt.Errorf("grant %s: %w", id, err)
	}
	return r.finish(), nil
}

// liveGrantsQuery walks the grants in the order of their key.
const liveGrantsQuery = `SELECT connection_id, id FROM grants WHERE app = $1 AND state IN ('connected', 'degraded')
		AND (connection_id, id) > ($2, $3) ORDER BY connection_id, id LIMIT $4`

// LiveGrants implements [store.Connections]. A cursor is a connection's id and a
// grant's, which have no space.
func (s *Store) LiveGrants(ctx context.Context, app string, p store.Page) ([]string, string, error) {
	if err := checkPage(p.Limit); err != nil {
		return nil, "", err
	}
	type key struct{ connection, id string }
	var after key
	after.connection, after.id, _ = strings.Cut(p.Cursor, " ")
	var keys []key
	err := s.each(ctx, liveGrantsQuery, []any{app, after.connection, after.id, p.Limit + 1}, func(row scanner) error {
		var k key
		err := row.Scan(&k.connection, &k.id)
		keys = append(keys, k)
		return err
	})
	if err != nil {
		return nil, "", err
	}
	keys, next := clip(keys, p.Limit, func(k key) string { return k.connection + " " + k.id })
	var ids []string
	for _, k := range keys {
		ids = append(ids, k.id)
	}
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

// held is a grant that a change has locked, and its connection.
type held struct {
	grant.Grant
	connection grant.Connection
	about      subject
}

// hold reads a grant for a change and keeps others out until the end of the
// transaction: its connection first, then itself.
func (t *tx) hold(id string) (held, error) {
	var h held
	err := t.get(`SELECT `+connectionColumns+` FROM grant_ids i JOIN connections c ON c.id = i.connection_id
		WHERE i.id = $1 FOR NO KEY UPDATE OF c`, []any{id}, connectionDest(&h.connection)...)
	if err != nil {
		return held{}, fmt.Errorf("grant %s: %w", id, err)
	}
	var r grantRow
	err = t.get(`SELECT `+grantColumns+` FROM grants g WHERE g.connection_id = $1 AND g.id = $2 FOR UPDATE`,
		[]any{h.connection.ID, id}, r.dest()...)
	if err != nil {
		return held{}, fmt.Errorf("grant %s: %w", id, err)
	}
	h.Grant = r.finish()
	h.about = aboutConnection(h.connection)
	h.about.grant = id
	t.about = h.connection.ID
	return h, nil
}

// holdAt reads a grant for a change that was made for one version of it. A grant
// that is gone is not at that version.
func (t *tx) holdAt(id string, v grant.Version) (held, error) {
	h, err := t.hold(id)
	if errors.Is(err, store.ErrNotFound) {
		return held{}, fmt.Errorf("grant %s is gone: %w", id, store.ErrStale)
	}
	if err == nil && h.Version != v {
		return held{}, fmt.Errorf("grant %s is at version %d.%d, not %d.%d: %w",
			id, h.Version.Epoch, h.Version.Seq, v.Epoch, v.Seq, store.ErrStale)
	}
	return h, err
}

// key is what addresses a grant in its partition.
func (h held) key() (connection, id string) { return h.ConnectionID, h.ID }

// forget removes the credentials of a grant and what was parked for it.
func (t *tx) forget(h held) {
	connection, id := h.key()
	t.write(`DELETE FROM credentials WHERE connection_id = $1 AND grant_id = $2`, connection, id)
	t.write(`DELETE FROM orphans WHERE connection_id = $1 AND grant_id = $2`, connection, id)
}

// closed closes an attempt, in an UPDATE of grants.
const closed = `attempt = NULL, attempt_owner = NULL, attempt_kind = NULL, attempt_opened_at = NULL, attempt_unknown = false`

// Disconnect implements [store.Connections].
func (s *Store) Disconnect(ctx context.Context, grantID string, from grant.Version, reason grant.Reason, events ...grant.Event) error {
	return s.change(ctx, func(t *tx) error {
		h, err := t.holdAt(grantID, from)
		if err != nil {
			return err
		}
		t.forget(h)
		t.forgetReach(h)
		st := h.Status.Become(reason, t.now, time.Time{})
		connection, id := h.key()
		t.write(`UPDATE grants SET epoch = epoch + 1, seq = 0, due_at = NULL, `+closed+`,
				state = $3, reason = $4, since = $5, next_try_at = NULL
			WHERE connection_id = $1 AND id = $2`,
			connection, id, st.State, st.Reason, stamp(st.Since))
		if err := t.emit(h.about, events...); err != nil {
			return err
		}
		return t.derive(h.connection, true)
	})
}
