package postgres

import (
	"context"
	"errors"
	"fmt"

	"github.com/evergrant/evergrant/internal/grant"
	"github.com/evergrant/evergrant/internal/store"
)

// Install implements [store.Connections].
func (s *Store) Install(ctx context.Context, in store.Installation) error {
	err := s.change(ctx, func(t *tx) error {
		h, fresh, err := t.installable(in)
		if err != nil {
			return err
		}
		if err := t.finishable(in); err != nil {
			return err
		}
		if fresh {
			t.insertGrant(h, in.Grant)
		} else {
			t.forget(h)
			t.handOver(h, in.Grant.Identity)
			t.replaceGrant(h, in.Grant)
		}
		at := t.now
		v := in.Grant.Version
		t.write(`INSERT INTO credentials (connection_id, grant_id, slot, epoch, seq, attempt, sealed)
			VALUES ($1, $2, $3, $4, $5, '', $6)`, h.ConnectionID, h.ID, v.Seq%2, v.Epoch, v.Seq, nonNil(in.Sealed))
		if in.Locations != nil {
			t.setLocations(h, in.Locations)
			at = grant.ReadAgain(in.Grant.ID, t.now)
		}
		t.readAgain(h, at)
		t.finishInstall(in)
		if err := t.emit(h.about, in.Events...); err != nil {
			return err
		}
		return t.derive(h.connection, true)
	})
	if taken(err) {
		// Another connection installed a grant of this id at the same moment.
		return fmt.Errorf("grant %s: %w", in.Grant.ID, store.ErrStale)
	}
	return err
}

// installable reads and locks the grant an installation is for. A fresh one does
// not exist yet; then only its connection is held.
func (t *tx) installable(in store.Installation) (h held, fresh bool, err error) {
	g := in.Grant
	c, err := t.lock(g.ConnectionID)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return h, false, err
	}
	gone := err
	// With the connection locked, nobody else makes or removes a grant of it.
	switch h, err = t.hold(g.ID); {
	case err == nil && h.Version.Epoch >= g.Version.Epoch:
		return h, false, fmt.Errorf("grant %s is at epoch %d already: %w", g.ID, h.Version.Epoch, store.ErrStale)
	case err == nil && h.ConnectionID != g.ConnectionID:
		return h, false, fmt.Errorf("grant %s belongs to connection %s, not %s: %w", g.ID, h.ConnectionID, g.ConnectionID, store.ErrStale)
	case err == nil || !errors.Is(err, store.ErrNotFound):
		return h, false, err
	case gone != nil:
		return h, false, gone
	}
	h = held{Grant: grant.Grant{ID: g.ID, ConnectionID: c.ID}, connection: c, about: aboutConnection(c)}
	h.about.grant = g.ID
	t.about = c.ID
	return h, true, nil
}

// finishable locks the link and the authorization an installation finishes.
func (t *tx) finishable(in store.Installation) error {
	if in.LinkID != "" {
		l, err := t.link(in.LinkID)
		if err == nil {
			err = unfinished(l)
		}
		if err != nil {
			return err
		}
	}
	if in.AuthorizationID != "" {
		a, err := t.authorization(in.AuthorizationID)
		if err != nil {
			return err
		}
		if a.Finished {
			return fmt.Errorf("authorization %s is finished: %w", a.ID, store.ErrStale)
		}
	}
	return nil
}

// finishInstall completes the link and the authorization.
func (t *tx) finishInstall(in store.Installation) {
	if in.LinkID != "" {
		t.write(`UPDATE links SET state = $2, problem = '', completed_at = $3 WHERE id = $1`,
			in.LinkID, grant.LinkStateCompleted, stamp(t.now))
	}
	if in.AuthorizationID != "" {
		t.write(`UPDATE authorizations SET finished = true, problem = '' WHERE id = $1`, in.AuthorizationID)
	}
}

// insertGrant adds a grant without credentials.
func (t *tx) insertGrant(h held, g grant.Grant) {
	t.write(`INSERT INTO grant_ids (id, connection_id) VALUES ($1, $2)`, g.ID, h.ConnectionID)
	t.write(`INSERT INTO grants (connection_id, id, app, key, epoch, seq, issued_at, expires_at, deadline_at, due_at,
			state, reason, since, next_try_at, failures, refusals, refused_at, identity, scope, consent_at)
		VALUES ($1, $2, $19, $20, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18)`,
		append(installed(h, g), h.connection.App, h.connection.Key)...)
}

// replaceGrant brings a grant to a new epoch.
func (t *tx) replaceGrant(h held, g grant.Grant) {
	t.write(`UPDATE grants SET epoch = $3, seq = $4, issued_at = $5, expires_at = $6, deadline_at = $7, due_at = $8,
			state = $9, reason = $10, since = $11, next_try_at = $12, failures = $13, refusals = $14, refused_at = $15,
			identity = $16, scope = $17, consent_at = $18, `+closed+`
		WHERE connection_id = $1 AND id = $2`, installed(h, g)...)
}

// installed is a grant's key and the columns an installation sets.
func installed(h held, g grant.Grant) []any {
	return []any{h.ConnectionID, h.ID, g.Version.Epoch, g.Version.Seq,
		stamp(g.IssuedAt), stamp(g.ExpiresAt), stamp(g.DeadlineAt), stamp(g.DueAt),
		g.Status.State, g.Status.Reason, stamp(g.Status.Since), stamp(g.Status.NextTryAt),
		g.Failures, g.Refusals, stamp(g.RefusedAt), words(g.Identity), g.Scope, stamp(g.ConsentAt)}
}
