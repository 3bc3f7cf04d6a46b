package sqlite

import (
	"context"
	"errors"
	"fmt"

	"github.com/evergrant/evergrant/internal/grant"
	"github.com/evergrant/evergrant/internal/store"
)

// Install implements [store.Connections].
func (s *Store) Install(ctx context.Context, in store.Installation) error {
	return s.w.do(ctx, func(t *tx) error {
		h, fresh, err := t.installable(in)
		if err != nil {
			return err
		}
		link, auth, err := t.finishable(in)
		if err != nil {
			return err
		}
		credential := t.w.nextCredential()
		if fresh {
			h.n, err = t.insertGrant(h, in.Grant, credential)
		} else {
			err = t.replaceGrant(h, in.Grant, credential)
		}
		if err != nil {
			return err
		}
		if err := t.addCredentials(credential, h.n, in.Grant.Version, "", in.Sealed); err != nil {
			return err
		}
		if err := t.consent(h.n, in.Grant); err != nil {
			return err
		}
		if in.Locations != nil {
			if err := t.setLocations(h.n, in.Locations); err != nil {
				return err
			}
			if err := t.readAgain(h.n, h.about.app, grant.ReadAgain(in.Grant.ID, t.now)); err != nil {
				return err
			}
		}
		if err := t.finishInstall(link, auth); err != nil {
			return err
		}
		if err := t.emit(h.about, in.Events...); err != nil {
			return err
		}
		return t.derive(h.connectionN, true)
	})
}

// installable reads the grant an installation is for. A fresh one does not
// exist yet; then only its connection is held.
func (t *tx) installable(in store.Installation) (h held, fresh bool, err error) {
	h, err = t.hold(in.Grant.ID)
	if errors.Is(err, store.ErrNotFound) {
		n, c, err := t.connection(in.Grant.ConnectionID)
		h = held{connectionN: n, about: aboutConnection(c)}
		h.about.grant = in.Grant.ID
		return h, true, err
	}
	if err != nil {
		return h, false, err
	}
	if h.version.Epoch >= in.Grant.Version.Epoch {
		return h, false, fmt.Errorf("grant %s is at epoch %d already: %w", in.Grant.ID, h.version.Epoch, store.ErrStale)
	}
	if h.about.connection != in.Grant.ConnectionID {
		return h, false, fmt.Errorf("grant %s belongs to connection %s, not %s: %w",
			in.Grant.ID, h.about.connection, in.Grant.ConnectionID, store.ErrStale)
	}
	return h, false, nil
}

// finishable reads the link and the authorization an installation finishes; 0
// for none.
func (t *tx) finishable(in store.Installation) (link, auth int64, err error) {
	if in.LinkID != "" {
		n, l, err := t.link(in.LinkID)
		if err != nil {
			return 0, 0, err
		}
		if err := unfinished(l); err != nil {
			return 0, 0, err
		}
		link = n
	}
	if in.AuthorizationID != "" {
		n, a, err := t.authorization(in.AuthorizationID)
		if err != nil {
			return 0, 0, err
		}
		if a.Finished {
			return 0, 0, fmt.Errorf("authorization %s is finished: %w", a.ID, store.ErrStale)
		}
		auth = n
	}
	return link, auth, nil
}

// finishInstall completes the link and the authorization.
func (t *tx) finishInstall(link, auth int64) error {
	if link != 0 {
		_, err := t.exec(`UPDATE links SET state = ?, problem = '', completed_at = ? WHERE n = ?`,
			string(grant.LinkStateCompleted), micros(t.now), link)
		if err != nil {
			return err
		}
	}
	if auth != 0 {
		_, err := t.exec(`UPDATE authorizations SET finished = 1, problem = '' WHERE n = ?`, auth)
		return err
	}
	return nil
}

// insertGrant adds a grant that points at its credentials. What it reaches is to
// be read at once.
func (t *tx) insertGrant(h held, g grant.Grant, credential int64) (int64, error) {
	n, err := t.insert(`INSERT INTO grants (id, connection_n, app, epoch, seq, issued_at, expires_at, deadline_at, due_at,
			state, reason, since, next_try_at, failures, refusals, refused_at, credential_n)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
		append([]any{g.ID, h.connectionN, h.about.app}, installed(g, credential)...)...)
	if err != nil {
		return 0, err
	}
	return n, t.readAgain(n, h.about.app, t.now)
}

// replaceGrant brings a grant to a new epoch and removes what the old ones left.
// What it reaches is to be read at once; what it reached before keeps whose it was.
func (t *tx) replaceGrant(h held, g grant.Grant, credential int64) error {
	if err := t.forget(h); err != nil {
		return err
	}
	if err := t.handOver(h.n, g.Identity); err != nil {
		return err
	}
	if err := t.readAgain(h.n, h.about.app, t.now); err != nil {
		return err
	}
	_, err := t.exec(`UPDATE grants SET epoch = ?, seq = ?, issued_at = ?, expires_at = ?, deadline_at = ?, due_at = ?,
			state = ?, reason = ?, since = ?, next_try_at = ?, failures = ?, refusals = ?, refused_at = ?,
			credential_n = ?, previous_n = NULL,
			attempt = NULL, attempt_owner = NULL, attempt_kind = NULL, attempt_opened_at = NULL, attempt_unknown = NULL
		WHERE n = ?`, append(installed(g, credential), h.n)...)
	return err
}

// installed is the columns an installation sets, from epoch to credential_n.
func installed(g grant.Grant, credential int64) []any {
	return []any{g.Version.Epoch, g.Version.Seq, micros(g.IssuedAt), micros(g.ExpiresAt), micros(g.DeadlineAt), orNull(g.DueAt),
		string(g.Status.State), string(g.Status.Reason), micros(g.Status.Since), micros(g.Status.NextTryAt),
		g.Failures, g.Refusals, micros(g.RefusedAt), credential}
}

// consent keeps what was approved.
func (t *tx) consent(n int64, g grant.Grant) error {
	_, err := t.exec(`INSERT OR REPLACE INTO consents (grant_n, identity, scope, consent_at) VALUES (?, ?, ?, ?)`,
		n, jsonColumn{g.Identity}, g.Scope, micros(g.ConsentAt))
	return err
}
